"""The terms that a text is about, in the form a reader would write them."""

import re
from collections import Counter
from itertools import pairwise

from tasks.mock_endpoint.extractive.text import (
    HAN_FUNCTION_CHARACTERS,
    HAN_RUN,
    WORD,
    is_content,
)

_WORD_OR_MARK = re.compile(rf"{WORD.pattern}|[^\w\s]|[\n\d]")
_PHRASE_BONUS = 1.8
_PART_OF_LONGER = 0.7
_SPACES = str.maketrans(dict.fromkeys(HAN_FUNCTION_CHARACTERS, " "))


def top_terms(text: str, language: str, n: int) -> list[str]:
    """List up to n terms by weight: words and pairs of words, or Chinese terms of 2 to 4.

    No term is a part of another in the list. Equal weights keep the order of the text.
    """
    # What is no content word becomes a None, which ends a phrase.
    found = [word if is_content(word, language) else None for word in _WORD_OR_MARK.findall(text)]
    forms: dict[str, str] = {}
    for form, _ in Counter(filter(None, found)).most_common():
        forms.setdefault(form.lower(), form)
    words = [word and forms[word.lower()] for word in found]
    pairs = Counter(f"{one} {two}" for one, two in pairwise(words) if one and two)
    scores: dict[str, float] = {
        **Counter(filter(None, words)),
        **{pair: _PHRASE_BONUS * count for pair, count in pairs.items() if count > 1},
        **_han_scores(text),
    }
    chosen: list[str] = []
    for term in sorted(scores, key=lambda term: -scores[term]):
        if len(chosen) == n:
            break
        if not any(_overlap(term.lower(), other.lower()) for other in chosen):
            chosen.append(term)
    return chosen


def _han_scores(text: str) -> dict[str, float]:
    """Count n-grams that repeat, less those that nearly always are a part of a longer one."""
    pieces = [piece for run in HAN_RUN.findall(text) for piece in run.translate(_SPACES).split()]
    counts = Counter(
        piece[start : start + size]
        for piece in pieces
        for size in (2, 3, 4, 5)
        for start in range(len(piece) - size + 1)
    )
    parts = {
        part
        for term, count in counts.items()
        for part in (term[:-1], term[1:])
        if count > 1 and count >= _PART_OF_LONGER * counts[part]
    }
    # A longer term says more than a shorter one that is as frequent.
    return {
        term: count * (len(term) - 1) ** 0.7
        for term, count in counts.items()
        if count > 1 and len(term) < 5 and term not in parts
    }


def _overlap(one: str, other: str) -> bool:
    if " " in one or " " in other:
        return not set(one.split()).isdisjoint(other.split())
    if one.isascii() or other.isascii():
        return one.startswith(other) or other.startswith(one)
    return any(a[:-1] in b or a[1:] in b for a, b in ((one, other), (other, one)))
