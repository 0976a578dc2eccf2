"""The failures table tells what stands: one row an article, and none that has its answer."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.enriched import FAILURE_SCHEMA, EnrichedTable
from tasks.key_columns import id_tags, read_keys, row_keys, text_keys
from tasks.keys import KeySet
from tasks.lake import open_part, part_name
from tasks.sorted_keys import Flags, Keys, order_of


def settle_failures(table: EnrichedTable) -> pa.Table:
    """Rewrite the failures as one part without stale rows, and return them.

    The new part is there before the old ones go: a crash between leaves rows twice, never none,
    and the next run settles them. Without a failure it takes no time; with one, two columns of
    the enriched table are read through once.
    """
    lake = table.lake
    parts = lake.parts(table.failures)
    if not parts:
        return FAILURE_SCHEMA.empty_table()
    rows = pa.concat_tables(open_part(part).read().cast(FAILURE_SCHEMA) for part in parts)
    standing = _standing(table, rows)
    if len(parts) == 1 and standing.num_rows == rows.num_rows:
        return standing
    if standing.num_rows:
        lake.write_part(table.failures, part_name("failures"), standing)
    for part in parts:
        part.unlink()
    return standing


def _standing(table: EnrichedTable, rows: pa.Table) -> pa.Table:
    """The newest failure of each article that has no answer, in the order of time."""
    if not rows.num_rows:
        return rows
    rows = rows.sort_by([("failed_at", "descending")])
    keys = row_keys(text_keys(_column(rows, "content_hash")), id_tags(_column(rows, "article_id")))
    stands = order_of(keys).is_first & ~_answered(table, keys)
    return rows.take(pa.array(np.flatnonzero(stands)[::-1]))


def _answered(table: EnrichedTable, rows: Keys) -> Flags:
    """Which of some rows the enriched table has; holds no more of it than they are."""
    wanted, found = KeySet(), KeySet()
    wanted.add_keys(rows)
    for answered, tags in read_keys(table.lake.parts(table.folder)):
        keys = row_keys(answered, tags)
        found.add_keys(keys.take(wanted.contains_keys(keys)))
    return found.contains_keys(rows)


def _column(rows: pa.Table, name: str) -> pa.Array:
    return pa.concat_arrays(rows[name].chunks)
