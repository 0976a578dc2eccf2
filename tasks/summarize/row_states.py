"""What is to be done about each row of a stretch of articles, seen from the tables alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from article_flows.tasks.enriched.failures import PermanentFailures
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.lake.key_columns import read_parts, row_keys
from article_flows.tasks.lake.sorted_keys import (
    Flags,
    Keys,
    Order,
    SortedKeys,
    Words,
    count_flags,
    keys_of_bytes,
    order_of,
)


class RowStates(NamedTuple):
    """For each row of a stretch in which of these states it is: exactly one is true.

    Attributes:
        reused: its answer is in the table, or a row before it has the same text and id.
        known: its text has an outcome, or gets one in this run, under another id.
        refused: it failed for good; ``classes`` says of what.
        recovered: its outcome is in a journal, and it is the first row of its text.
        new: nothing is known of its text, and it is the first row of it.
        later: a row before it in the stretch is ``recovered`` or ``new`` and has its text.
    """

    reused: Flags
    known: Flags
    refused: Flags
    recovered: Flags
    new: Flags
    later: Flags
    classes: Words


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
        for stretch in read_parts(lake.parts(table.folder)):
            index.add_answered(stretch.texts, stretch.tags)
        for stretch in read_parts(lake.parts(table.superseded)):
            index.add_known_texts(stretch.texts, stretch.tags)
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
        self._without_row += count_flags(new)

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


class PriorState:
    """All that is known before a run: answers, refusals, outcomes that wait in journals."""

    def __init__(
        self, rows: RowIndex, refusals: PermanentFailures, recovered: Iterable[str]
    ) -> None:
        self.rows = rows
        self.refusals = refusals
        self._recovered = SortedKeys()
        self._recovered.insert(keys_of_bytes([bytes.fromhex(text) for text in recovered]))

    def states(self, texts: Keys, tags: Words, order: Order) -> RowStates:
        """Sort rows by what is known; ``order`` is that of the texts, which must be one stretch."""
        known_text, accounted = self.rows.look_up(texts, tags, order)
        reused = accounted | repeated_rows(texts, tags, order)
        refused_text, refused_row, classes = self.refusals.look_up(texts, tags, order)
        refused = ~reused & ~known_text & refused_row
        # Refused under another id alone: this row has to be among the failures, too.
        known = ~reused & ~refused & (known_text | refused_text)
        unknown = ~(reused | refused | known)
        first = unknown & order.is_first
        recovered = first & self._recovered.contains(texts, order)
        return RowStates(
            reused=reused,
            known=known,
            refused=refused,
            recovered=recovered,
            new=first & ~recovered,
            later=unknown & ~first,
            classes=classes[refused],
        )

    def account_for(self, texts: Keys, tags: Words, asked: Flags, others: Flags) -> None:
        """Take in that the texts of some rows get an outcome, and that others need none."""
        self.rows.add_texts(texts.take(asked), tags[asked])
        self.rows.add_rows(texts.take(others), tags[others])
