"""Batches: which rows of which parts belong together, and how to read them."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.cleaning.canonical import ARTICLES_SCHEMA
from tasks.lake import Lake
from tasks.parts import Part, with_columns
from tasks.sorted_keys import Flags

Batch = dict[str, Any]
"""Which rows of which parts: ``{"number": 7, "size": 50, "rows": {part: [[start, stop], ...]}}``.

Parts are named relative to the lake; rows count from 0; a few KB at most, never article text.
"""

_FOOTERS = 8
"""Parts whose footer is remembered: the batches under way are of neighbouring parts."""


class BatchCutter:
    """Cuts a run of row positions into batches of one size; the last one may be smaller.

    ``ready`` holds the batches that are full; each takes its number from ``numbers``.
    """

    def __init__(self, size: int, numbers: Iterator[int]) -> None:
        self.ready: deque[Batch] = deque()
        self._size = size
        self._numbers = numbers
        self._rows: dict[str, list[list[int]]] = {}
        self._count = 0

    def add(self, part: str, first: int, wanted: Flags) -> None:
        """Take in the wanted rows of a part's stretch that begins at row ``first``."""
        edges = np.flatnonzero(np.diff(wanted, prepend=False, append=False)) + first
        for start, stop in edges.reshape(-1, 2).tolist():
            self._add_range(part, start, stop)

    def _add_range(self, part: str, start: int, stop: int) -> None:
        while start < stop:
            end = min(stop, start + self._size - self._count)
            ranges = self._rows.setdefault(part, [])
            if ranges and ranges[-1][1] == start:
                ranges[-1][1] = end
            else:
                ranges.append([start, end])
            self._count += end - start
            start = end
            if self._count == self._size:
                self.finish()

    def finish(self) -> None:
        """Make a batch of what there is, if there is something."""
        if self._count:
            number = next(self._numbers)
            self.ready.append({"number": number, "size": self._count, "rows": self._rows})
            self._rows, self._count = {}, 0


def read_batch(lake: Lake, batch: Batch) -> pa.Table:
    """The articles of a batch, reading no more row groups than it takes; safe in any thread."""
    tables = [_read_rows(lake.part(part), ranges) for part, ranges in batch["rows"].items()]
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables)


def _read_rows(part: Part, ranges: list[list[int]]) -> pa.Table:
    footer = _footers.of(part)
    with part.open(footer.metadata) as file:
        groups = footer.groups_of(ranges)
        table = with_columns(file.read_row_groups(groups.tolist()), ARTICLES_SCHEMA)
    sizes = np.diff(footer.starts)[groups]
    starts_in_table = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    shifts = starts_in_table - footer.starts[groups]
    (start, stop), *more = ranges
    if not more and 2 * (stop - start) >= table.num_rows:
        return table.slice(start + int(shifts[0]), stop - start)
    # A slice would keep alive all that was read.
    wanted = np.concatenate([np.arange(start, stop) for start, stop in ranges])
    group_of = np.searchsorted(footer.starts, wanted, side="right") - 1
    return table.take(pa.array(wanted + shifts[np.searchsorted(groups, group_of)]))


class _Footer:
    """A part's metadata and the first row of each of its row groups, and of the end."""

    def __init__(self, part: Part) -> None:
        with part.open() as file:
            self.metadata = file.metadata
        sizes = [self.metadata.row_group(i).num_rows for i in range(self.metadata.num_row_groups)]
        self.starts = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))

    def groups_of(self, ranges: list[list[int]]) -> Any:
        """The row groups that have some of the rows, in order, each once."""
        starts, stops = np.array(ranges).T
        firsts = np.searchsorted(self.starts, starts, side="right") - 1
        lasts = np.searchsorted(self.starts, stops, side="left")
        pairs = zip(firsts.tolist(), lasts.tolist(), strict=True)
        return np.unique(np.concatenate([np.arange(first, last) for first, last in pairs]))


class _Footers:
    """The footers of the parts read last; a part of articles never changes under its name.

    What is shared is the footer and not the open file: readers of one file must not overlap.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[str, _Footer] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, part: Part) -> _Footer:
        key = str(part)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        footer = _Footer(part)
        with self._lock:
            self._known[key] = footer
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return footer


_footers = _Footers(_FOOTERS)
