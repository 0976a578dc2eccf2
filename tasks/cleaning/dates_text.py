"""Dates in words and figures, of the usual languages and orders, to what they say."""

import re
from datetime import datetime, tzinfo
from typing import NamedTuple
from unicodedata import normalize

from tasks.cleaning.dates_clock import take_clock, western_time
from tasks.cleaning.dates_names import FILLERS, MONTHS, WEEKDAYS, plain_word

MAX_CHARS = 80
"""A longer text is no date."""

_CJK_DAY = re.compile(r"(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日号號일]?")
_CJK_WEEKDAY = re.compile(
    r"[(]?(?:(?:星期|周|週|礼拜)[一二三四五六日天]|[月火水木金土日]曜日?|[월화수목금토일]요일)[)]?"
    r"|[(][月火水木金土日월화수목금토일][)]"
)
_FIGURES = re.compile(r"(\d{1,4})\s?([-/.\s])\s?(\d{1,2})\s?\2\s?(\d{1,4})")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th|er|ère|[ºª°])\b|(?<=\d)[ºª°]", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
# What may stand around and between the parts of a date.
_ORNAMENTS = frozenset(",;|()[]·•.:'-/–—@")


class Written(NamedTuple):
    """What a text says: the day, with the time of day if it has one, and the zone if it has one."""

    when: datetime
    has_time: bool
    zone: tzinfo | None


def read_date(text: str, day_first: bool | None = None) -> Written | None:
    """Read a text that is a date and nothing else; None if it is not, or nobody can tell it.

    Args:
        text: the text.
        day_first: whether 01/02/2020 is the first of February; None: it is not known.

    Raises:
        ValueError: there is no such day or time.
    """
    if len(text) > MAX_CHARS:
        return None
    if not text.isascii():
        text = _CJK_WEEKDAY.sub(" ", normalize("NFKC", text))
        text = western_time(_CJK_DAY.sub(r" \1-\2-\3 ", text))
    rest, clock = take_clock(text)
    day = _day(_ORDINAL.sub("", rest), day_first)
    if day is None:
        return None
    when = datetime(*day)
    if clock is None:
        return Written(when, has_time=False, zone=None)
    return Written(when + clock.since_midnight, has_time=True, zone=clock.zone)


def _day(text: str, day_first: bool | None) -> tuple[int, int, int] | None:
    """Read year, month and day."""
    if figures := _FIGURES.search(text):
        around = text[: figures.start()] + " " + text[figures.end() :]
        if _tokens(around) == ([], []):
            return _of_figures(figures, day_first)
    tokens = _tokens(text)
    if tokens is None:
        return None
    months, numbers = tokens
    if len(months) != 1 or len(numbers) != 2:
        return None
    first, second = numbers
    if len(first) == 4:
        return int(first), months[0], int(second)
    if len(second) == 4:
        return int(second), months[0], int(first)
    # 04 Jan 19, as RFC 822 has it; two figures are taken as POSIX does.
    return (_century(second), months[0], int(first)) if len(second) == 2 else None


def _century(two_figures: str) -> int:
    year = int(two_figures)
    return year + (2000 if year < 69 else 1900)


def _tokens(text: str) -> tuple[list[int], list[str]] | None:
    """Return the months that a text names, and its numbers; None if it says anything else."""
    months: list[tuple[int, bool]] = []
    numbers = []
    for token in _TOKEN.findall(text):
        if token in _ORNAMENTS:
            continue
        word = plain_word(token)
        if word.isdecimal():
            numbers.append(word)
        elif word in MONTHS:
            months.append((MONTHS[word], word in WEEKDAYS))
        elif word not in WEEKDAYS and word not in FILLERS:
            return None
    if len(months) > 1:
        # "mar" is mardi and martes as well as March.
        months = [each for each in months if not each[1]]
    return [number for number, _ in months], numbers


def _of_figures(figures: re.Match[str], day_first: bool | None) -> tuple[int, int, int] | None:
    """Read 2020-01-31, 31.01.2020, and 31/12/2020 where the order is known or only one works."""
    first, separator, second, third = figures.groups()
    if len(first) == 4 and len(third) <= 2:
        return int(first), int(second), int(third)
    if len(third) != 4 or len(first) > 2:
        return None
    one, two, year = int(first), int(second), int(third)
    if separator == "." or one > 12 or one == two:
        return year, two, one
    if two > 12:
        return year, one, two
    if day_first is None:
        return None
    return (year, two, one) if day_first else (year, one, two)
