"""A text that is asked for a summary, a headline and keywords.

The summary is the sentences that share most with the whole text; earlier ones count for more.
Linear in the length of the text, and deterministic.
"""

import re
from bisect import bisect_right
from collections import Counter
from functools import cached_property
from math import log, sqrt
from typing import Final

from tasks.llm.tokens import estimate_tokens
from tasks.mock_endpoint.extractive.keywords import top_terms
from tasks.mock_endpoint.extractive.text import detect_language, split_sentences, terms

_MOST_CHARACTERS: Final = 250_000
"""How much is read of a text. No article is longer, and a book needs a model."""
_HEADLINE_TOKENS: Final = 24
_FEWEST_TERMS: Final = 4
_ENDS: Final = tuple(".!。！…\"”’'」』)）")
_UNREADABLE = re.compile(
    # Addresses, credits and captions; what leans on the sentence before; talk.
    r"https?://|www\.|\S@\S|©|^(?:image|photo|file|source|图片?|来源|编辑)\s?[:：]"
    r"|^(?:and|but|however|he|she|it|they|this|that|these|those|such|also|so|yes|no|well)\b"
    r"|^(?:但|然而|因此|所以|此外|另外|同时|他|她|它|这|那|其)"
    r"|\b(?:I|I'm|I've|my|me|you|your)\b|[我你您]",
    re.IGNORECASE,
)


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
        self.sentences = split_sentences(self.text, self.language)

    @cached_property
    def frequencies(self) -> Counter[str]:
        """How often the text has each term."""
        return Counter(
            term for sentence in self.sentences for term in terms(sentence, self.language)
        )

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
            if sentence.endswith(_ENDS) and len(terms(sentence, self.language)) >= _FEWEST_TERMS
        ]
        best = sorted(range(len(whole)), key=lambda place: -self._worth(whole[place], place))
        return [whole[place] for place in sorted(best[:count])]

    def _worth(self, sentence: str, place: int) -> float:
        """Weigh a sentence by what it shares with the whole text, its place, and how it reads."""
        found = set(terms(sentence, self.language))
        likeness = sum(log(self.frequencies[term]) for term in found) / sqrt(len(found) + 8)
        return likeness * (1 + 1.2 / (1 + place / 2)) / (2 if _UNREADABLE.search(sentence) else 1)

    def headline(self) -> str:
        """Return the title, else the heading or the sentence that the text begins with, short."""
        first = self.sentences[0] if self.sentences else ""
        return self.title or clip(first, _HEADLINE_TOKENS).rstrip(" .。,，")

    def keywords(self, n: int = 6) -> list[str]:
        """List up to n terms the text is about, the weightiest first."""
        return top_terms(f"{self.title}\n{self.text}", self.language, n)


def clip(text: str, max_tokens: int) -> str:
    """Cut a text to at most so many estimated tokens, at a word's end where there is one."""
    if estimate_tokens(text) <= max_tokens:
        return text
    ends = range(len(text))
    end = bisect_right(ends, max_tokens, key=lambda end: estimate_tokens(text[:end])) - 1
    head, blank, _ = text[:end].rpartition(" ")
    return head if blank and 2 * len(head) > end else text[:end]
