"""Answers whose article left the lake before they were committed: paid for, hence kept."""

from __future__ import annotations

import pyarrow as pa

from tasks.cleaning.canonical import ARTICLES_SCHEMA
from tasks.enriched import EnrichedTable
from tasks.key_columns import texts_among
from tasks.lake import part_name
from tasks.outcomes import Outcome
from tasks.superseded import current_stretches


def keep_orphans(table: EnrichedTable, outcomes: list[Outcome], flow_run_id: str) -> set[str]:
    """Keep the answers that no article of the lake waits for, and tell the content hashes of all.

    They go below ``superseded/`` without the columns of their articles, which nobody has any more.
    An article that comes back gets its answer from there. Failures are not kept.
    """
    texts = {outcome.content_hash for outcome in outcomes}
    here = (stretch.texts.take(rows) for _, stretch, rows in current_stretches(table.lake))
    texts -= texts_among(here, texts)
    kept = [each for each in outcomes if each.content_hash in texts and each.answered]
    if kept:
        hashes = [outcome.content_hash for outcome in kept]
        columns = {each.name: pa.nulls(len(kept), each.type) for each in ARTICLES_SCHEMA}
        articles = pa.table({**columns, "content_hash": hashes}, schema=ARTICLES_SCHEMA)
        rows = table.rows(articles, kept, flow_run_id)
        table.lake.write_part(table.superseded, part_name("orphans"), rows)
    return texts
