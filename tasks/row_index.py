"""Which rows and texts a plan has met: one entry a text, however it is met."""

from __future__ import annotations

import numpy as np

from tasks.enriched import EnrichedTable
from tasks.key_columns import read_keys, row_keys
from tasks.sorted_keys import Flags, Keys, KeySet, Order, SortedKeys, Words, order_of


class RowIndex:
    """Texts that have an outcome or are to get one, and the rows that are accounted for.

    Nearly every text has one row, so a text is kept with the tag of its first row's id (24 bytes
    in all), and only further rows of it have a key of their own.
    """

    def __init__(self) -> None:
        self._texts = SortedKeys(valued=True)
        self._more_rows = SortedKeys()
        self._without_row = 0

    @classmethod
    def of(cls, table: EnrichedTable) -> RowIndex:
        """The rows that an enriched table has, and the texts that it had an answer to."""
        index, lake = cls(), table.lake
        for texts, tags in read_keys(lake.parts(table.folder)):
            index.add_answered(texts, tags)
        for texts, tags in read_keys(lake.parts(table.superseded)):
            index.add_known_texts(texts, tags)
        return index

    def __len__(self) -> int:
        """Rows that are accounted for."""
        return len(self._texts) - self._without_row + len(self._more_rows)

    def look_up(self, texts: Keys, tags: Words, order: Order) -> tuple[Flags, Flags]:
        """Return for each row whether its text is known, and whether it is accounted for itself.

        ``order`` is that of the texts.
        """
        known, first_tags = self._texts.find(texts, order)
        accounted = known & (first_tags == tags)
        if len(self._more_rows):
            others = np.flatnonzero(~accounted)
            rows = row_keys(texts.take(others), tags[others])
            accounted[others] = self._more_rows.contains(rows, order_of(rows))
        return known, accounted

    def add_texts(self, texts: Keys, tags: Words) -> None:
        """Add texts that are new, each with its first row's tag."""
        self._texts.insert(texts, tags)

    def add_known_texts(self, texts: Keys, tags: Words) -> None:
        """Add texts that have an answer, though no row that is there has it."""
        order = order_of(texts)
        new = ~self._texts.contains(texts, order) & order.is_first
        # No row has the complement of its id's tag, so none is taken for accounted for.
        self._texts.insert(texts.take(new), ~tags[new])
        self._without_row += int(np.count_nonzero(new))

    def add_rows(self, texts: Keys, tags: Words) -> None:
        """Account for rows that are not, whatever becomes of their texts."""
        self._more_rows.insert(row_keys(texts, tags))

    def add_answered(self, texts: Keys, tags: Words) -> None:
        """Account for rows that have their answer, whichever of them are accounted for already."""
        order = order_of(texts)
        known, accounted = self.look_up(texts, tags, order)
        new = ~known & order.is_first
        more = ~accounted & ~new & ~repeated_rows(texts, tags, order)
        self.add_texts(texts.take(new), tags[new])
        self.add_rows(texts.take(more), tags[more])


def repeated_rows(texts: Keys, tags: Words, order: Order) -> Flags:
    """Return for each row whether one before it has the same text and id.

    ``order`` is that of the texts.
    """
    if order.is_first.all():
        return np.zeros(len(tags), np.bool_)
    return ~order_of(row_keys(texts, tags)).is_first


def answered_texts(table: EnrichedTable) -> KeySet:
    """Content hashes (16 bytes each) of the rows in an enriched table."""
    answered = KeySet()
    for texts, _ in read_keys(table.lake.parts(table.folder)):
        answered.add_keys(texts)
    return answered
