"""What every reader is given and what it yields: sources in, chunks of raw rows out."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import ByteSource

BATCH_ROWS = 1_000
"""Rows in a chunk, unless the caller says otherwise."""
CHUNK_BYTES = 8 << 20
"""A chunk ends early at about this many bytes of raw text, so that long rows stay few."""
EXCERPT_CHARS = 2_000
"""How much of a rejected row's raw text is kept."""

Record = dict[str, Any]
"""One raw row: column name to whatever Python value the format gives."""


@dataclass(frozen=True)
class Source:
    """One file to read: where it is, what the user called it, and in which format it is.

    Attributes:
        encoding: of its text, where the user has said it; empty: to be found out.
        allow_hosts: private hosts that may be fetched from, for URLs found in the source.
        constants: columns that the place itself tells, as ``lang=en/part.parquet`` does.
        references: a file whose text is the reference summary of the document that this one is.
        facts: what its reader has found out and a user wants to see: ``encoding``, ``delimiter``.
    """

    place: ByteSource
    name: str
    format: str
    encoding: str = ""
    allow_hosts: tuple[str, ...] = ()
    constants: tuple[tuple[str, str], ...] = ()
    references: ByteSource | None = None
    facts: dict[str, str] = field(default_factory=dict, compare=False, hash=False)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not be taken: its 1-based number, why, and the start of its raw text."""

    row: int
    reason: str
    raw: str


@dataclass(slots=True)
class Row:
    """A row that could be read: its 1-based number, its columns, and its raw size in bytes."""

    number: int
    record: Record
    size: int


@dataclass(slots=True)
class RecordChunk:
    """Some rows of a source, in order: `records[i]` is row `rows[i]`; `rejects` lie between them.

    Records are dicts, not Arrow columns: rows of one JSON Lines file may differ in their keys and
    types, which no Arrow schema can hold.
    """

    records: list[Record] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records) + len(self.rejects)

    @property
    def num_rows(self) -> int:
        """Rows that could be read."""
        return len(self.records)

    def head(self, rows: int) -> list[Record]:
        """The first records."""
        return self.records[:rows]


Reader = Callable[[Source, int], Iterator[RecordChunk]]
"""Reads a source, some rows at a time; raises UserError for a file that it cannot go on with."""


def in_chunks(rows: Iterable[Row | Reject], batch_rows: int) -> Iterator[RecordChunk]:
    """Gather rows into chunks; what came before an error is yielded before it is raised."""
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
def opened(source: Source) -> Iterator[BinaryIO]:
    """Open a source for reading, see `ByteSource.open`; raise UserError if it cannot be read."""
    with _told(source), source.place.open() as file:
        yield file


@contextmanager
def opened_seekable(source: Source) -> Iterator[BinaryIO]:
    """Open a source for reading here and there; raise UserError if it cannot be opened."""
    with _told(source):
        file = source.place.open_seekable()
    with file:
        yield file


@contextmanager
def _told(source: Source) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{source.name} cannot be read: {error.strerror or error}") from error


def unique_names(names: Iterable[str]) -> list[str]:
    """Name unnamed columns by their place and number repeated names: no column hides another."""
    taken: set[str] = set()
    result = []
    for place, raw in enumerate(names, start=1):
        base = raw.strip() or f"column_{place}"
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        result.append(name)
    return result
