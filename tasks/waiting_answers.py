"""Answers that wait in journals: of a run under way, or of one that was killed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tasks.journal_leftovers import Leftover
from tasks.outcomes import Outcome
from tasks.sorted_keys import KEY_BYTES, KeySet


def waiting_answers(leftovers: Iterable[Leftover]) -> KeySet:
    """The texts (content hashes) that some journals have an answer to; 16 bytes each.

    Some of them may be in the table already: what was committed last before a kill.

    Raises:
        UserError: a journal cannot be read.
    """
    return KeySet(_answered_texts(leftovers))


def _answered_texts(leftovers: Iterable[Leftover]) -> Iterator[bytes]:
    for leftover in leftovers:
        for payload in leftover.records():
            try:
                outcome = Outcome.decode(payload)
                text = bytes.fromhex(outcome.content_hash)
            except ValueError:
                continue  # of another version
            if outcome.answered and len(text) == KEY_BYTES:
                yield text
