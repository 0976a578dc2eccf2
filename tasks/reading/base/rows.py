"""The interface of every reader: it takes a source and yields chunks of raw rows."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import ByteSource

BATCH_ROWS = 1_000
"""Default number of rows in a chunk."""
CHUNK_BYTES = 8 << 20
"""A chunk ends early at about this many bytes of raw text, to bound memory when rows are long."""
EXCERPT_CHARS = 2_000
"""Characters of a rejected row's raw text that are kept."""

Record = dict[str, Any]
"""One raw row: column names to Python values as the format provides them."""


@dataclass(frozen=True)
class Source:
    """One file to read: its bytes, its name as shown to the user, and its format.

    Attributes:
        encoding: Text encoding that the user has set; empty to detect it.
        allow_hosts: Private hosts that URLs found in the source may be fetched from.
        constants: Columns whose values are part of the path, as in ``lang=en/part.parquet``.
        references: The file with the reference summary of this document.
        facts: What the reader has detected, for reports: ``encoding``, ``delimiter``.
    """

    file: ByteSource
    name: str
    format: str
    encoding: str = ""
    allow_hosts: tuple[str, ...] = ()
    constants: tuple[tuple[str, str], ...] = ()
    references: ByteSource | None = None
    facts: dict[str, str] = field(default_factory=dict, compare=False, hash=False)


@dataclass(frozen=True, slots=True)
class Reject:
    """A rejected row: its 1-based number, the reason, and the start of its raw text."""

    row: int
    reason: str
    raw: str


@dataclass(slots=True)
class Row:
    """A row that was read: its 1-based number, its columns, and its raw size in bytes."""

    number: int
    record: Record
    size: int


@dataclass(slots=True)
class RecordChunk:
    """Consecutive rows of a source: `records[i]` is row number `rows[i]`, `rejects` are the others.

    Records are dicts, not Arrow columns, because rows of one JSON Lines file may differ in their
    keys and types, which no Arrow schema can represent.
    """

    records: list[Record] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records) + len(self.rejects)

    @property
    def num_rows(self) -> int:
        """Number of rows that were read, without rejects."""
        return len(self.records)

    def head(self, rows: int) -> list[Record]:
        """Return the first records."""
        return self.records[:rows]


Reader = Callable[[Source, int], Iterator[RecordChunk]]
"""Reads a source in chunks of at most the given rows; raises UserError if it cannot continue."""


def in_chunks(rows: Iterable[Row | Reject], batch_rows: int) -> Iterator[RecordChunk]:
    """Group rows into chunks; if `rows` raises, yield the rows before the error first.

    Example:
        >>> rows = [Row(1, {"body": "a"}, 1), Reject(2, "empty", ""), Row(3, {"body": "b"}, 1)]
        >>> [(chunk.rows, len(chunk.rejects)) for chunk in in_chunks(rows, batch_rows=2)]
        [([1], 1), ([3], 0)]
    """
    chunk, size = RecordChunk(), 0
    try:
        for row in rows:
            if isinstance(row, Reject):
                chunk.rejects.append(row)
                size += len(row.raw)
            else:
                chunk.records.append(row.record)
                chunk.rows.append(row.number)
                size += row.size
            if len(chunk) >= batch_rows or size >= CHUNK_BYTES:
                yield chunk
                chunk, size = RecordChunk(), 0
    except Exception:
        if len(chunk):
            yield chunk
        raise
    if len(chunk):
        yield chunk


@contextmanager
def open_source(source: Source) -> Iterator[BinaryIO]:
    """Open a source as a stream (see `ByteSource.open`); raise UserError if reading fails."""
    with _os_error_as_user_error(source), source.file.open() as file:
        yield file


@contextmanager
def open_source_seekable(source: Source) -> Iterator[BinaryIO]:
    """Open a source for random access; raise UserError if it cannot be opened."""
    with _os_error_as_user_error(source):
        file = source.file.open_seekable()
    with file:
        yield file


@contextmanager
def _os_error_as_user_error(source: Source) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{source.name} cannot be read: {error.strerror or error}") from error


def unique_names(names: Iterable[str]) -> list[str]:
    """Name unnamed columns by position and number repeated names.

    Example:
        >>> unique_names(["title", "", "title"])
        ['title', 'column_2', 'title_2']
    """
    taken: set[str] = set()
    result = []
    for position, raw in enumerate(names, start=1):
        base = raw.strip() or f"column_{position}"
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        result.append(name)
    return result
