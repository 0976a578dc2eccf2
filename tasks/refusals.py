"""Articles that failed for good in an earlier run, and what of."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from tasks.enriched import EnrichedTable
from tasks.key_columns import Stretch, read_stretches, row_keys
from tasks.llm.errors import PERMANENT_CLASSES
from tasks.sorted_keys import Flags, Keys, Order, SortedKeys, Words, order_of


class Refusals:
    """The rows and the texts that failed for good; none until they are read."""

    def __init__(self) -> None:
        self._classes = sorted(PERMANENT_CLASSES)
        self._rows = SortedKeys(valued=True)
        self._texts = SortedKeys()

    @classmethod
    def of(cls, table: EnrichedTable) -> Refusals:
        """Read them from a table's failures."""
        refusals = cls()
        for part in table.lake.parts(table.failures):
            for stretch in read_stretches(part, ["error_class"]):
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

    def _add(self, stretch: Stretch) -> None:
        codes = [_code(self._classes, each.as_py()) for each in stretch.columns["error_class"]]
        permanent = np.array(codes, np.int64) >= 0
        texts, tags = stretch.texts.take(permanent), stretch.tags[permanent]
        values = np.array(codes, np.int64)[permanent].astype(np.uint64)
        rows = row_keys(texts, tags)
        for keys, known, kept in ((rows, self._rows, values), (texts, self._texts, None)):
            order = order_of(keys)
            new = order.is_first & ~known.contains(keys, order)
            known.insert(keys.take(new), None if kept is None else kept[new])


def refused_texts(table: EnrichedTable) -> set[str]:
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
