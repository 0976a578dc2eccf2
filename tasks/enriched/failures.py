"""Failures of an enriched table: one current row per article that has no answer yet.

Upkeep compacts them at the end of a run; the planner skips articles that failed permanently.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from article_flows.tasks.common.article_schema import Mask
from article_flows.tasks.enriched.table import FAILURE_SCHEMA, EnrichedTable
from article_flows.tasks.lake.compaction import RowPredicate, rewrite_parts
from article_flows.tasks.lake.key_columns import KeyBatch, keys_of, read_parts, row_keys
from article_flows.tasks.lake.parquet_parts import ROW_GROUP, Part
from article_flows.tasks.lake.sorted_keys import (
    KeyOrder,
    Keys,
    KeySet,
    SortedKeys,
    UInt64Array,
    key_order,
    membership,
)
from article_flows.tasks.llm.protocol.errors import PERMANENT_ERROR_CLASSES


def compact_failures(table: EnrichedTable, current: KeySet | None = None) -> pa.Table:
    """Merge the failures into one part without stale rows, and return the remaining rows.

    A row is stale if its article has an answer, has failed again since, or is not current. Stale
    rows move to ``superseded/``, because they record a cost. If there are failures, two columns of
    the enriched table are read in full.

    Args:
        current: Keys (id and content) of the current articles; None if all rows are current.

    Returns:
        Rows of ``FAILURE_SCHEMA``, sorted by ``failed_at``.
    """
    lake = table.lake
    parts = lake.parts(table.failures)
    if not parts:
        return FAILURE_SCHEMA.empty_table()
    rows = pa.concat_tables(_read(part) for part in parts)
    is_valid = _valid_rows(table, rows, current)
    valid = rows.filter(pa.array(is_valid)).sort_by("failed_at")
    if len(parts) > 1 or not is_valid.all():
        rewrite_parts(lake, parts, FAILURE_SCHEMA, ROW_GROUP, _batchwise(~is_valid))
    return valid


def _valid_rows(table: EnrichedTable, rows: pa.Table, current: KeySet | None) -> Mask:
    """Flag the rows that are the newest failure of a current article without an answer."""
    if not rows.num_rows:
        return np.zeros(0, np.bool_)
    newest_first = pa.compute.sort_indices(rows["failed_at"]).to_numpy()[::-1]
    keys = keys_of(rows)
    is_newest = np.zeros(rows.num_rows, np.bool_)
    is_newest[newest_first[key_order(keys.take(newest_first)).is_first]] = True
    answered = (batch.keys for batch in read_parts(table.lake.parts(table.folder)))
    is_valid = is_newest & ~membership(answered, keys)
    return is_valid if current is None else is_valid & current.contains_keys(keys)


def _batchwise(flags: Mask) -> RowPredicate:
    """Return a function that slices ``flags`` for consecutive batches of rows."""
    end = 0

    def next_flags(batch: pa.RecordBatch) -> Mask:
        nonlocal end
        end += batch.num_rows
        return flags[end - batch.num_rows : end]

    return next_flags


def _read(part: Part) -> pa.Table:
    with part.open() as file:
        return file.read().cast(FAILURE_SCHEMA)


class PermanentFailures:
    """An index of the articles that failed permanently, by row and by text.

    A new index is empty; `from_table` reads the failures of a table.
    """

    def __init__(self) -> None:
        self._classes = sorted(PERMANENT_ERROR_CLASSES)
        self._rows = SortedKeys(valued=True)
        self._texts = SortedKeys()

    @classmethod
    def from_table(cls, table: EnrichedTable) -> PermanentFailures:
        """Read the permanent failures of a table."""
        permanent_failures = cls()
        for batch in read_parts(table.lake.parts(table.failures), ["error_class"]):
            permanent_failures._add(batch)
        return permanent_failures

    def look_up(
        self, texts: Keys, tags: UInt64Array, order: KeyOrder
    ) -> tuple[Mask, Mask, UInt64Array]:
        """Look up rows by the keys of their texts and the tags of their ids.

        Args:
            tags: Tags of the article ids.
            order: The sort order of ``texts``.

        Returns:
            For each row: whether its text failed permanently (under any id), whether the row
            itself did, and the code of its error class, for `count_classes`.
        """
        if not len(self._texts):
            none = np.zeros(len(tags), np.bool_)
            return none, none, np.zeros(len(tags), np.uint64)
        rows = row_keys(texts, tags)
        return self._texts.contains(texts, order), *self._rows.find(rows, key_order(rows))

    def count_classes(self, classes: UInt64Array) -> Counter[str]:
        """Count rows by error class, given the codes that `look_up` returned."""
        codes, counts = np.unique(classes, return_counts=True)
        by_name = {self._classes[int(code)]: int(n) for code, n in zip(codes, counts, strict=True)}
        return Counter(by_name)

    def _add(self, batch: KeyBatch) -> None:
        names = batch.columns["error_class"].to_pylist()
        codes = np.array([_code(self._classes, name) for name in names], np.int64)
        permanent = codes >= 0
        texts, tags = batch.texts.take(permanent), batch.tags[permanent]
        class_codes = codes[permanent].astype(np.uint64)
        rows = row_keys(texts, tags)
        for keys, index, values in ((rows, self._rows, class_codes), (texts, self._texts, None)):
            order = key_order(keys)
            new = order.is_first & ~index.contains(keys, order)
            index.insert(keys.take(new), None if values is None else values[new])


def permanently_failed_texts(table: EnrichedTable) -> set[str]:
    """Return the content hashes of the articles that failed permanently."""
    texts: set[str] = set()
    for part in table.lake.parts(table.failures):
        with part.open() as file:
            rows: pa.Table = file.read(["content_hash", "error_class"])
        pairs = zip(*(column.to_pylist() for column in rows.columns), strict=True)
        texts.update(text for text, error_class in pairs if error_class in PERMANENT_ERROR_CLASSES)
    return texts


def _code(classes: list[str], name: str | None) -> int:
    return classes.index(name) if name in classes else -1
