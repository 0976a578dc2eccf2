"""Summaries, headlines and keywords taken from a text itself: no language model, no downloads.

The embedded endpoint answers with these. A sentence is worth what it shares with the whole text
(the centroid of its terms) and what its place is worth; the best few, in the order of the text,
are the summary. Linear in the length of the text, deterministic, English and Chinese alike.
"""

import re
from collections import Counter
from dataclasses import dataclass
from math import log, sqrt
from typing import Final

from tasks.llm.extractive_keywords import top_terms
from tasks.llm.extractive_lexicon import STOP_WORDS
from tasks.llm.extractive_style import readability, without_trimmings
from tasks.llm.extractive_text import detect_language, split_sentences, terms
from tasks.llm.tokens import estimate_tokens

__all__ = [
    "Document",
    "detect_language",
    "headline",
    "keywords",
    "split_sentences",
    "summarize",
]

_MOST_CHARACTERS: Final = 250_000
"""What is read of a text; 0.2 s of work. No article is longer, and a book needs a model."""
_HEADLINE_TOKENS: Final = 24
_REPEATED = 0.6


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    place: int
    terms: frozenset[str]
    score: float


class Document:
    """A text that was read once, to be asked for several things.

    Args:
        text: the article; what is beyond 250,000 characters is left unread.
        title: its title if that is known apart; terms of the title count for more.
    """

    def __init__(self, text: str, title: str = "") -> None:
        self.text = text[:_MOST_CHARACTERS]
        self.title = title.strip()
        self.language = detect_language(self.text or self.title)
        self.sentences = split_sentences(self.text, self.language)
        self._stop_words = STOP_WORDS.get(self.language, frozenset())
        self._terms = [terms(sentence, self._stop_words) for sentence in self.sentences]
        self.frequencies = Counter(term for found in self._terms for term in found)
        self._ranked: list[_Sentence] | None = None

    def summary(self, max_sentences: int = 3, max_tokens: int | None = None) -> str:
        """Join the best sentences in the order of the text.

        A text with no sentence to choose from (a dateline, a list of numbers) is its own summary.

        The best sentence is always there, shortened if it alone is beyond max_tokens.
        """
        chosen = self._choose(max_sentences, max_tokens)
        chosen.sort(key=lambda sentence: sentence.place)
        text = self.join([sentence.text for sentence in chosen])
        text = text or clip(" ".join(self.text.split()), _HEADLINE_TOKENS)
        return text if max_tokens is None else clip(text, max_tokens)

    def best_sentences(self, count: int) -> list[str]:
        """List the best sentences, in the order of the text."""
        chosen = sorted(self._choose(count, None), key=lambda sentence: sentence.place)
        return [sentence.text for sentence in chosen]

    def headline(self) -> str:
        """Give the title, else the heading the text begins with, else its best sentence, short."""
        if self.title:
            return self.title
        first = self.sentences[0] if self.sentences else ""
        is_heading = len(self.sentences) > 1 and not first.endswith((".", "。", ":", "："))
        if is_heading and len(self._terms[0]) > 1 and estimate_tokens(first) <= _HEADLINE_TOKENS:
            return first
        best = self._choose(1, None)
        return _shorten(best[0].text, _HEADLINE_TOKENS) if best else clip(first, _HEADLINE_TOKENS)

    def keywords(self, n: int = 6) -> list[str]:
        """List up to n terms the text is about, the weightiest first."""
        return top_terms(f"{self.title}\n{self.text}", self._stop_words, n)

    def join(self, sentences: list[str]) -> str:
        """Join sentences the way the language does: Chinese and Japanese without blanks."""
        return ("" if self.language in ("zh", "ja") else " ").join(sentences)

    def _choose(self, count: int, max_tokens: int | None) -> list[_Sentence]:
        """Take the best sentences one by one, leaving out what says the same again."""
        if self._ranked is None:
            self._ranked = self._rank()
        chosen: list[_Sentence] = []
        spent = 0
        for candidate in self._ranked:
            if len(chosen) >= count:
                break
            cost = estimate_tokens(candidate.text)
            fits = max_tokens is None or not chosen or spent + cost <= max_tokens
            if fits and not any(_same(candidate, other) for other in chosen):
                chosen.append(candidate)
                spent += cost
        return chosen

    def _rank(self) -> list[_Sentence]:
        weights = self._centroid()
        seen: set[str] = set()
        candidates: list[_Sentence] = []
        place = 0
        for text, found in zip(self.sentences, self._terms, strict=True):
            plain = without_trimmings(text)
            if plain in seen or not found or text.strip() == self.title.strip():
                continue
            seen.add(plain)
            fitness = readability(plain, len(found))
            # Headings and bylines do not push the first true sentence down.
            score = _likeness(found, weights) * fitness * (1 + 1.2 / (1 + place / 2))
            place += fitness > _UNFIT
            candidates.append(_Sentence(plain, len(candidates), frozenset(found), score))
        return sorted(candidates, key=lambda one: (-one.score, one.place))

    def _centroid(self) -> dict[str, float]:
        """Weigh each term: dampened frequency, twice if the title has it."""
        in_title = set(terms(self.title, self._stop_words))
        return {
            term: log(1 + count) * (2 if term in in_title else 1)
            for term, count in self.frequencies.items()
            if count > 1 or term in in_title
        }


_UNFIT = 0.3


def _likeness(found: list[str], weights: dict[str, float]) -> float:
    distinct = set(found)
    return sum(weights.get(term, 0.0) for term in distinct) / sqrt(len(distinct) + 8)


def _same(one: _Sentence, other: _Sentence) -> bool:
    smaller = min(len(one.terms), len(other.terms))
    return len(one.terms & other.terms) > _REPEATED * smaller


def clip(text: str, max_tokens: int) -> str:
    """Cut a text to at most so many estimated tokens, at a word's end where there is one."""
    if estimate_tokens(text) <= max_tokens:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if estimate_tokens(text[:middle]) <= max_tokens else (low, middle - 1)
        )
    head, blank, _ = text[:low].rpartition(" ")
    return head if blank and 2 * len(head) > low else text[:low]


def _shorten(sentence: str, max_tokens: int) -> str:
    """Cut at the last comma that leaves enough of the sentence, else at a word."""
    short = clip(sentence, max_tokens)
    if len(short) < len(sentence):
        clause = re.match(r"(.+)[,，;；、:：]", short)
        if clause and 2 * len(clause[1]) > len(short):
            return clause[1]
    return short.rstrip(" .。,，")


def summarize(
    text: str, max_sentences: int = 3, max_tokens: int | None = None, title: str = ""
) -> str:
    """Summarise a text by its own best sentences; see Document.summary."""
    return Document(text, title).summary(max_sentences, max_tokens)


def keywords(text: str, n: int = 6) -> list[str]:
    """List up to n terms the text is about; see Document.keywords."""
    return Document(text).keywords(n)


def headline(text: str) -> str:
    """Give a text a headline; see Document.headline."""
    return Document(text).headline()
