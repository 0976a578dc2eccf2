"""Maintenance of an enriched table: retire stale rows, merge small parts, keep paid answers.

A run calls `repair_table` when it opens the table, and the other functions at its end.
"""

from __future__ import annotations

import pyarrow as pa

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.enriched.failures import compact_failures
from article_flows.tasks.enriched.outcomes import Outcome
from article_flows.tasks.enriched.table import FAILURE_SCHEMA, EnrichedTable
from article_flows.tasks.lake.compaction import merge_small_parts, retire_rows, upgrade_parts
from article_flows.tasks.lake.key_columns import texts_among
from article_flows.tasks.lake.merge_log import finish_merges
from article_flows.tasks.lake.parquet_parts import part_name
from article_flows.tasks.lake.tombstones import current_key_batches, current_row_keys

_ROW_GROUP = 2_000
"""Rows in a row group of a merged part, of which whole columns are usually read."""


def repair_table(table: EnrichedTable) -> None:
    """Finish merges that a killed run left incomplete, and upgrade parts of earlier versions."""
    for folder in (table.folder, table.failures, table.superseded, table.superseded_failures):
        finish_merges(table.lake.storage, folder)
    for folder in (table.folder, table.superseded):
        upgrade_parts(table.lake, folder, table.schema, _ROW_GROUP)


def maintain_table(table: EnrichedTable, *, all_rows_current: bool) -> pa.Table:
    """Retire rows of changed or removed articles to ``superseded/``, and merge small parts.

    The caller must hold the table's lock.

    Args:
        all_rows_current: Whether every row is known to be current, which saves reading them.

    Returns:
        The remaining failures, rows of ``FAILURE_SCHEMA``.
    """
    lake = table.lake
    has_failures = bool(lake.parts(table.failures))
    current = None if all_rows_current and not has_failures else current_row_keys(lake)
    if current is not None and not all_rows_current:
        is_current = current.contains_keys
        for part in lake.parts(table.folder):
            retire_rows(lake, part, table.schema, _ROW_GROUP, lambda keys: ~is_current(keys))
    failures = compact_failures(table, current)
    for folder, schema in (
        (table.folder, table.schema),
        (table.superseded, table.schema),
        (table.superseded_failures, FAILURE_SCHEMA),
    ):
        merge_small_parts(lake, folder, schema, _ROW_GROUP)
    return failures


def store_orphaned_answers(
    table: EnrichedTable, outcomes: list[Outcome], flow_run_id: str
) -> set[str]:
    """Store the answers whose article is no longer in the lake below ``superseded/``.

    They were paid for, and an article that returns gets its answer from there. The columns of the
    article are null. Failures are dropped.

    Returns:
        The content hashes of all outcomes without a current article.
    """
    texts = {outcome.content_hash for outcome in outcomes}
    current = (batch.texts.take(rows) for _, batch, rows in current_key_batches(table.lake))
    texts -= texts_among(current, texts)
    orphans = [each for each in outcomes if each.content_hash in texts and each.answered]
    if orphans:
        hashes = [outcome.content_hash for outcome in orphans]
        nulls = {each.name: pa.nulls(len(orphans), each.type) for each in ARTICLES_SCHEMA}
        articles = pa.table({**nulls, "content_hash": hashes}, schema=ARTICLES_SCHEMA)
        rows = table.rows(articles, orphans, flow_run_id)
        table.lake.write_part(table.superseded, part_name("orphans"), rows)
    return texts
