"""Articles that are current no longer: known at once, and out of the table when nobody reads it.

A load lists the rows that it replaces below ``_staging/superseded/``. From then on no run takes
them for articles. They leave ``articles/`` for ``superseded/articles/`` as soon as nobody relies
on the parts that they are in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.lake.compaction import merge_small_parts, retire_rows, upgrade_parts
from article_flows.tasks.lake.key_columns import KEY_BATCH_ROWS, KeyBatch, keys_of, read_key_batches
from article_flows.tasks.lake.lake import STAGING, Lake
from article_flows.tasks.lake.merge_log import finish_merges
from article_flows.tasks.lake.parts import ROW_GROUP, Part
from article_flows.tasks.lake.sorted_keys import Flags, Keys, KeySet

ARTICLE_PARTS = "articles-parts"
"""Lock on the parts of articles: shared by who relies on them, exclusive for who replaces some."""

_ROWS_AT_ONCE = 1_000
"""Rows that are read together with their texts."""

LISTS = f"{STAGING}/superseded"
LIST_SCHEMA = pa.schema(
    [("part", pa.string()), ("article_id", pa.string()), ("content_hash", pa.string())]
)


def list_superseded(lake: Lake, name: str, rows: pa.Table) -> None:
    """Have rows of articles (of LIST_SCHEMA) be current no longer from now on."""
    lake.write_part(LISTS, f"{name}.parquet", rows)


class Superseded:
    """The rows of articles that are listed as current no longer.

    Raises:
        UserError: a list is damaged.
    """

    def __init__(self, *lakes: Lake) -> None:
        self._lists = [
            Part(lake.storage, *file) for lake in lakes for file in lake.storage.list(LISTS)
        ]
        self._rows: dict[str, KeySet] = {}
        for part in self._lists:
            with part.open() as file:
                self._add(file.read())

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def among(self, part: str, rows: Keys) -> Flags:
        """Which of some rows of a part, by their keys, are current no longer."""
        if part not in self._rows:
            return np.zeros(len(rows.high), np.bool_)
        return self._rows[part].contains_keys(rows)

    def retire(self, lake: Lake) -> int:
        """Move them out of the table; returns how many. Needs the exclusive lock."""
        moved = 0
        for part in lake.parts(lake.articles):
            if part.name in self._rows:
                gone = self._rows[part.name].contains_keys
                moved += retire_rows(lake, part, ARTICLES_SCHEMA, ROW_GROUP, gone)
        for each in self._lists:
            lake.storage.delete(each.name)
        return moved

    def _add(self, rows: pa.Table) -> None:
        for part in pc.unique(rows["part"]).to_pylist():
            of_part = rows.filter(pc.equal(rows["part"], part))
            self._rows.setdefault(part, KeySet()).add_keys(keys_of(of_part))


def current_articles(lake: Lake, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The current rows of articles, some at a time, with article_id, content_hash and others."""
    for _, stretch, current in current_key_batches(lake, columns, _ROWS_AT_ONCE):
        yield stretch.columns.filter(pa.array(current))


def current_key_batches(
    lake: Lake, columns: Sequence[str] = (), rows: int = KEY_BATCH_ROWS
) -> Iterator[tuple[Part, KeyBatch, Flags]]:
    """All rows of articles, some at a time, and which of them are current."""
    superseded = Superseded(lake)
    for part in lake.parts(lake.articles):
        for stretch in read_key_batches(part, columns, rows):
            yield part, stretch, ~superseded.among(part.name, stretch.keys)


def current_rows(lake: Lake) -> KeySet:
    """The keys (id and content) of all articles; 16 bytes each."""
    current = KeySet()
    for _, stretch, flags in current_key_batches(lake):
        current.add_keys(stretch.keys.take(flags))
    return current


def tidy_articles(lake: Lake) -> None:
    """Take superseded rows out of the table and merge its small parts; needs the exclusive lock."""
    finish_merges(lake.storage, lake.articles)
    Superseded(lake).retire(lake)
    for folder in (lake.articles, f"{lake.superseded}/{lake.articles}"):
        upgrade_parts(lake, folder, ARTICLES_SCHEMA, ROW_GROUP)
    merge_small_parts(lake, lake.articles, ARTICLES_SCHEMA, ROW_GROUP)
