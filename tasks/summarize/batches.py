"""Batches: which rows of which parts belong together, and how to read them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parts import group_starts, with_columns
from article_flows.tasks.lake.sorted_keys import Flags

Batch = dict[str, Any]
"""Which rows of which parts: ``{"number": 7, "size": 50, "rows": {part: [[start, stop], ...]}}``.

Parts are named relative to the lake; rows count from 0; a few KB at most, never article text.
"""


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
    tables = [_read_rows(lake, part, ranges) for part, ranges in batch["rows"].items()]
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables)


def _read_rows(lake: Lake, part: str, ranges: list[list[int]]) -> pa.Table:
    footer = lake.footer(part)
    starts = group_starts(footer)
    wanted = np.concatenate([np.arange(start, stop) for start, stop in ranges])
    groups, group_of = np.unique(
        np.searchsorted(starts, wanted, side="right") - 1, return_inverse=True
    )
    with lake.part(part).open(footer) as file:
        table = with_columns(file.read_row_groups(groups.tolist()), ARTICLES_SCHEMA)
    sizes = np.diff(starts)[groups]
    starts_in_table = np.cumsum(sizes) - sizes
    rows = wanted + (starts_in_table - starts[groups])[group_of]
    if len(ranges) == 1 and 2 * len(rows) >= table.num_rows:
        return table.slice(int(rows[0]), len(rows))
    # A slice would keep alive all that was read.
    return table.take(pa.array(rows))
