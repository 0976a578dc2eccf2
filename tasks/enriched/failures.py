"""The failures: the table tells what stands, and a plan who failed for good and what of.

One row an article stands, and none whose article has its answer.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from article_flows.tasks.enriched.table import FAILURE_SCHEMA, EnrichedTable
from article_flows.tasks.lake.compaction import Stale, rewrite_parts
from article_flows.tasks.lake.key_columns import KeyBatch, keys_of, read_parts, row_keys
from article_flows.tasks.lake.parts import ROW_GROUP, Part
from article_flows.tasks.lake.sorted_keys import (
    Flags,
    Keys,
    KeySet,
    Order,
    SortedKeys,
    Words,
    found_in,
    order_of,
)
from article_flows.tasks.llm.protocol.errors import PERMANENT_CLASSES


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
    keys = keys_of(rows)
    newest = np.zeros(rows.num_rows, np.bool_)
    newest[by_age[order_of(keys.take(by_age)).is_first]] = True
    answered = (stretch.keys for stretch in read_parts(table.lake.parts(table.folder)))
    stands = newest & ~found_in(answered, keys)
    return stands if current is None else stands & current.contains_keys(keys)


def _in_order(flags: Flags) -> Stale:
    """Gives of each batch the flags that are its own, if they are asked for in their order."""
    given = 0

    def of_batch(batch: pa.RecordBatch) -> Flags:
        nonlocal given
        given += batch.num_rows
        return flags[given - batch.num_rows : given]

    return of_batch


def _read(part: Part) -> pa.Table:
    with part.open() as file:
        return file.read().cast(FAILURE_SCHEMA)


class PermanentFailures:
    """The rows and the texts that failed for good; none until they are read."""

    def __init__(self) -> None:
        self._classes = sorted(PERMANENT_CLASSES)
        self._rows = SortedKeys(valued=True)
        self._texts = SortedKeys()

    @classmethod
    def of(cls, table: EnrichedTable) -> PermanentFailures:
        """Read them from a table's failures."""
        refusals = cls()
        for stretch in read_parts(table.lake.parts(table.failures), ["error_class"]):
            refusals._add(stretch)
        return refusals

    def look_up(self, texts: Keys, tags: Words, order: Order) -> tuple[Flags, Flags, Words]:
        """Return for each row whether its text was refused, whether it was, and its class.

        ``order`` is that of the texts; a class is to be counted by ``count_classes``.
        """
        if not len(self._texts):
            none = np.zeros(len(tags), np.bool_)
            return none, none, np.zeros(len(tags), np.uint64)
        rows = row_keys(texts, tags)
        return self._texts.contains(texts, order), *self._rows.find(rows, order_of(rows))

    def count_classes(self, classes: Words) -> Counter[str]:
        """The number of rows of each error class by its name."""
        codes, counts = np.unique(classes, return_counts=True)
        named = {self._classes[int(code)]: int(n) for code, n in zip(codes, counts, strict=True)}
        return Counter(named)

    def _add(self, stretch: KeyBatch) -> None:
        codes = [_code(self._classes, each.as_py()) for each in stretch.columns["error_class"]]
        permanent = np.array(codes, np.int64) >= 0
        texts, tags = stretch.texts.take(permanent), stretch.tags[permanent]
        values = np.array(codes, np.int64)[permanent].astype(np.uint64)
        rows = row_keys(texts, tags)
        for keys, known, kept in ((rows, self._rows, values), (texts, self._texts, None)):
            order = order_of(keys)
            new = order.is_first & ~known.contains(keys, order)
            known.insert(keys.take(new), None if kept is None else kept[new])


def permanently_failed_texts(table: EnrichedTable) -> set[str]:
    """Content hashes of the articles that failed for good."""
    texts: set[str] = set()
    for part in table.lake.parts(table.failures):
        with part.open() as file:
            rows: pa.Table = file.read(["content_hash", "error_class"])
        pairs = zip(*(column.to_pylist() for column in rows.columns), strict=True)
        texts.update(text for text, error_class in pairs if error_class in PERMANENT_CLASSES)
    return texts


def _code(classes: list[str], name: str | None) -> int:
    return classes.index(name) if name in classes else -1
