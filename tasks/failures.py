"""The failures table tells what stands: one row an article, and none that has its answer."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.compaction import Stale, rewrite_parts
from tasks.enriched import FAILURE_SCHEMA, EnrichedTable
from tasks.key_columns import id_tags, read_keys, row_keys, text_keys
from tasks.parts import ROW_GROUP, Part
from tasks.sorted_keys import Flags, Keys, KeySet, order_of


def settle_failures(table: EnrichedTable, current: KeySet | None = None) -> pa.Table:
    """Rewrite the failures as one part without stale rows, and return them.

    A row is stale if its article has its answer by now, has failed again since, or is not among
    the ``current`` ones (keys of id and content; None: all are). Stale rows are kept below
    ``superseded/``, for what they have cost. Without a failure it takes no time; with one, two
    columns of the enriched table are read through once.
    """
    lake = table.lake
    parts = lake.parts(table.failures)
    if not parts:
        return FAILURE_SCHEMA.empty_table()
    rows = pa.concat_tables(_read(part) for part in parts)
    stands = _standing(table, rows, current)
    standing = rows.filter(pa.array(stands)).sort_by("failed_at")
    if len(parts) > 1 or not stands.all():
        rewrite_parts(lake, parts, FAILURE_SCHEMA, ROW_GROUP, _in_order(~stands))
    return standing


def _standing(table: EnrichedTable, rows: pa.Table, current: KeySet | None) -> Flags:
    """Which rows are the newest failure of a current article that has no answer."""
    if not rows.num_rows:
        return np.zeros(0, np.bool_)
    by_age = pa.compute.sort_indices(rows["failed_at"]).to_numpy()[::-1]
    keys = row_keys(text_keys(_column(rows, "content_hash")), id_tags(_column(rows, "article_id")))
    newest = np.zeros(rows.num_rows, np.bool_)
    newest[by_age[order_of(keys.take(by_age)).is_first]] = True
    stands = newest & ~_answered(table, keys)
    return stands if current is None else stands & current.contains_keys(keys)


def _in_order(flags: Flags) -> Stale:
    """Gives of each batch the flags that are its own, if they are asked for in their order."""
    given = 0

    def of_batch(batch: pa.RecordBatch) -> Flags:
        nonlocal given
        given += batch.num_rows
        return flags[given - batch.num_rows : given]

    return of_batch


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


def _read(part: Part) -> pa.Table:
    with part.open() as file:
        return file.read().cast(FAILURE_SCHEMA)
