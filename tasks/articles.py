"""Ingest one source into the lake: read, make canonical, drop what is there, commit parts."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from time import monotonic

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.canonical import ARTICLES_SCHEMA, CanonicalChunk, canonical
from tasks.columns import ColumnMap, guess_columns
from tasks.errors import UserError
from tasks.keys import KeySet
from tasks.lake import Lake, part_name
from tasks.loads import Load
from tasks.parts import PartWriter
from tasks.readers import read
from tasks.readers_base import BATCH_ROWS, Chunk, Reject, Source

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
    `already_there` to one from before; `changed` of the stored have an id that the lake had with
    other content, and `repeated_ids` one that another stored row of the load has. `error`
    says why the source could not be read (further).
    """

    source: str
    rows_in: int = 0
    stored: int = 0
    changed: int = 0
    repeated_ids: int = 0
    duplicates: int = 0
    already_there: int = 0
    rejected: int = 0
    parts: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None


def ingest_source(
    source: Source,
    load: Load,
    given_columns: dict[str, str],
    on_progress: Callable[[SourceReport], None] | None = None,
) -> SourceReport:
    """Load one source into the load's lake and report what became of each row.

    Share one load among the sources of a run. `on_progress` gets the report so far after each
    chunk of rows.

    Never raises for what is wrong with the source: the report's `error` says it, and the good
    rows before it are stored. After a crash a new call stores what the first one did not commit.
    """
    started = monotonic()
    report = SourceReport(source.name)
    with ExitStack() as stack:
        rejects = _RejectSink(load.lake, source.name, stack)
        articles = _ArticleSink(load, report)
        for chunk in _canonical_chunks(source, given_columns, report):
            rejects.add(chunk.rejects)
            articles.add(_take(chunk, load, report))
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
            if columns is None and chunk.num_rows:
                columns = _columns_of(chunk, given_columns, source.name)
                report.columns = dict(columns.columns)
            yield canonical(chunk, columns or ColumnMap({}), source.name)
    except UserError as error:
        report.error = str(error)


def _columns_of(chunk: Chunk, given: dict[str, str], name: str) -> ColumnMap:
    sample = chunk.head(BATCH_ROWS)
    names = dict.fromkeys(column for record in sample for column in record)
    return guess_columns(list(names), sample, given, name)


def _take(chunk: CanonicalChunk, load: Load, report: SourceReport) -> pa.RecordBatch:
    """Take a chunk into the load and the report; give its new rows."""
    rows = chunk.batch
    taken = load.take(rows)
    stored = int(np.count_nonzero(taken.new))
    report.rows_in += rows.num_rows + len(chunk.rejects)
    report.stored += stored
    report.changed += taken.changed
    report.repeated_ids += taken.repeated_ids
    report.duplicates += taken.duplicates
    report.already_there += rows.num_rows - stored - taken.duplicates
    report.rejected += len(chunk.rejects)
    return rows if stored == rows.num_rows else rows.filter(pa.array(taken.new))


class _ArticleSink:
    """Gathers canonical rows and commits them as parts of a bounded size."""

    def __init__(self, load: Load, report: SourceReport) -> None:
        self._load = load
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
        lake = self._load.lake
        part = lake.write_part(lake.articles, self._load.next_part_name(), table)
        self._report.parts.append(part.name)
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
        with part.open() as file:
            table = file.read(["source", "row", "reason", "raw"])
        table = table.filter(pc.equal(table["source"], source)).drop(["source"])
        rows = (table.column(name).to_pylist() for name in table.schema.names)
        known.update(map(_reject_key, *rows))
    return known
