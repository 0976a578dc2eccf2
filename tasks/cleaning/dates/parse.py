"""Dates in words and figures, of the usual languages and orders: ``Jan 4, 2019 3:04 PM EST``."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple
from unicodedata import combining, normalize
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from article_flows.tasks.common.package_data import read_sections, read_words

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
_HALF = r"(?:\s*(?P<half>[ap])\.?\s*m\b\.?)"
_TIME = re.compile(
    r"(?<![\d:.])(?P<hour>\d{1,2})(?:\s*[:h]\s*(?P<minute>\d{2})|\.(?P<dotted>\d{2})(?=\s*uhr))"
    rf"(?:\s*:\s*(?P<second>\d{{2}})(?:[.,](?P<fraction>\d{{1,9}}))?)?(?![\d:]){_HALF}?",
    re.IGNORECASE,
)
_HOUR = re.compile(rf"(?<![\d:./-])(?P<hour>\d{{1,2}})(?:{_HALF}|(?=\s*uhr\b))", re.IGNORECASE)
_OFFSET = re.compile(
    r"[\s(]*(?:(?:utc|gmt)\s*)?(?P<sign>[+\u2212-])(?P<hours>\d{1,2}):?(?P<minutes>\d{2})?(?!\d)"
    r"(?:\s*\([^()]*\)|\s+(?:utc|gmt|[A-Z]{3,4})\b)?",
    re.IGNORECASE,
)
_ZONE = re.compile(r"[\s(]*(?P<name>[^\W\d_]+)[.)]?")
_CJK_TIME = re.compile(
    r"(?P<half>凌晨|清晨|早上|上午|午前|오전|中午|下午|午後|午后|傍晚|晚上|오후)?\s*(?P<hour>\d{1,2})"
    r"(?:\s*[时時点點시]\s*(?:(?P<minute>\d{1,2})\s*[分분])?\s*(?:(?P<second>\d{1,2})\s*[秒초])?"
    r"|:(?P<minute_2>\d{2})(?::(?P<second_2>\d{2}))?)"
)
_AFTERNOON = ("下午", "午後", "午后", "傍晚", "晚上", "오후")


def _plain_word(word: str) -> str:
    """A word without case and accents, as the tables here have it."""
    if word.isascii():
        return word.lower()
    marked = normalize("NFD", word.casefold())
    # й is a letter of its own and not и with a mark.
    bare = "".join(each for each in marked if not combining(each) or each == "\u0306")
    return normalize("NFC", bare)


_WORDS = read_words("date_words.txt")
_MONTHS = {
    _plain_word(name): number
    for number, names in enumerate(read_sections("date_words.txt")["months"], start=1)
    for name in names.split()
}
"""Names of months, see `_plain_word`, to 1 to 12."""
_WEEKDAYS = frozenset(map(_plain_word, _WORDS["weekdays"]))
"""Names of weekdays; some (mar, for mardi and martes) are months too."""
_FILLERS = frozenset(map(_plain_word, _WORDS["fillers"]))
"""Words that a date may have around it and that say nothing."""
_ZONES = dict(each.split("=") for each in _WORDS["zones"])
"""Names of zones, to hours east of UTC or to what zoneinfo calls the region."""


class ParsedDate(NamedTuple):
    """A point in time.

    Attributes:
        utc: the time in UTC.
        zone_assumed: the source gives a time of day and no zone; it was taken for UTC.
    """

    utc: datetime
    zone_assumed: bool = False


def read_date(text: str, day_first: bool | None = None) -> ParsedDate | None:
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
        text = _CJK_TIME.sub(_as_western, _CJK_DAY.sub(r" \1-\2-\3 ", text))
    rest, since_midnight, zone = _take_clock(text)
    day = _day(_ORDINAL.sub("", rest), day_first)
    if day is None:
        return None
    when = datetime(*day, tzinfo=zone or UTC) + (since_midnight or timedelta())
    return ParsedDate(when.astimezone(UTC), since_midnight is not None and zone is None)


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
        word = _plain_word(token)
        if word.isdecimal():
            numbers.append(word)
        elif word in _MONTHS:
            months.append((_MONTHS[word], word in _WEEKDAYS))
        elif word not in _WEEKDAYS and word not in _FILLERS:
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


def _take_clock(text: str) -> tuple[str, timedelta | None, tzinfo | None]:
    """Cut the time of day and its zone out of a text; give what is left, and what was found.

    Raises:
        ValueError: there is no such time, or its zone is not known.
    """
    found = _TIME.search(text) or _HOUR.search(text)
    if not found:
        return text, None, None
    parts = found.groupdict()
    hour, half = int(parts["hour"]), (parts["half"] or "").lower()
    minute = int(parts.get("minute") or parts.get("dotted") or 0)
    second = int(parts.get("second") or 0)
    if half:
        if not 1 <= hour <= 12 and not (hour == 0 and half == "a"):
            raise ValueError(f"no such hour: {found[0]}")
        hour = hour % 12 + (12 if half == "p" else 0)
    # A leap second is told as the last one before it.
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError(f"no such time: {found[0]}")
    micros = int(((parts.get("fraction") or "") + "000000")[:6])
    after, zone = _take_zone(text[found.end() :])
    since = timedelta(hours=hour, minutes=minute, seconds=min(second, 59), microseconds=micros)
    return f"{text[: found.start()]} {after}", since, zone


def _as_western(found: re.Match[str]) -> str:
    hour, half = int(found["hour"]), found["half"]
    minute = int(found["minute"] or found["minute_2"] or 0)
    second = found["second"] or found["second_2"] or "00"
    if (half in _AFTERNOON and 1 <= hour < 12) or (half == "中午" and hour < 3):
        hour += 12
    elif half and half not in _AFTERNOON and half != "中午" and hour == 12:
        hour = 0
    return f" {hour}:{minute:02}:{second:0>2} "


def _take_zone(text: str) -> tuple[str, tzinfo | None]:
    """Cut a zone off the start of a text: +02:00, EST, GMT+2, (UTC), Z."""
    if found := _OFFSET.match(text):
        minutes = int(found["hours"]) * 60 + int(found["minutes"] or 0)
        sign = 1 if found["sign"] == "+" else -1
        return text[found.end() :], timezone(sign * timedelta(minutes=minutes))
    found = _ZONE.match(text)
    if not found:
        return text, None
    name = _plain_word(found["name"])
    told = _ZONES.get(name)
    if told is None:
        return text, None
    if "/" not in told:
        return text[found.end() :], timezone(timedelta(hours=float(told)))
    try:
        return text[found.end() :], ZoneInfo(told)
    except ZoneInfoNotFoundError as error:
        raise ValueError(f"this machine has no table of the zone {name}") from error
