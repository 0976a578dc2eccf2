"""Answers whose article left the lake before they were committed: paid for, hence kept."""

from __future__ import annotations

import pyarrow as pa

from tasks.cleaning.canonical import ARTICLES_SCHEMA
from tasks.enriched import EnrichedTable
from tasks.lake import part_name
from tasks.outcomes import Outcome
from tasks.sorted_keys import KeySet, keys_of_bytes
from tasks.superseded import current_stretches


def keep_orphans(table: EnrichedTable, outcomes: list[Outcome], flow_run_id: str) -> set[str]:
    """Keep the answers that no article of the lake waits for, and tell the content hashes of all.

    They go below ``superseded/`` without the columns of their articles, which nobody has any more.
    An article that comes back gets its answer from there. Failures are not kept.
    """
    texts = _texts_without_article(table, [outcome.content_hash for outcome in outcomes])
    kept = [each for each in outcomes if each.content_hash in texts and each.answered]
    if kept:
        hashes = [outcome.content_hash for outcome in kept]
        columns = {name: pa.nulls(len(kept), kind) for name, kind in _COLUMNS}
        articles = pa.table({**columns, "content_hash": hashes}, schema=ARTICLES_SCHEMA)
        rows = table.rows(articles, kept, flow_run_id)
        table.lake.write_part(table.superseded, part_name("orphans"), rows)
    return texts


_COLUMNS = [(field.name, field.type) for field in ARTICLES_SCHEMA]


def _texts_without_article(table: EnrichedTable, texts: list[str]) -> set[str]:
    keys = [bytes.fromhex(text) for text in texts]
    wanted, found = KeySet(keys), KeySet()
    for _, stretch, current in current_stretches(table.lake):
        here = stretch.texts.take(current)
        found.add_keys(here.take(wanted.contains_keys(here)))
    has_article = found.contains_keys(keys_of_bytes(keys))
    return {text for text, has in zip(texts, has_article, strict=True) if not has}
