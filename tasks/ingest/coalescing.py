"""Coalesce rows of many small sources into one chunk.

A thousand one-page files then cost as much as one table; the per-source counts are kept.
"""

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
"""Only chunks of at most this many rows are coalesced."""


class ChunkPart(NamedTuple):
    """A chunk of a source, with the source's report and column mapping."""

    report: SourceReport
    chunk: RecordChunk
    columns: ColumnMap


@dataclass
class CoalescedChunk:
    """Rows of one or several sources with the same column mapping.

    Attributes:
        chunk: The rows; those of several sources are renumbered from 0.
        columns: The column mapping.
        owners: For each row number of ``chunk`` the index into ``reports``; empty for one source.
        numbers: For each row number of ``chunk`` the row number in its source; likewise.
    """

    chunk: RecordChunk
    columns: ColumnMap
    reports: list[SourceReport]
    owners: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    @property
    def source(self) -> str:
        """The name of the first source."""
        return self.reports[0].source

    def owners_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the index into ``reports`` of each row, given row numbers of the chunk."""
        if not self.owners:
            return np.zeros(len(rows), np.int64)
        return np.array(self.owners, np.int64)[rows]

    def with_source_names(self, rows: CanonicalChunk) -> pa.RecordBatch:
        """Return canonical rows with the name of each row's own source."""
        if not self.owners:
            return rows.batch
        names = pa.array([report.source for report in self.reports], pa.string())
        sources = names.take(pa.array(self.owners_of(rows.rows)))
        index = rows.batch.schema.get_field_index("source")
        return rows.batch.set_column(index, rows.batch.schema.field(index), sources)

    def rejects_of(self, rejects: list[Reject]) -> Iterator[tuple[SourceReport, list[Reject]]]:
        """Yield the rejects of each source, with their row numbers in the source."""
        if not self.owners:
            yield self.reports[0], rejects
            return
        by_owner: dict[int, list[Reject]] = {}
        for each in rejects:
            renumbered = Reject(self.numbers[each.row], each.reason, each.raw)
            by_owner.setdefault(self.owners[each.row], []).append(renumbered)
        for owner, of_source in by_owner.items():
            yield self.reports[owner], of_source


def coalesce(parts: Iterable[ChunkPart]) -> Iterator[CoalescedChunk]:
    """Combine consecutive small chunks with the same column mapping, in order."""
    pending: list[ChunkPart] = []
    rows = size = 0
    for part in parts:
        is_small = len(part.chunk) <= MAX_COALESCED_ROWS
        is_full = rows >= BATCH_ROWS or size >= CHUNK_BYTES
        if pending and (not is_small or is_full or pending[0].columns != part.columns):
            yield _combined(pending)
            pending, rows, size = [], 0, 0
        if is_small:
            pending.append(part)
            rows += len(part.chunk)
            size += sum(map(_size, part.chunk.records))
        else:
            yield CoalescedChunk(part.chunk, part.columns, [part.report])
    if pending:
        yield _combined(pending)


def _combined(parts: list[ChunkPart]) -> CoalescedChunk:
    report, chunk, columns = parts[0]
    if len(parts) == 1:
        return CoalescedChunk(chunk, columns, [report])
    rows = RecordChunk()
    combined = CoalescedChunk(rows, columns, [])

    def renumber(number: int) -> int:
        combined.owners.append(len(combined.reports) - 1)
        combined.numbers.append(number)
        return len(combined.numbers) - 1

    for report, chunk, _ in parts:
        if not combined.reports or combined.reports[-1] is not report:
            combined.reports.append(report)
        rows.rows += map(renumber, chunk.rows)
        rows.records += chunk.records
        rows.rejects += [
            Reject(renumber(each.row), each.reason, each.raw) for each in chunk.rejects
        ]
    return combined


def _size(record: Record) -> int:
    return sum(len(value) for value in record.values() if isinstance(value, (str, bytes)))
