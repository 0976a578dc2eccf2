"""Compaction: merge small parts, move superseded rows out of a table, add new columns to old parts.

All of these rewrite parts. `merge_log.py` ensures that a crash neither loses nor duplicates a row.
Rows that leave a table are moved to the folder of the same name below ``superseded/``.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np
import pyarrow as pa

from article_flows.tasks.common.article_schema import Mask
from article_flows.tasks.lake.key_columns import keys_of, read_key_batches
from article_flows.tasks.lake.lake import STAGING, Lake
from article_flows.tasks.lake.merge_log import begin_merge, complete_merge
from article_flows.tasks.lake.parquet_parts import Part, PartWriter, part_name
from article_flows.tasks.lake.sorted_keys import Keys, count_true

MAX_PART_BYTES = 64 << 20
"""Largest size of a merged part, in bytes."""

_MIN_PARTS = 8
"""Least number of parts of similar size to merge. As in a log-structured merge tree, each row is
rewritten about once per eightfold growth of its table."""

_SMALLEST_TIER_BYTES = 64 << 10
_BATCH_ROWS = 2_000

ADDED_COLUMNS = ("reference_summary", "flags")
"""Columns of articles that lakes of earlier versions lack until they are upgraded."""
_UPGRADE_MARKERS = f"{STAGING}/schemas"
"""Folder with a marker file for each folder of parts that was upgraded."""

RowPredicate = Callable[[pa.RecordBatch], Mask]
"""Returns for each row of a batch whether it must leave the table."""


def merge_small_parts(lake: Lake, folder: str, schema: pa.Schema, row_group: int) -> int:
    """Merge a folder's small parts if there are enough; return the number of merged parts.

    The caller must be the folder's only writer, and no other run may rely on its parts' names.
    """
    merged = 0
    while parts := _parts_to_merge(lake.parts(folder)):
        rewrite_parts(lake, parts, schema, row_group)
        merged += len(parts)
    return merged


def retire_rows(
    lake: Lake, part: Part, schema: pa.Schema, row_group: int, is_stale: Callable[[Keys], Mask]
) -> int:
    """Move rows from a part to ``superseded/``; return their number.

    The caller must be the folder's only writer, and no other run may rely on the part's name.

    Args:
        schema: The schema of the part's table.
        row_group: Rows per row group of the parts to write.
        is_stale: Returns which rows to move, by their keys (id and content).
    """
    count = sum(count_true(is_stale(batch.keys)) for batch in read_key_batches(part))
    if count:
        rewrite_parts(lake, [part], schema, row_group, lambda rows: is_stale(keys_of(rows)))
    return count


def rewrite_parts(
    lake: Lake,
    parts: list[Part],
    schema: pa.Schema,
    row_group: int,
    is_stale: RowPredicate | None = None,
) -> None:
    """Rewrite some parts of a folder as one new part, and move stale rows to ``superseded/``.

    The same conditions apply as for `retire_rows`. ``is_stale`` sees all rows in order, in batches.
    """
    folder, _, first = parts[0].name.rpartition("/")
    with contextlib.ExitStack() as cleanup:
        kept, retired = (
            PartWriter(lake.storage, name, schema, row_group)
            for name in (f"{folder}/{part_name()}", f"{lake.superseded}/{folder}/{first}")
        )
        cleanup.callback(kept.abort)
        cleanup.callback(retired.abort)
        for rows in _batches(parts):
            stale = np.zeros(rows.num_rows, np.bool_) if is_stale is None else is_stale(rows)
            for writer, mask in ((kept, ~stale), (retired, stale)):
                if mask.any():
                    selected = rows if mask.all() else rows.filter(pa.array(mask))
                    writer.write_table(pa.Table.from_batches([selected]))
        # In this order, a crash at worst leaves a row in both places, which the next run repairs.
        if retired.rows:
            retired.commit()
        old = [part.name for part in parts]
        note = begin_merge(lake.storage, folder, old, kept.name if kept.rows else None)
        if kept.rows:
            kept.commit()
        complete_merge(lake.storage, note)


def _parts_to_merge(parts: list[Part]) -> list[Part]:
    """Return parts of one size tier that fit into one part; empty if no tier has enough."""
    tiers: dict[int, list[Part]] = defaultdict(list)
    for part in parts:
        if part.size < MAX_PART_BYTES / 2:
            tiers[_tier(part.size)].append(part)
    for _, tier in sorted(tiers.items()):
        if len(tier) >= _MIN_PARTS:
            sizes = itertools.accumulate(part.size for part in tier)
            fitting = sum(size <= MAX_PART_BYTES for size in sizes)
            return tier[: max(fitting, 2)]
    return []


def _tier(size: int) -> int:
    ratio = max(size, _SMALLEST_TIER_BYTES) / _SMALLEST_TIER_BYTES
    return int(math.log(ratio, _MIN_PARTS))


def _batches(parts: Iterable[Part]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        with part.open() as file:
            yield from file.iter_batches(_BATCH_ROWS)


def upgrade_parts(lake: Lake, folder: str, schema: pa.Schema, row_group: int) -> int:
    """Rewrite the parts of a folder that lack columns of the schema; return their number.

    Each part is inspected once per schema in the life of a lake. The same conditions apply as for
    `merge_small_parts`.
    """
    marker = f"{_UPGRADE_MARKERS}/{folder.replace('/', '.')}-{len(schema)}"
    if any(file.name == marker for file in lake.storage.list(_UPGRADE_MARKERS)):
        return 0
    old = [part for part in lake.parts(folder) if _lacks_columns(part, schema)]
    for part in old:
        rewrite_parts(lake, [part], schema, row_group)
    lake.storage.write(marker, b"checked\n")  # an empty object could be a folder marker
    return len(old)


def is_earlier_schema(schema: pa.Schema, now: pa.Schema, required: Collection[str] = ()) -> bool:
    """Return whether a part's schema is the table's schema without some of `ADDED_COLUMNS`.

    Args:
        schema: The part's schema.
        now: The table's schema; it may contain a column of articles as ``article_<name>``.
        required: The columns of the table that no part may lack.
    """
    added = {f"{prefix}{name}" for prefix in ("", "article_") for name in ADDED_COLUMNS}
    optional = added - {*required}
    expected = [each for each in now if each.name in schema.names or each.name not in optional]
    return bool(schema.equals(pa.schema(expected), check_metadata=False))


def _lacks_columns(part: Part, schema: pa.Schema) -> bool:
    with part.open() as file:
        return set(file.schema.names) < set(schema.names)
