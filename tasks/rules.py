"""Which rows are articles: rules that a user can set."""

from __future__ import annotations

from dataclasses import dataclass

MAX_CHARS = 1_000_000
"""About 250,000 tokens of English: more than nearly all models take."""


@dataclass(frozen=True)
class Rules:
    """Which rows are taken for articles.

    Attributes:
        min_chars: a body of fewer characters is rejected.
        max_chars: a body of more is rejected; 0: none is.
        boilerplate: take pages that are nothing but a notice (page not found, enable JavaScript).
        detect_language: tell the language by the text where the source does not say it.
    """

    min_chars: int = 1
    max_chars: int = MAX_CHARS
    boilerplate: bool = False
    detect_language: bool = True
