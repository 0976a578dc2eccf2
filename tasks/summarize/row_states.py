"""Classify article rows by what the tables and journals say about them; called by the planner.

Articles with different ids can have the same text (title and body, identified by content hash).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from article_flows.tasks.common.article_schema import Mask
from article_flows.tasks.enriched.failures import PermanentFailures
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.lake.key_columns import read_parts, row_keys
from article_flows.tasks.lake.sorted_keys import (
    KeyOrder,
    Keys,
    SortedKeys,
    UInt64Array,
    count_true,
    key_order,
    keys_of_bytes,
)


class RowStates(NamedTuple):
    """The states of a batch of rows, as flags; exactly one of the first six is true for each row.

    Attributes:
        reused: The table has the row's answer, or an earlier row has the same text and id.
        copyable: The text has an outcome under another id, or gets one in this run.
        failed: The row failed permanently.
        recovered: A journal has the outcome of the text, and this is its first row.
        new: Nothing is known about the text, and this is its first row.
        repeated: An earlier row of the batch with the same text is ``recovered`` or ``new``.
        error_classes: Codes of the error classes of the ``failed`` rows.
    """

    reused: Mask
    copyable: Mask
    failed: Mask
    recovered: Mask
    new: Mask
    repeated: Mask
    error_classes: UInt64Array


class RowIndex:
    """An index of the rows that need no outcome any more, and of the texts that have one.

    Nearly every text has one row, so each text is stored with the tag of its first row's id
    (24 bytes in total), and only further rows have a key of their own.
    """

    def __init__(self) -> None:
        self._texts = SortedKeys(valued=True)
        self._more_rows = SortedKeys()
        self._without_row = 0

    @classmethod
    def from_table(cls, table: EnrichedTable) -> RowIndex:
        """Index the rows of an enriched table, and the texts of its superseded rows."""
        index, lake = cls(), table.lake
        for batch in read_parts(lake.parts(table.folder)):
            index.add_answered(batch.texts, batch.tags)
        for batch in read_parts(lake.parts(table.superseded)):
            index.add_texts_without_row(batch.texts, batch.tags)
        return index

    def __len__(self) -> int:
        """Return the number of rows in the index."""
        return len(self._texts) - self._without_row + len(self._more_rows)

    def look_up(self, texts: Keys, tags: UInt64Array, order: KeyOrder) -> tuple[Mask, Mask]:
        """Return for each row whether its text is in the index, and whether the row itself is.

        ``order`` is the sort order of ``texts``.
        """
        has_text, first_tags = self._texts.find(texts, order)
        has_row = has_text & (first_tags == tags)
        if len(self._more_rows):
            others = np.flatnonzero(~has_row)
            rows = row_keys(texts.take(others), tags[others])
            has_row[others] = self._more_rows.contains(rows, key_order(rows))
        return has_text, has_row

    def add_texts(self, texts: Keys, tags: UInt64Array) -> None:
        """Add texts that are not in the index, each with its first row."""
        self._texts.insert(texts, tags)

    def add_texts_without_row(self, texts: Keys, tags: UInt64Array) -> None:
        """Add texts that have an answer but no current row."""
        order = key_order(texts)
        new = ~self._texts.contains(texts, order) & order.is_first
        # The complement of the tag matches no row with this id.
        self._texts.insert(texts.take(new), ~tags[new])
        self._without_row += count_true(new)

    def add_rows(self, texts: Keys, tags: UInt64Array) -> None:
        """Add rows that are not in the index, without their texts."""
        self._more_rows.insert(row_keys(texts, tags))

    def add_answered(self, texts: Keys, tags: UInt64Array) -> None:
        """Add rows that have an answer, and their texts; duplicates are ignored."""
        order = key_order(texts)
        has_text, has_row = self.look_up(texts, tags, order)
        new = ~has_text & order.is_first
        more = ~has_row & ~new & ~repeated_rows(texts, tags, order)
        self.add_texts(texts.take(new), tags[new])
        self.add_rows(texts.take(more), tags[more])


def repeated_rows(texts: Keys, tags: UInt64Array, order: KeyOrder) -> Mask:
    """Return for each row whether an earlier one has the same text and id.

    ``order`` is the sort order of ``texts``.
    """
    if order.is_first.all():
        return np.zeros(len(tags), np.bool_)
    return ~key_order(row_keys(texts, tags)).is_first


class PriorState:
    """What is known before a run: answers, permanent failures, and outcomes in journals.

    Args:
        rows: The answered rows and texts.
        permanent_failures: The permanent failures that are not retried.
        recovered: Content hashes of the outcomes in journals.
    """

    def __init__(
        self, rows: RowIndex, permanent_failures: PermanentFailures, recovered: Iterable[str]
    ) -> None:
        self.rows = rows
        self.permanent_failures = permanent_failures
        self._recovered = SortedKeys()
        self._recovered.insert(keys_of_bytes([bytes.fromhex(text) for text in recovered]))

    def classify(self, texts: Keys, tags: UInt64Array, order: KeyOrder) -> RowStates:
        """Return the states of a batch of rows; ``order`` is the sort order of ``texts``."""
        has_text, has_row = self.rows.look_up(texts, tags, order)
        reused = has_row | repeated_rows(texts, tags, order)
        text_failed, row_failed, error_classes = self.permanent_failures.look_up(texts, tags, order)
        failed = ~reused & ~has_text & row_failed
        # A text that failed under another id only is copied, to list this row as failed, too.
        copyable = ~reused & ~failed & (has_text | text_failed)
        unknown = ~(reused | failed | copyable)
        first = unknown & order.is_first
        recovered = first & self._recovered.contains(texts, order)
        return RowStates(
            reused=reused,
            copyable=copyable,
            failed=failed,
            recovered=recovered,
            new=first & ~recovered,
            repeated=unknown & ~first,
            error_classes=error_classes[failed],
        )

    def add_planned(self, texts: Keys, tags: UInt64Array, new_texts: Mask, others: Mask) -> None:
        """Add the rows of a batch that this run settles.

        Args:
            tags: Tags of the article ids.
            new_texts: Flags the first row of each text that gets an outcome in this run.
            others: Flags further rows that need no request.
        """
        self.rows.add_texts(texts.take(new_texts), tags[new_texts])
        self.rows.add_rows(texts.take(others), tags[others])
