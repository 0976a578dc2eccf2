"""Superseded rows of articles: marked by tombstones at once, and moved out of the table later.

A load writes tombstones for the rows that it replaces, as parts below ``_staging/superseded/``.
From then on, every run ignores these rows. They are moved from ``articles/`` to
``superseded/articles/`` once no run relies on the parts that contain them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA, Mask
from article_flows.tasks.lake.compaction import merge_small_parts, retire_rows, upgrade_parts
from article_flows.tasks.lake.key_columns import KEY_BATCH_ROWS, KeyBatch, keys_of, read_key_batches
from article_flows.tasks.lake.lake import STAGING, Lake
from article_flows.tasks.lake.merge_log import finish_merges
from article_flows.tasks.lake.parquet_parts import ROW_GROUP, Part
from article_flows.tasks.lake.sorted_keys import Keys, KeySet

ARTICLE_PARTS_LOCK = "articles-parts"
"""Name of the lock on the parts of articles: shared by readers, exclusive to replace parts."""

_BATCH_ROWS = 1_000
"""Rows per batch when articles are read with their texts."""

TOMBSTONES = f"{STAGING}/superseded"
TOMBSTONE_SCHEMA = pa.schema(
    [("part", pa.string()), ("article_id", pa.string()), ("content_hash", pa.string())]
)


def write_tombstones(lake: Lake, name: str, rows: pa.Table) -> None:
    """Mark article rows as superseded.

    Args:
        name: A unique name for the tombstones.
        rows: The part, id and content hash of each row, in `TOMBSTONE_SCHEMA`.
    """
    lake.write_part(TOMBSTONES, f"{name}.parquet", rows)


class Tombstones:
    """The tombstones of superseded article rows.

    Args:
        lakes: The lakes to read tombstones from.

    Raises:
        UserError: A part with tombstones is damaged.
    """

    def __init__(self, *lakes: Lake) -> None:
        self._lists = [
            Part(lake.storage, *file) for lake in lakes for file in lake.storage.list(TOMBSTONES)
        ]
        self._rows: dict[str, KeySet] = {}
        for part in self._lists:
            with part.open() as file:
                self._add(file.read())

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def among(self, part: str, rows: Keys) -> Mask:
        """Return which rows of a part, given by their keys, are superseded."""
        if part not in self._rows:
            return np.zeros(len(rows.high), np.bool_)
        return self._rows[part].contains_keys(rows)

    def retire(self, lake: Lake) -> int:
        """Move superseded rows out of the table, and delete the tombstones.

        Needs the exclusive lock `ARTICLE_PARTS_LOCK`.

        Returns:
            The number of rows moved.
        """
        moved = 0
        for part in lake.parts(lake.articles):
            if part.name in self._rows:
                is_superseded = self._rows[part.name].contains_keys
                moved += retire_rows(lake, part, ARTICLES_SCHEMA, ROW_GROUP, is_superseded)
        for each in self._lists:
            lake.storage.delete(each.name)
        return moved

    def _add(self, rows: pa.Table) -> None:
        for part in pc.unique(rows["part"]).to_pylist():
            part_rows = rows.filter(pc.equal(rows["part"], part))
            self._rows.setdefault(part, KeySet()).add_keys(keys_of(part_rows))


def current_articles(lake: Lake, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the current rows of articles in batches.

    Args:
        columns: Columns to read in addition to ``article_id`` and ``content_hash``.
    """
    for _, batch, current in current_key_batches(lake, columns, _BATCH_ROWS):
        yield batch.columns.filter(pa.array(current))


def current_key_batches(
    lake: Lake, columns: Sequence[str] = (), rows: int = KEY_BATCH_ROWS
) -> Iterator[tuple[Part, KeyBatch, Mask]]:
    """Yield all rows of articles in batches, each with its part and a mask of the current rows."""
    superseded = Tombstones(lake)
    for part in lake.parts(lake.articles):
        for batch in read_key_batches(part, columns, rows):
            yield part, batch, ~superseded.among(part.name, batch.keys)


def current_row_keys(lake: Lake) -> KeySet:
    """Return the keys (id and content) of all current articles; 16 bytes each."""
    keys = KeySet()
    for _, batch, current in current_key_batches(lake):
        keys.add_keys(batch.keys.take(current))
    return keys


def compact_articles(lake: Lake) -> None:
    """Move superseded rows out of the articles table, and merge its small parts.

    Needs the exclusive lock `ARTICLE_PARTS_LOCK`.
    """
    finish_merges(lake.storage, lake.articles)
    Tombstones(lake).retire(lake)
    for folder in (lake.articles, f"{lake.superseded}/{lake.articles}"):
        upgrade_parts(lake, folder, ARTICLES_SCHEMA, ROW_GROUP)
    merge_small_parts(lake, lake.articles, ARTICLES_SCHEMA, ROW_GROUP)
