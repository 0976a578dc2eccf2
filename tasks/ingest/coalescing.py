"""Rows of many small sources as one chunk: a thousand one-page files cost what one table does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from article_flows.tasks.cleaning.articles.build import CanonicalChunk
from article_flows.tasks.cleaning.columns.guesses import ColumnMap
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.reading.base.rows import (
    BATCH_ROWS,
    CHUNK_BYTES,
    Record,
    RecordChunk,
    Reject,
)

MAX_COALESCED_ROWS = 20
"""Chunks of so many rows at most are put together with others."""


class ChunkPart(NamedTuple):
    """A chunk of a source, with the source's report and what its columns were taken for."""

    report: SourceReport
    chunk: RecordChunk
    columns: ColumnMap


@dataclass
class CoalescedChunk:
    """Rows of one source or of several, whose columns are the same.

    Attributes:
        chunk: the rows; of several sources they are numbered from 0.
        columns: what their columns were taken for.
        reports: of the sources.
        owners: index into ``reports`` of each row number of ``chunk``; empty if there is one.
        numbers: of each row number of ``chunk`` the row's number in its source; likewise.
    """

    chunk: RecordChunk
    columns: ColumnMap
    reports: list[SourceReport]
    owners: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    @property
    def source(self) -> str:
        """Name of the source, of the first one if there are several."""
        return self.reports[0].source

    def owners_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The index of each row's report, by the rows' numbers in the chunk."""
        if not self.owners:
            return np.zeros(len(rows), np.int64)
        return np.array(self.owners, np.int64)[rows]

    def named(self, rows: CanonicalChunk) -> pa.RecordBatch:
        """Canonical rows with the name of each one's own source."""
        if not self.owners:
            return rows.batch
        names = pa.array([report.source for report in self.reports], pa.string())
        sources = names.take(pa.array(self.owners_of(rows.rows)))
        place = rows.batch.schema.get_field_index("source")
        return rows.batch.set_column(place, rows.batch.schema.field(place), sources)

    def rejects_of(self, rejects: list[Reject]) -> Iterator[tuple[SourceReport, list[Reject]]]:
        """The rejects of each source that has some, with their numbers in it."""
        if not self.owners:
            yield self.reports[0], rejects
            return
        found: dict[int, list[Reject]] = {}
        for each in rejects:
            told = Reject(self.numbers[each.row], each.reason, each.raw)
            found.setdefault(self.owners[each.row], []).append(told)
        for owner, told_rejects in found.items():
            yield self.reports[owner], told_rejects


def coalesce(pieces: Iterable[ChunkPart]) -> Iterator[CoalescedChunk]:
    """Put small pieces with the same columns together, others go as they are; in their order."""
    gathered: list[ChunkPart] = []
    rows = size = 0
    for piece in pieces:
        small = len(piece.chunk) <= MAX_COALESCED_ROWS
        full = rows >= BATCH_ROWS or size >= CHUNK_BYTES
        if gathered and (not small or full or gathered[0].columns != piece.columns):
            yield _together(gathered)
            gathered, rows, size = [], 0, 0
        if small:
            gathered.append(piece)
            rows += len(piece.chunk)
            size += sum(map(_size, piece.chunk.records))
        else:
            yield CoalescedChunk(piece.chunk, piece.columns, [piece.report])
    if gathered:
        yield _together(gathered)


def _together(pieces: list[ChunkPart]) -> CoalescedChunk:
    """Make one chunk of pieces, their rows under new numbers."""
    report, chunk, columns = pieces[0]
    if len(pieces) == 1:
        return CoalescedChunk(chunk, columns, [report])
    into = RecordChunk()
    bundle = CoalescedChunk(into, columns, [])

    def next_number(number: int) -> int:
        bundle.owners.append(len(bundle.reports) - 1)
        bundle.numbers.append(number)
        return len(bundle.numbers) - 1

    for report, chunk, _ in pieces:
        if not bundle.reports or bundle.reports[-1] is not report:
            bundle.reports.append(report)
        into.rows += map(next_number, chunk.rows)
        into.records += chunk.records
        into.rejects += [
            Reject(next_number(each.row), each.reason, each.raw) for each in chunk.rejects
        ]
    return bundle


def _size(record: Record) -> int:
    return sum(len(value) for value in record.values() if isinstance(value, (str, bytes)))
