"""Compaction: small parts become large ones, and rows that are current no longer leave the table.

Tables of an earlier version get their new columns, as nulls. All of it means to write parts anew
without losing or doubling a row, whatever happens meanwhile (`merge_log.py`). Rows that leave go
to the folder of the same name below ``superseded/``.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np
import pyarrow as pa

from article_flows.tasks.lake.key_columns import keys_of, read_key_batches
from article_flows.tasks.lake.lake import STAGING, Lake
from article_flows.tasks.lake.merge_log import complete_merge, note_merge
from article_flows.tasks.lake.parts import Part, PartWriter, part_name
from article_flows.tasks.lake.sorted_keys import Flags, Keys, count_flags

MAX_PART_BYTES = 64 << 20
"""A part of this size is not merged any more."""

_FEWEST = 8
"""Parts of about the same size that are worth merging: every row is written again about once for
each time that its table grows eightfold, as in a log-structured merge tree."""

_SMALLEST_TIER = 64 << 10
_ROWS_AT_ONCE = 2_000

ADDED_COLUMNS = ("reference_summary", "flags")
"""Columns of articles that lakes of earlier versions have not until they are upgraded."""
_UPGRADED = f"{STAGING}/schemas"
"""Folder with a file for each folder of parts that was looked through."""

Stale = Callable[[pa.RecordBatch], Flags]
"""Says of each row of a batch whether it has to leave the table."""


def merge_small_parts(lake: Lake, folder: str, schema: pa.Schema, row_group: int) -> int:
    """Merge a folder's small parts, where there are enough; returns how many were replaced.

    To be called by the only writer of the folder, while nobody relies on a part's name.
    """
    replaced = 0
    while chosen := _choose(lake.parts(folder)):
        rewrite_parts(lake, chosen, schema, row_group)
        replaced += len(chosen)
    return replaced


def retire_rows(
    lake: Lake, part: Part, schema: pa.Schema, row_group: int, gone: Callable[[Keys], Flags]
) -> int:
    """Move rows out of a part to ``superseded/``; returns how many.

    ``gone`` says by their identities (id and content) which rows have to leave. To be called by the
    only writer of the part's folder, while nobody relies on its name.
    """
    found = sum(count_flags(gone(stretch.keys)) for stretch in read_key_batches(part))
    if found:
        rewrite_parts(lake, [part], schema, row_group, lambda batch: gone(keys_of(batch)))
    return found


def rewrite_parts(
    lake: Lake,
    parts: list[Part],
    schema: pa.Schema,
    row_group: int,
    stale: Stale | None = None,
) -> None:
    """Write the rows of some parts of a folder as one new part, but for those that have to leave.

    ``stale`` is shown all rows, some at a time, in their order. To be called as ``retire_rows``.
    """
    home, _, first = parts[0].name.rpartition("/")
    with contextlib.ExitStack() as abandoned:
        kept, left = (
            PartWriter(lake.storage, name, schema, row_group)
            for name in (f"{home}/{part_name()}", f"{lake.superseded}/{home}/{first}")
        )
        abandoned.callback(kept.abandon)
        abandoned.callback(left.abandon)
        for rows in _batches(parts):
            goes = np.zeros(rows.num_rows, np.bool_) if stale is None else stale(rows)
            for writer, flags in ((kept, ~goes), (left, goes)):
                if flags.any():
                    chosen = rows if flags.all() else rows.filter(pa.array(flags))
                    writer.write_table(pa.Table.from_batches([chosen]))
        # In this order a crash leaves a row in both places at worst, which the next run mends.
        if left.rows:
            left.commit()
        old = [part.name for part in parts]
        note = note_merge(lake.storage, home, old, kept.name if kept.rows else None)
        if kept.rows:
            kept.commit()
        complete_merge(lake.storage, note)


def _choose(parts: list[Part]) -> list[Part]:
    """Parts of one size tier that make a part of at most MOST_BYTES; none if they are few."""
    tiers: dict[int, list[Part]] = defaultdict(list)
    for part in parts:
        if part.size < MAX_PART_BYTES / 2:
            tiers[_tier(part.size)].append(part)
    for _, tier in sorted(tiers.items()):
        if len(tier) >= _FEWEST:
            sizes = itertools.accumulate(part.size for part in tier)
            fitting = sum(size <= MAX_PART_BYTES for size in sizes)
            return tier[: max(fitting, 2)]
    return []


def _tier(size: int) -> int:
    return int(math.log(max(size, _SMALLEST_TIER) / _SMALLEST_TIER, _FEWEST))


def _batches(parts: Iterable[Part]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        with part.open() as file:
            yield from file.iter_batches(_ROWS_AT_ONCE)


def upgrade_parts(lake: Lake, folder: str, schema: pa.Schema, row_group: int) -> int:
    """Write those parts of a folder anew that lack columns of its schema; returns how many.

    Looks into each part once in the life of a lake, and for each schema. To be called by the only
    writer of the folder, while nobody relies on a part's name.
    """
    mark = f"{_UPGRADED}/{folder.replace('/', '.')}-{len(schema)}"
    if any(file.name == mark for file in lake.storage.list(_UPGRADED)):
        return 0
    old = [part for part in lake.parts(folder) if _lacks_columns(part, schema)]
    for part in old:
        rewrite_parts(lake, [part], schema, row_group)
    lake.storage.write(mark, b"looked through\n")  # an empty object may be a folder
    return len(old)


def is_earlier(schema: pa.Schema, now: pa.Schema, required: Collection[str] = ()) -> bool:
    """Tell whether a part's schema is what a table's was before `ADDED_COLUMNS` were.

    Args:
        schema: of the part.
        now: of the table; a column of articles may be ``article_<name>`` in it.
        required: columns of the table that are always there.
    """
    may_lack = {f"{prefix}{name}" for prefix in ("", "article_") for name in ADDED_COLUMNS} - {
        *required
    }
    left = [field for field in now if field.name in schema.names or field.name not in may_lack]
    return bool(schema.equals(pa.schema(left), check_metadata=False))


def _lacks_columns(part: Part, schema: pa.Schema) -> bool:
    with part.open() as file:
        return set(file.schema.names) < set(schema.names)
