"""Summaries, headlines and keywords taken from a text itself: no language model, no downloads.

The summary is the sentences that share most with the whole text; earlier ones count for more.
Linear in the length of the text, and deterministic; English and Chinese.
"""

import re
import textwrap
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from math import exp, log
from typing import Final

import pycld2
from sentencex import segment

from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens
from article_flows.tasks.mock_endpoint.words import HAN_FUNCTION_CHARACTERS, STEM_LENGTH, STOP_WORDS

_SAMPLE: Final = 1000
_MOST_CHARACTERS: Final = 250_000
"""How much is read of a text. No article is longer, and a book needs a model."""
_LONGEST_SENTENCE, _LONGEST_HAN_SENTENCE = 600, 240
"""Characters; what is longer is a list or a text without punctuation, and is taken in pieces."""
_HEADLINE_TOKENS: Final = 24
_FEWEST_TERMS: Final = 4
_PHRASE_BONUS: Final = 1.8
_PART_OF_LONGER: Final = 0.7

_HAN: Final = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_HAN_RUN = re.compile(f"[{_HAN}]+")
_WORD = re.compile(rf"[^\W\d_{_HAN}]+(?:['’-][^\W\d_{_HAN}]+)*")
_WORD_OR_MARK = re.compile(rf"{_WORD.pattern}|[^\w\s]|[\n\d]")
_SPACES: Final = str.maketrans(dict.fromkeys(HAN_FUNCTION_CHARACTERS, " "))
_ENDS: Final = tuple(".!。！…\"”’'」』)）")
_UNREADABLE = re.compile(
    # Addresses, credits and captions; what leans on the sentence before; talk.
    r"https?://|www\.|\S@\S|©|^(?:image|photo|file|source|图片?|来源|编辑)\s?[:：]"
    r"|^(?:and|but|however|he|she|it|they|this|that|these|those|such|also|so|thus|yes|no|well)\b"
    r"|^(?:但|然而|因此|所以|此外|另外|同时|他|她|它|这|那|其)"
    r"|\b(?:I|I'm|I've|my|me|you|your)\b|[我你您]",
    re.IGNORECASE,
)
_CHUNK = re.compile(r".{1,2000}(?:[.!?]\s|[。！？]|$)|.{1,2000}")
"""sentencex takes quadratic time on long lines of Chinese, and of unbalanced quotation marks."""
_WRAPPED = re.compile(r"(?<=[^\s.!?:;。！？：；”\"')）])\n(?=\S)|\n(?=[a-zß-ÿ])")


class Document:
    """A text that was read once, to be asked for several things.

    Args:
        text: the article; what is beyond 250,000 characters is not read.
        title: its title if that is known.
    """

    def __init__(self, text: str, title: str = "") -> None:
        self.text = text[:_MOST_CHARACTERS]
        self.title = title.strip()
        self.language = detect_language(self.text or self.title)
        # Chinese has no blanks between words; its length is counted in characters.
        self.length = len(self.text if self.language in ("zh", "ja") else self.text.split())
        self.sentences = _split_sentences(self.text, self.language)
        self.frequencies = Counter(term for each in self.sentences for term in self._terms(each))

    def summary(self, max_sentences: int = 3) -> str:
        """Join the best sentences; a text that has none is its own summary."""
        # Chinese and Japanese have no blanks between sentences.
        blank = "" if self.language in ("zh", "ja") else " "
        return blank.join(self.best_sentences(max_sentences)) or clip(
            " ".join(self.text.split()), _HEADLINE_TOKENS
        )

    def best_sentences(self, count: int) -> list[str]:
        """List the best sentences, in the order of the text."""
        whole = [
            sentence
            for sentence in dict.fromkeys(self.sentences)
            if sentence.endswith(_ENDS)
            and not sentence[0].islower()
            and len(self._terms(sentence)) >= _FEWEST_TERMS
        ]
        best = sorted(range(len(whole)), key=lambda place: -self._worth(whole[place], place))
        return [whole[place] for place in sorted(best[:count])]

    def _terms(self, sentence: str) -> list[str]:
        """List what a sentence is about: stems of content words, and bigrams of Chinese."""
        words = [word for word in _WORD.findall(sentence) if _is_content(word, self.language)]
        runs = _HAN_RUN.findall(sentence.translate(_SPACES))
        return [
            *(word[:STEM_LENGTH].lower() for word in words),
            *(one + two for run in runs for one, two in pairwise(run)),
        ]

    def _worth(self, sentence: str, place: int) -> float:
        """Weigh a sentence by what it shares with the whole text, its place, and how it reads."""
        found = set(self._terms(sentence))
        # More than its square root, as long sentences read badly.
        shared = sum(log(self.frequencies[term]) for term in found)
        likeness = shared / exp(0.7 * log(len(found) + 8))
        return likeness * (1 + 1.2 / (1 + place / 2)) / (2 if _UNREADABLE.search(sentence) else 1)

    def headline(self) -> str:
        """Return the title, else the heading or the sentence that the text begins with, short."""
        first = self.sentences[0] if self.sentences else ""
        return self.title or clip(first, _HEADLINE_TOKENS).rstrip(" .。,，")

    def keywords(self, n: int = 6) -> list[str]:
        """List up to n terms the text is about, the weightiest first."""
        return _top_terms(f"{self.title}\n{self.text}", self.language, n)


def clip(text: str, max_tokens: int) -> str:
    """Cut a text to at most so many estimated tokens, at a word's end where there is one."""
    if estimate_tokens(text) <= max_tokens:
        return text
    ends = range(len(text))
    end = bisect_right(ends, max_tokens, key=lambda end: estimate_tokens(text[:end])) - 1
    head, blank, _ = text[:end].rpartition(" ")
    return head if blank and 2 * len(head) > end else text[:end]


def detect_language(text: str) -> str:
    """Return the ISO 639-1 code of a text's language; `und` for a text without letters."""
    # CLD2 refuses control characters and code points without a meaning.
    sample = "".join(char if char.isprintable() else " " for char in text[:_SAMPLE])
    code = pycld2.detect(sample, isPlainText=True, bestEffort=True)[2][0][1]
    return "und" if code == "un" else str(code).partition("-")[0]


def _split_sentences(text: str, language: str) -> list[str]:
    """Split a text into sentences, in order, without outer blanks.

    A line that ends is a sentence that ends, except in prose that is hard-wrapped: headings and
    bylines have no full stop.
    """
    return [
        piece
        for line in _lines(text)
        for chunk in _CHUNK.findall(line)
        for sentence in segment(language, chunk)
        for piece in textwrap.wrap(
            sentence, _LONGEST_HAN_SENTENCE if _HAN_RUN.search(sentence) else _LONGEST_SENTENCE
        )
    ]


def _lines(text: str) -> Iterator[str]:
    """Give the lines of a text, with those joined into which its prose was wrapped."""
    for block in re.split(r"\n[^\S\n]*\n", text):
        lines = [line.strip() for line in block.split("\n")]
        if any(line[:1].islower() for line in lines[1:]):
            lines = _WRAPPED.sub(" ", "\n".join(lines)).split("\n")
        yield from lines


def _is_content(word: str, language: str) -> bool:
    """Tell content words from those that any text has; in most languages the short ones."""
    if language not in ("en", "zh"):
        return len(word) > 4
    low = word.lower().replace("’", "'")
    # "didn't", "we're", "council's"
    head = low.partition("'")[0]
    return len(head) > 2 and head not in STOP_WORDS and not low.endswith("n't")


def _top_terms(text: str, language: str, n: int) -> list[str]:
    """List up to n terms by weight: words and pairs of words, or Chinese terms of 2 to 4.

    No term is a part of another in the list. Equal weights keep the order of the text.
    """
    # What is no content word becomes a None, which ends a phrase.
    found = [word if _is_content(word, language) else None for word in _WORD_OR_MARK.findall(text)]
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
    pieces = [piece for run in _HAN_RUN.findall(text) for piece in run.translate(_SPACES).split()]
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
