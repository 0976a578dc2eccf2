"""Rows of many small sources as one chunk: a thousand one-page files cost what one table does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.cleaning.canonical import CanonicalChunk
from tasks.cleaning.columns import ColumnMap
from tasks.reading.readers_base import BATCH_ROWS, CHUNK_BYTES, Chunk, Record, RecordChunk, Reject
from tasks.source_report import SourceReport

SMALL_ROWS = 20
"""Chunks of so many rows at most are put together with others."""


class Piece(NamedTuple):
    """A chunk of a source, with the source's report and what its columns were taken for."""

    report: SourceReport
    chunk: Chunk
    columns: ColumnMap


@dataclass
class Bundle:
    """Rows of one source or of several, whose columns are the same.

    Attributes:
        chunk: the rows; of several sources they are numbered from 0.
        columns: what their columns were taken for.
        reports: of the sources.
        owners: index into ``reports`` of each row number of ``chunk``; empty if there is one.
        numbers: of each row number of ``chunk`` the row's number in its source; likewise.
    """

    chunk: Chunk
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


def bundled(pieces: Iterable[Piece]) -> Iterator[Bundle]:
    """Put small pieces with the same columns together, others go as they are; in their order."""
    gathered: _Gathered | None = None
    for piece in pieces:
        small = isinstance(piece.chunk, RecordChunk) and len(piece.chunk) <= SMALL_ROWS
        if gathered and (not small or gathered.full or gathered.columns != piece.columns):
            yield gathered.bundle()
            gathered = None
        if not small:
            yield Bundle(piece.chunk, piece.columns, [piece.report])
            continue
        gathered = gathered or _Gathered(piece.columns)
        gathered.add(piece)
    if gathered:
        yield gathered.bundle()


class _Gathered:
    """Small pieces on their way into a bundle."""

    def __init__(self, columns: ColumnMap) -> None:
        self.columns = columns
        self._pieces: list[Piece] = []
        self._rows = self._bytes = 0

    @property
    def full(self) -> bool:
        return self._rows >= BATCH_ROWS or self._bytes >= CHUNK_BYTES

    def add(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self._rows += len(piece.chunk)
        self._bytes += sum(map(_size, piece.chunk.head(SMALL_ROWS)))

    def bundle(self) -> Bundle:
        if len(self._pieces) == 1:
            report, chunk, columns = self._pieces[0]
            return Bundle(chunk, columns, [report])
        bundle = Bundle(RecordChunk(), self.columns, [])
        for report, chunk, _ in self._pieces:
            if not bundle.reports or bundle.reports[-1] is not report:
                bundle.reports.append(report)
            _add(bundle, chunk)
        return bundle


def _add(bundle: Bundle, chunk: Chunk) -> None:
    """Append a chunk's rows under new numbers."""
    into = bundle.chunk
    if not isinstance(into, RecordChunk):
        raise TypeError("only records are put together")
    for number, record in zip(chunk.rows, chunk.head(len(chunk)), strict=True):
        into.rows.append(_next(bundle, int(number)))
        into.records.append(record)
    for each in chunk.rejects:
        into.rejects.append(Reject(_next(bundle, each.row), each.reason, each.raw))


def _next(bundle: Bundle, number: int) -> int:
    bundle.owners.append(len(bundle.reports) - 1)
    bundle.numbers.append(number)
    return len(bundle.numbers) - 1


def _size(record: Record) -> int:
    return sum(len(value) for value in record.values() if isinstance(value, (str, bytes)))
