"""Detection of boilerplate pages: page not found, enable JavaScript, cookies, captcha, log in.

A page is boilerplate only if it is short and each of its sentences is a notice or filler of such
pages. A news item *about* cookies has sentences that are neither.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.common.package_data import read_sections

MAX_NOTICE_CHARS = 600
"""The maximum length of a boilerplate page, in characters; longer pages have other content."""
# How much of a page may be neither notice nor filler, such as the site's name or an error number.
_UNKNOWN_SHARE = 0.2
_UNKNOWN_CHARS = 60

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+|\s[|•·»]\s")
_DATE_WORDS = (
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?"
    r"|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
    r"|\d{1,2}(?:st|nd|rd|th)?|\d{4}"
)
_DATE_TEXT = rf"(?:published|updated|posted)?:?\s*(?:(?:{_DATE_WORDS})[\s\xa0,.]*){{2,5}}"
_DATE = re.compile(rf"(?=.*[a-z]{{3}}){_DATE_TEXT}", re.IGNORECASE)

_NOTICES = read_sections("notices.txt")
_SUSPECTS = "|".join([*_NOTICES.pop("suspects"), rf"^[\s\xa0]*{_DATE_TEXT}$"])
_KINDS = {
    kind: re.compile("|".join(f"(?:{each})" for each in patterns), re.IGNORECASE)
    for kind, patterns in _NOTICES.items()
}
_FILLER = _KINDS.pop("filler")


def boilerplate_notices(bodies: pa.StringArray) -> list[tuple[int, str]]:
    """Return the index and the kind of notice of each body that is boilerplate.

    Only short bodies with words of notices are examined closely.
    """
    short = pc.less_equal(pc.utf8_length(bodies), MAX_NOTICE_CHARS).fill_null(False)
    rows = np.flatnonzero(short)
    texts = bodies.filter(short)
    suspect = pc.match_substring_regex(pc.ascii_lower(texts), _SUSPECTS)
    suspects = zip(rows[suspect], texts.filter(suspect).to_pylist(), strict=True)
    return [(int(row), notice) for row, text in suspects if (notice := notice_of(text))]


def notice_of(text: str) -> str | None:
    """Return the kind of notice that a boilerplate page is, or None for other pages.

    Example:
        >>> notice_of("This site uses cookies. Learn more.")
        'cookie notice'
    """
    sentences = [part.strip() for part in _SENTENCE_END.split(text) if part and part.strip()]
    if not sentences or len(text) > MAX_NOTICE_CHARS:
        return None
    kinds: dict[str, int] = {}
    unknown = total = 0
    max_unknown = min(_UNKNOWN_CHARS, _UNKNOWN_SHARE * len(text))
    for sentence in sentences:
        total += len(sentence)
        kind = _kind(sentence)
        if kind == "test page" and total <= len(sentence) + 40:
            return kind
        if kind is None:
            unknown += len(sentence)
            if unknown > max_unknown:
                return None
        elif kind:
            kinds[kind] = kinds.get(kind, 0) + len(sentence)
    if kinds:
        return max(kinds, key=lambda kind: kinds[kind])
    return "nothing but a date" if _DATE.fullmatch(text.strip()) else None


def _kind(sentence: str) -> str | None:
    """Return the kind of notice of a sentence; "" for filler, None for anything else."""
    for kind, pattern in _KINDS.items():
        if pattern.search(sentence):
            return kind
    if _FILLER.fullmatch(sentence) or _DATE.fullmatch(sentence):
        return ""
    return None
