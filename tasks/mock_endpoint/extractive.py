"""Extract summaries, headlines and keywords from a text, without a language model or downloads.

A summary consists of the sentences that share most terms with the whole text; earlier ones count
more. Runs in linear time and is deterministic; tuned for English and Chinese.
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

_LANGUAGE_SAMPLE: Final = 1000
_MAX_CHARACTERS: Final = 250_000
"""The rest of a text is ignored: no article is longer."""
_MAX_SENTENCE, _MAX_HAN_SENTENCE = 600, 240
"""In characters. A longer one is a list or lacks punctuation, and is split."""
_HEADLINE_TOKENS: Final = 24
_MIN_TERMS: Final = 4
_PHRASE_BONUS: Final = 1.8
_SUBSUMED_SHARE: Final = 0.7

_HAN: Final = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_HAN_RUN = re.compile(f"[{_HAN}]+")
_WORD = re.compile(rf"[^\W\d_{_HAN}]+(?:['’-][^\W\d_{_HAN}]+)*")
_WORD_OR_MARK = re.compile(rf"{_WORD.pattern}|[^\w\s]|[\n\d]")
_HAN_FUNCTION_TO_SPACE: Final = str.maketrans(dict.fromkeys(HAN_FUNCTION_CHARACTERS, " "))
_SENTENCE_ENDS: Final = tuple(".!。！…\"”’'」』)）")
_POOR_SENTENCE = re.compile(
    # URLs, credits and captions; sentences that refer to the previous one; direct speech.
    r"https?://|www\.|\S@\S|©|^(?:image|photo|file|source|图片?|来源|编辑)\s?[:：]"
    r"|^(?:and|but|however|he|she|it|they|this|that|these|those|such|also|so|thus|yes|no|well)\b"
    r"|^(?:但|然而|因此|所以|此外|另外|同时|他|她|它|这|那|其)"
    r"|\b(?:I|I'm|I've|my|me|you|your)\b|[我你您]",
    re.IGNORECASE,
)
_CHUNK = re.compile(r".{1,2000}(?:[.!?]\s|[。！？]|$)|.{1,2000}")
"""sentencex takes quadratic time on long lines of Chinese or with unbalanced quotation marks."""
_HARD_WRAP = re.compile(r"(?<=[^\s.!?:;。！？：；”\"')）])\n(?=\S)|\n(?=[a-zß-ÿ])")


class Document:
    """An analyzed article.

    Args:
        text: The article; only the first 250,000 characters are used.
        title: Its title, if known.

    Attributes:
        language: ISO 639-1 code, or `und`.
        length: In words; for Chinese and Japanese, in characters.
        sentences: In the order of the text.
        frequencies: How often each term occurs.

    Example:
        >>> document = Document("The council approved the new bridge on Monday. Lunch was served.")
        >>> document.language, document.summary(1)
        ('en', 'The council approved the new bridge on Monday.')
    """

    def __init__(self, text: str, title: str = "") -> None:
        self.text = text[:_MAX_CHARACTERS]
        self.title = title.strip()
        self.language = detect_language(self.text or self.title)
        self.length = len(self.text if self.language in ("zh", "ja") else self.text.split())
        self.sentences = _split_sentences(self.text, self.language)
        self.frequencies = Counter(term for each in self.sentences for term in self._terms(each))

    def summary(self, max_sentences: int = 3) -> str:
        """Return the best sentences; a text without any is returned shortened."""
        # Chinese and Japanese have no spaces between sentences.
        space = "" if self.language in ("zh", "ja") else " "
        return space.join(self.best_sentences(max_sentences)) or clip(
            " ".join(self.text.split()), _HEADLINE_TOKENS
        )

    def best_sentences(self, count: int) -> list[str]:
        """Return the best sentences, in the order of the text."""
        candidates = [
            sentence
            for sentence in dict.fromkeys(self.sentences)
            if sentence.endswith(_SENTENCE_ENDS)
            and not sentence[0].islower()
            and len(self._terms(sentence)) >= _MIN_TERMS
        ]
        best = sorted(range(len(candidates)), key=lambda i: -self._score(candidates[i], i))
        return [candidates[i] for i in sorted(best[:count])]

    def _terms(self, sentence: str) -> list[str]:
        """Return the terms of a sentence: stems of content words, and bigrams of Chinese."""
        words = [word for word in _WORD.findall(sentence) if _is_content(word, self.language)]
        runs = _HAN_RUN.findall(sentence.translate(_HAN_FUNCTION_TO_SPACE))
        return [
            *(word[:STEM_LENGTH].lower() for word in words),
            *(one + two for run in runs for one, two in pairwise(run)),
        ]

    def _score(self, sentence: str, position: int) -> float:
        """Score a sentence by its terms, its position and its readability."""
        terms = set(self._terms(sentence))
        # An exponent above 0.5 penalizes long sentences, which read badly.
        relevance = sum(log(self.frequencies[term]) for term in terms)
        relevance /= exp(0.7 * log(len(terms) + 8))
        penalty = 2 if _POOR_SENTENCE.search(sentence) else 1
        return relevance * (1 + 1.2 / (1 + position / 2)) / penalty

    def headline(self) -> str:
        """Return the title, or else the first sentence, shortened."""
        first = self.sentences[0] if self.sentences else ""
        return self.title or clip(first, _HEADLINE_TOKENS).rstrip(" .。,，")

    def keywords(self, n: int = 6) -> list[str]:
        """Return up to n terms by descending weight."""
        return _top_terms(f"{self.title}\n{self.text}", self.language, n)


def clip(text: str, max_tokens: int) -> str:
    """Cut a text to at most ``max_tokens`` estimated tokens, at the end of a word if possible.

    Example:
        >>> clip("The council approved the bridge.", 5)
        'The council'
    """
    if estimate_tokens(text) <= max_tokens:
        return text
    ends = range(len(text))
    end = bisect_right(ends, max_tokens, key=lambda end: estimate_tokens(text[:end])) - 1
    head, space, _ = text[:end].rpartition(" ")
    return head if space and 2 * len(head) > end else text[:end]


def detect_language(text: str) -> str:
    """Return the ISO 639-1 code of a text's language; `und` for a text without letters."""
    # CLD2 rejects control characters and unassigned code points.
    sample = "".join(char if char.isprintable() else " " for char in text[:_LANGUAGE_SAMPLE])
    code = pycld2.detect(sample, isPlainText=True, bestEffort=True)[2][0][1]
    return "und" if code == "un" else str(code).partition("-")[0]


def _split_sentences(text: str, language: str) -> list[str]:
    """Split a text into stripped sentences.

    A line break ends a sentence, except in hard-wrapped prose: headings and bylines have no full
    stop.
    """
    return [
        piece
        for line in _lines(text)
        for chunk in _CHUNK.findall(line)
        for sentence in segment(language, chunk)
        for piece in textwrap.wrap(
            sentence, _MAX_HAN_SENTENCE if _HAN_RUN.search(sentence) else _MAX_SENTENCE
        )
    ]


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text, with hard-wrapped lines joined."""
    for block in re.split(r"\n[^\S\n]*\n", text):
        lines = [line.strip() for line in block.split("\n")]
        if any(line[:1].islower() for line in lines[1:]):
            lines = _HARD_WRAP.sub(" ", "\n".join(lines)).split("\n")
        yield from lines


def _is_content(word: str, language: str) -> bool:
    """Return whether a word carries content; in most languages, short words do not."""
    if language not in ("en", "zh"):
        return len(word) > 4
    low = word.lower().replace("’", "'")
    # "didn't", "we're", "council's"
    head = low.partition("'")[0]
    return len(head) > 2 and head not in STOP_WORDS and not low.endswith("n't")


def _top_terms(text: str, language: str, n: int) -> list[str]:
    """Return up to n terms by weight: words and word pairs, or 2 to 4 Chinese characters.

    The terms do not overlap. Equal weights keep the order of the text.
    """
    # Anything but a content word becomes None, which ends a phrase.
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
    """Score repeated n-grams, without those that almost always are part of a longer one."""
    pieces = [
        piece
        for run in _HAN_RUN.findall(text)
        for piece in run.translate(_HAN_FUNCTION_TO_SPACE).split()
    ]
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
        if count > 1 and count >= _SUBSUMED_SHARE * counts[part]
    }
    # Of equally frequent terms, the longer one is more specific.
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
