"""How well a sentence reads on its own, and what to trim off it."""

import re
from math import sqrt
from typing import Final

from tasks.llm.extractive_text import HAN_RANGES
from tasks.llm.tokens import estimate_tokens

_FEWEST_TERMS = 4
_EASY_TOKENS = 45
_BOILERPLATE = re.compile(
    r"""https?://|www\.|\S@\S+\.\w|©|\bcopyright\b|\ball\ rights\ reserved\b
    |^(?:image|photo|file|picture|video|source|editor'?s?\ note|sign\ up|click\ here|share\ this)\b
    |^[【\[(（][^】\])）]*[】\])）]$|^(?:图|图片|来源|编辑|责任编辑|摄影)[:：]""",
    re.IGNORECASE | re.VERBOSE,
)
_LEANS_BACK = re.compile(
    r"(?:and|but|however|he|she|it|they|this|that|these|those|such|also|his|her|their|then|so"
    r"|yes|no|well|thus|therefore|moreover|furthermore|additionally|meanwhile|er|sie|es|aber)\b"
    r"|但|然而|因此|所以|此外|另外|同时|他|她|它|这|那|其",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:I|I'm|I've|my|me|you|your)\b|[我你您]")
_QUOTED = re.compile(r"""["“「].{20,}["”」]""")
_ENDS = tuple(".!?。！？…\"”’'」』)）")
_QUOTES: Final = (("“", "”"), ("「", "」"), ('"', '"'))
_DATELINE = re.compile(
    r"^(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day,\s)?"
    r"[A-Z][a-z]{2,8}\.?\s\d{1,2},\s\d{4}\s(?=[A-Z])"
)
_SPEAKER = re.compile(
    rf"^(?:[A-Z][\w.'’-]{{0,20}}(?:\s[A-Z][\w.'’-]{{0,20}}){{0,2}}|[{HAN_RANGES}·]{{2,8}})\s?[:：]\s*"
)


def readability(text: str, term_count: int) -> float:
    """Weigh down what reads badly alone: headings, bylines, questions, talk, loose ends.

    1 is best; what is no sentence at all, such as a byline, is at 0.1 or less. The factors were
    set by hand, with ROUGE-1 on 61 news, interviews and papers to see that they do no harm.
    """
    fitness = 1.0
    tokens = estimate_tokens(text)
    if tokens > _EASY_TOKENS:
        fitness *= sqrt(_EASY_TOKENS / tokens)
    if term_count < _FEWEST_TERMS or not text.endswith(_ENDS) or _BOILERPLATE.search(text):
        fitness *= 0.1
    if text.endswith(("?", "？")):
        fitness *= 0.3
    if _LEANS_BACK.match(text):
        fitness *= 0.7
    if _FIRST_PERSON.search(text):
        fitness *= 0.7
    if _QUOTED.search(text):
        fitness *= 0.85
    return fitness


def without_trimmings(text: str) -> str:
    """Drop a speaker's name, a dateline, and half of a pair of quotation marks."""
    plain = _DATELINE.sub("", _SPEAKER.sub("", text))
    for opening, closing in _QUOTES:
        if plain.count(opening) != plain.count(closing) or (
            opening == closing and plain.count(opening) % 2
        ):
            plain = plain.removeprefix(opening).removesuffix(closing)
    return plain
