"""The terms that a text is about, in the form a reader would write them."""

from collections import Counter
from itertools import pairwise

from tasks.llm.extractive_lexicon import HAN_FUNCTION_CHARACTERS, HAN_STOP_TERMS
from tasks.llm.extractive_text import han_runs, words_and_marks

_SHORTEST_WORD = 3
_HAN_SIZES = (2, 3, 4)
_PHRASE_BONUS = 1.8
_PART_OF_LONGER = 0.7
_SPACES = str.maketrans(dict.fromkeys(HAN_FUNCTION_CHARACTERS, " "))


def top_terms(text: str, stop_words: frozenset[str], n: int) -> list[str]:
    """List up to n terms by weight: words and pairs of words, or Chinese terms of 2 to 4.

    No term is a part of another in the list. Equal weights keep the order of the text.
    """
    written = Counter[str]()
    scores = _word_scores(text, stop_words, written)
    if not text.isascii():
        scores.update(_han_scores(text))
    forms: dict[str, str] = {}
    for form, _ in written.most_common():
        forms.setdefault(form.lower(), form)
    chosen: list[str] = []
    for term in sorted(scores, key=lambda term: -scores[term]):
        if len(chosen) == n:
            break
        if not any(_overlap(term, other) for other in chosen):
            chosen.append(term)
    return [" ".join(forms.get(word, word) for word in term.split()) for term in chosen]


def _word_scores(text: str, stop_words: frozenset[str], written: Counter[str]) -> dict[str, float]:
    """Count words and pairs of them; `written` takes in the forms, to give names capitals."""
    # What is no content word becomes a None, which ends a phrase.
    kept = [
        word if len(word) >= _SHORTEST_WORD and word.lower() not in stop_words else None
        for word in words_and_marks(text.replace("’", "'"))
    ]
    written.update(word for word in kept if word)
    pairs = Counter((one.lower(), two.lower()) for one, two in pairwise(kept) if one and two)
    scores: dict[str, float] = {}
    for form, count in written.items():
        scores[form.lower()] = scores.get(form.lower(), 0.0) + count
    for (one, two), count in pairs.items():
        if count > 1 and one != two:
            scores[f"{one} {two}"] = _PHRASE_BONUS * count
    return scores


def _han_scores(text: str) -> dict[str, float]:
    """Count n-grams that repeat, less those that nearly always are a part of a longer one."""
    pieces = [piece for run in han_runs(text) for piece in run.translate(_SPACES).split()]
    by_size = [_ngrams(pieces, size) for size in (*_HAN_SIZES, _HAN_SIZES[-1] + 1)]
    scores: dict[str, float] = {}
    for counts, longer in pairwise(by_size):
        parts = {
            part
            for term, count in longer.items()
            for part in (term[:-1], term[1:])
            if count > 1 and count >= _PART_OF_LONGER * counts[part]
        }
        for term, count in counts.items():
            if count > 1 and term not in parts and term not in HAN_STOP_TERMS:
                # A longer term says more than a shorter one that is as frequent.
                scores[term] = count * (len(term) - 1) ** 0.7
    return scores


def _ngrams(pieces: list[str], size: int) -> Counter[str]:
    return Counter(
        piece[start : start + size] for piece in pieces for start in range(len(piece) - size + 1)
    )


def _overlap(one: str, other: str) -> bool:
    if " " in one or " " in other:
        return not set(one.split()).isdisjoint(other.split())
    if one.isascii() or other.isascii():
        return one.startswith(other) or other.startswith(one)
    return one[:-1] in other or one[1:] in other or other[:-1] in one or other[1:] in one
