"""Batches of article rows: cut by the planner, read by the job."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA, Mask
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parquet_parts import conform_to_schema, row_group_starts

Batch = dict[str, Any]
"""Rows by part: ``{"number": 7, "size": 50, "rows": {part: [[start, stop], ...]}}``.

Part names are relative to the lake, rows count from 0. A batch is a task parameter, so it is a few
KB at most and holds no article text.
"""


class BatchCutter:
    """A builder of batches from row positions: all of equal size, except the last.

    Args:
        size: Rows in a batch.
        numbers: Yields the number of each batch.

    Attributes:
        ready: The full batches.

    Example:
        >>> from itertools import count
        >>> cutter = BatchCutter(2, count(1))
        >>> cutter.add("articles/p.parquet", 100, np.array([True, False, True, True]))
        >>> cutter.finish()
        >>> [batch["rows"] for batch in cutter.ready]
        [{'articles/p.parquet': [[100, 101], [102, 103]]}, {'articles/p.parquet': [[103, 104]]}]
    """

    def __init__(self, size: int, numbers: Iterator[int]) -> None:
        self.ready: deque[Batch] = deque()
        self._size = size
        self._numbers = numbers
        self._rows: dict[str, list[list[int]]] = {}
        self._count = 0

    def add(self, part: str, first: int, selected: Mask) -> None:
        """Add the selected rows of a part; the flags begin at row ``first``."""
        edges = np.flatnonzero(np.diff(selected, prepend=False, append=False)) + first
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
        """Make a batch of the remaining rows, if there are any."""
        if self._count:
            number = next(self._numbers)
            self.ready.append({"number": number, "size": self._count, "rows": self._rows})
            self._rows, self._count = {}, 0


def read_batch(lake: Lake, batch: Batch) -> pa.Table:
    """Read the articles (``ARTICLES_SCHEMA``) of a batch. Thread-safe.

    Raises:
        UserError: A part is missing or damaged.
    """
    tables = [_read_rows(lake, part, ranges) for part, ranges in batch["rows"].items()]
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables)


def _read_rows(lake: Lake, part: str, ranges: list[list[int]]) -> pa.Table:
    footer = lake.footer(part)
    starts = row_group_starts(footer)
    rows = np.concatenate([np.arange(start, stop) for start, stop in ranges])
    groups, group_of = np.unique(
        np.searchsorted(starts, rows, side="right") - 1, return_inverse=True
    )
    with lake.part(part).open(footer) as file:
        table = conform_to_schema(file.read_row_groups(groups.tolist()), ARTICLES_SCHEMA)
    sizes = np.diff(starts)[groups]
    starts_in_table = np.cumsum(sizes) - sizes
    rows_in_table = rows + (starts_in_table - starts[groups])[group_of]
    if len(ranges) == 1 and 2 * len(rows) >= table.num_rows:
        return table.slice(int(rows_in_table[0]), len(rows))
    # A slice would keep the whole table in memory.
    return table.take(pa.array(rows_in_table))
