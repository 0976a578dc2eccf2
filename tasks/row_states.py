"""What is to be done about each row of a stretch of articles, seen from the tables alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tasks.refusals import Refusals
from tasks.row_index import RowIndex, repeated_rows
from tasks.sorted_keys import Flags, Keys, Order, SortedKeys, Words, keys_of_bytes


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


class Knowledge:
    """All that is known before a run: answers, refusals, outcomes that wait in journals."""

    def __init__(self, rows: RowIndex, refusals: Refusals, recovered: Iterable[str]) -> None:
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
