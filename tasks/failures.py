"""The failures table tells what stands: one row an article, and none that has its answer."""

from __future__ import annotations

import pyarrow as pa

from tasks.enriched import FAILURE_SCHEMA, EnrichedTable
from tasks.keys import row_key
from tasks.lake import open_part, part_name
from tasks.planning import answered_rows


def settle_failures(table: EnrichedTable) -> pa.Table:
    """Rewrite the failures as one part without stale rows, and return them.

    The new part is there before the old ones go: a crash between leaves rows twice, never none,
    and the next run settles them.
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
    """The newest failure of each article that has no answer."""
    rows = rows.sort_by("failed_at")
    keys = list(map(row_key, rows["article_id"].to_pylist(), rows["content_hash"].to_pylist()))
    answered = answered_rows(table).contains_many(keys)
    newest = {key: row for row, key in enumerate(keys) if not answered[row]}
    return rows.take(pa.array(sorted(newest.values()), pa.int64()))
