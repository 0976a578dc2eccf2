"""Upkeep of an enriched table at the end of a run: what is in it is current, in few parts.

Answers whose article left the lake before they were committed are kept: they were paid for.
"""

from __future__ import annotations

import pyarrow as pa

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.enriched.failures import settle_failures
from article_flows.tasks.enriched.outcomes import Outcome
from article_flows.tasks.enriched.table import FAILURE_SCHEMA, EnrichedTable
from article_flows.tasks.lake.compaction import merge_small_parts, retire_rows, upgrade_parts
from article_flows.tasks.lake.key_columns import texts_among
from article_flows.tasks.lake.merge_log import finish_merges
from article_flows.tasks.lake.parts import part_name
from article_flows.tasks.lake.superseded import current_key_batches, current_rows

_ROW_GROUP = 2_000
"""Rows in a row group of a merged part, which whole columns are read from rather than rows."""


def finish_upkeep(table: EnrichedTable) -> None:
    """Finish what a killed run left half done; bring parts of an earlier version up to date."""
    for folder in (table.folder, table.failures, table.superseded, table.superseded_failures):
        finish_merges(table.lake.storage, folder)
    for folder in (table.folder, table.superseded):
        upgrade_parts(table.lake, folder, table.schema, _ROW_GROUP)


def keep_up(table: EnrichedTable, *, all_rows_current: bool) -> pa.Table:
    """Take out what is current no longer, and merge small parts; returns the standing failures.

    Rows whose article was changed or removed go to ``superseded/``. To be called by the only
    writer of the table.

    Args:
        table: the table.
        all_rows_current: every row is known to be of an article as it is; saves a look at them.
    """
    lake = table.lake
    some_failed = bool(lake.parts(table.failures))
    current = None if all_rows_current and not some_failed else current_rows(lake)
    if current is not None and not all_rows_current:
        is_current = current.contains_keys
        for part in lake.parts(table.folder):
            retire_rows(lake, part, table.schema, _ROW_GROUP, lambda keys: ~is_current(keys))
    failures = settle_failures(table, current)
    for folder, schema in (
        (table.folder, table.schema),
        (table.superseded, table.schema),
        (table.superseded_failures, FAILURE_SCHEMA),
    ):
        merge_small_parts(lake, folder, schema, _ROW_GROUP)
    return failures


def keep_orphans(table: EnrichedTable, outcomes: list[Outcome], flow_run_id: str) -> set[str]:
    """Keep the answers that no article of the lake waits for, and tell the content hashes of all.

    They go below ``superseded/`` without the columns of their articles, which nobody has any more.
    An article that comes back gets its answer from there. Failures are not kept.
    """
    texts = {outcome.content_hash for outcome in outcomes}
    here = (stretch.texts.take(rows) for _, stretch, rows in current_key_batches(table.lake))
    texts -= texts_among(here, texts)
    kept = [each for each in outcomes if each.content_hash in texts and each.answered]
    if kept:
        hashes = [outcome.content_hash for outcome in kept]
        columns = {each.name: pa.nulls(len(kept), each.type) for each in ARTICLES_SCHEMA}
        articles = pa.table({**columns, "content_hash": hashes}, schema=ARTICLES_SCHEMA)
        rows = table.rows(articles, kept, flow_run_id)
        table.lake.write_part(table.superseded, part_name("orphans"), rows)
    return texts
