"""Answers that wait in journals: of a run under way, or of one that was killed."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.journal_leftovers import Leftover
from tasks.keys import KEY_BYTES, KeySet
from tasks.outcomes import Outcome

_AT_ONCE = 4_096


def waiting_answers(leftovers: Iterable[Leftover]) -> KeySet:
    """The texts (content hashes) that some journals have an answer to; 16 bytes each.

    Some of them may be in the table already: what was committed last before a kill.

    Raises:
        UserError: a journal cannot be read.
    """
    texts = KeySet()
    some: list[bytes] = []
    for leftover in leftovers:
        for payload in leftover.records():
            text = _answered_text(payload)
            if text is not None:
                some.append(text)
            if len(some) >= _AT_ONCE:
                texts.add_many(some)
                some = []
    texts.add_many(some)
    return texts


def _answered_text(payload: bytes) -> bytes | None:
    """The text of a record that is an answer of this version."""
    try:
        outcome = Outcome.decode(payload)
        text = bytes.fromhex(outcome.content_hash)
    except ValueError:
        return None
    return text if outcome.answered and len(text) == KEY_BYTES else None
