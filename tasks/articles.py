"""Ingest one source into the lake: read, make canonical, drop what is there, commit parts."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from time import monotonic

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.canonical import ARTICLES_SCHEMA, CanonicalChunk, canonical
from tasks.columns import ColumnMap, guess_columns
from tasks.errors import UserError
from tasks.keys import KeySet, row_key
from tasks.lake import Lake, PartWriter, open_part, part_name
from tasks.readers import read
from tasks.readers_base import RecordChunk, Reject, Source

PART_ROWS = 50_000
PART_BYTES = 64 << 20
"""A part is committed at this many bytes in memory, or at PART_ROWS rows."""
REJECTS_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("row", pa.int64()),
        ("reason", pa.string()),
        ("raw", pa.string()),
        ("rejected_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""The schema of every part of `<lake>/rejects/`."""


@dataclass
class SourceReport:
    """What became of a source's rows.

    `rows_in == stored + duplicates + already_there + rejected` at all times but within a part
    that is not committed yet. `duplicates` are equal (id and content) to a row of the same load,
    `already_there` to one from before. `error` says why the source could not be read (further).
    """

    source: str
    rows_in: int = 0
    stored: int = 0
    duplicates: int = 0
    already_there: int = 0
    rejected: int = 0
    parts: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None


def known_keys(lake: Lake) -> KeySet:
    """Return the `row_key` of every article in the lake; reads two columns, a piece at a time."""
    known = KeySet()
    for part in lake.parts(lake.articles):
        with open_part(part) as file:
            for batch in file.iter_batches(columns=["article_id", "content_hash"]):
                ids, hashes = (batch.column(name).to_pylist() for name in batch.schema.names)
                known.update(map(row_key, ids, hashes))
    return known


def ingest_source(
    source: Source,
    lake: Lake,
    given_columns: dict[str, str],
    known: KeySet,
    on_progress: Callable[[SourceReport], None] | None = None,
    loaded: KeySet | None = None,
) -> SourceReport:
    """Load one source into the lake and report what became of each row.

    `known` holds the keys of all articles in the lake and gets those of this source. `loaded`
    holds those that this load has stored: share one among the sources of a load so that a row in
    two of them counts as a duplicate, not as already there. `on_progress` gets the report so far
    after each chunk of rows.

    Never raises for what is wrong with the source: the report's `error` says it, and the good
    rows before it are stored. After a crash a new call stores what the first one did not commit.
    """
    started = monotonic()
    report = SourceReport(source.name)
    loaded = KeySet() if loaded is None else loaded
    with ExitStack() as stack:
        rejects = _RejectSink(lake, source.name, stack)
        articles = _ArticleSink(lake, report)
        for chunk in _canonical_chunks(source, given_columns, report):
            rejects.add(chunk.rejects)
            new = _count(chunk, known, loaded, report)
            articles.add(chunk.batch if new.all() else chunk.batch.filter(pa.array(new)))
            report.seconds = monotonic() - started
            if on_progress:
                on_progress(report)
        articles.commit()
    report.seconds = monotonic() - started
    return report


def _canonical_chunks(
    source: Source, given_columns: dict[str, str], report: SourceReport
) -> Iterator[CanonicalChunk]:
    """Read a source up to its end or to what is wrong with it, which goes into the report.

    Its columns are told by the first chunk that has a record.
    """
    columns: ColumnMap | None = None
    try:
        for chunk in read(source):
            if columns is None and chunk.records:
                columns = _columns_of(chunk, given_columns, source.name)
                report.columns = dict(columns.columns)
            yield canonical(chunk, columns or ColumnMap({}), source.name)
    except UserError as error:
        report.error = str(error)


def _columns_of(chunk: RecordChunk, given: dict[str, str], name: str) -> ColumnMap:
    names = dict.fromkeys(column for record in chunk.records for column in record)
    return guess_columns(list(names), chunk.records, given, name)


def _count(
    chunk: CanonicalChunk, known: KeySet, loaded: KeySet, report: SourceReport
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Take a chunk's keys into the sets and the report; return which rows are new."""
    new = known.add_many(chunk.keys)
    loaded.update(key for key, is_new in zip(chunk.keys, new, strict=True) if is_new)
    doubled = int(np.count_nonzero(~new & loaded.contains_many(chunk.keys)))
    stored = int(np.count_nonzero(new))
    report.rows_in += len(chunk.keys) + len(chunk.rejects)
    report.stored += stored
    report.duplicates += doubled
    report.already_there += len(chunk.keys) - stored - doubled
    report.rejected += len(chunk.rejects)
    return new


class _ArticleSink:
    """Gathers canonical rows and commits them as parts of a bounded size."""

    def __init__(self, lake: Lake, report: SourceReport) -> None:
        self._lake = lake
        self._report = report
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        if self._rows + batch.num_rows > PART_ROWS or self._bytes + batch.nbytes > PART_BYTES:
            self.commit()
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes

    def commit(self) -> None:
        if not self._batches:
            return
        table = pa.Table.from_batches(self._batches, schema=ARTICLES_SCHEMA)
        path = self._lake.write_part(self._lake.articles, part_name("part"), table)
        self._report.parts.append(path.relative_to(self._lake.root).as_posix())
        self._batches, self._rows, self._bytes = [], 0, 0


class _RejectSink:
    """Streams the rejects of a source into one part, but for those that the lake has."""

    def __init__(self, lake: Lake, source: str, stack: ExitStack) -> None:
        self._lake = lake
        self._source = source
        self._stack = stack
        self._known: KeySet | None = None
        self._writer: PartWriter | None = None

    def add(self, rejects: list[Reject]) -> None:
        if not rejects:
            return
        if self._known is None:
            self._known = _known_rejects(self._lake, self._source)
        new = self._known.add_many(
            [_reject_key(each.row, each.reason, each.raw) for each in rejects]
        )
        rows = [each for each, is_new in zip(rejects, new, strict=True) if is_new]
        if not rows:
            return
        if self._writer is None:
            self._writer = self._stack.enter_context(
                self._lake.part_writer(self._lake.rejects, part_name("part"), REJECTS_SCHEMA)
            )
        self._writer.write_table(_reject_table(self._source, rows))


def _reject_key(row: int, reason: str, raw: str) -> bytes:
    return blake2b(f"{row}\0{reason}\0{raw}".encode(), digest_size=16).digest()


def _reject_table(source: str, rejects: list[Reject]) -> pa.Table:
    now = datetime.now(UTC)
    return pa.table(
        [
            [source] * len(rejects),
            [each.row for each in rejects],
            [each.reason for each in rejects],
            [each.raw for each in rejects],
            [now] * len(rejects),
        ],
        schema=REJECTS_SCHEMA,
    )


def _known_rejects(lake: Lake, source: str) -> KeySet:
    known = KeySet()
    for part in lake.parts(lake.rejects):
        table = pq.read_table(
            part, columns=["row", "reason", "raw"], filters=[("source", "=", source)]
        )
        rows = (table.column(name).to_pylist() for name in table.schema.names)
        known.update(map(_reject_key, *rows))
    return known
