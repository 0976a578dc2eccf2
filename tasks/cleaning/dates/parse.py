"""Parsing of written dates in many languages and orders: ``Jan 4, 2019 3:04 PM EST``."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple
from unicodedata import combining, normalize
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from article_flows.tasks.common.package_data import read_sections, read_words

MAX_CHARS = 80
"""The maximum length of a date, in characters."""

_CJK_DAY = re.compile(r"(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日号號일]?")
_CJK_WEEKDAY = re.compile(
    r"[(]?(?:(?:星期|周|週|礼拜)[一二三四五六日天]|[月火水木金土日]曜日?|[월화수목금토일]요일)[)]?"
    r"|[(][月火水木金土日월화수목금토일][)]"
)
_NUMERIC_DATE = re.compile(r"(\d{1,4})\s?([-/.\s])\s?(\d{1,2})\s?\2\s?(\d{1,4})")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th|er|ère|[ºª°])\b|(?<=\d)[ºª°]", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
# May stand around and between the parts of a date.
_PUNCTUATION = frozenset(",;|()[]·•.:'-/–—@")
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
_PM_WORDS = ("下午", "午後", "午后", "傍晚", "晚上", "오후")


def _plain_word(word: str) -> str:
    """Return a word without case and accents, the form of the keys of the tables below."""
    if word.isascii():
        return word.lower()
    decomposed = normalize("NFD", word.casefold())
    # The breve is kept, because й is a letter of its own.
    bare = "".join(each for each in decomposed if not combining(each) or each == "\u0306")
    return normalize("NFC", bare)


_WORDS = read_words("date_words.txt")
_MONTHS = {
    _plain_word(name): number
    for number, names in enumerate(read_sections("date_words.txt")["months"], start=1)
    for name in names.split()
}
"""Maps the plain names of months to 1 to 12."""
_WEEKDAYS = frozenset(map(_plain_word, _WORDS["weekdays"]))
"""Names of weekdays; some (mar, for mardi and martes) are also names of months."""
_FILLERS = frozenset(map(_plain_word, _WORDS["fillers"]))
"""Words that may surround a date and carry no information."""
_ZONES = dict(each.split("=") for each in _WORDS["zones"])
"""Maps names of time zones to hours east of UTC or to a zoneinfo region."""


class ParsedDate(NamedTuple):
    """A date in UTC.

    Attributes:
        utc: The time in UTC.
        zone_assumed: Whether the source gives a time of day but no time zone; UTC is assumed.
    """

    utc: datetime
    zone_assumed: bool = False


def read_date(text: str, day_first: bool | None = None) -> ParsedDate | None:
    """Parse a text that is a date and nothing else.

    Args:
        day_first: Whether 01/02/2020 is the first of February; None if unknown.

    Returns:
        The date, or None if the text is not a date or is ambiguous.

    Raises:
        ValueError: There is no such day or time.

    Example:
        >>> read_date("Jan 4, 2019 3:04 PM EST").utc.isoformat()
        '2019-01-04T20:04:00+00:00'
    """
    if len(text) > MAX_CHARS:
        return None
    if not text.isascii():
        text = _CJK_WEEKDAY.sub(" ", normalize("NFKC", text))
        text = _CJK_TIME.sub(_western_time, _CJK_DAY.sub(r" \1-\2-\3 ", text))
    rest, since_midnight, zone = _cut_time(text)
    day = _day(_ORDINAL.sub("", rest), day_first)
    if day is None:
        return None
    when = datetime(*day, tzinfo=zone or UTC) + (since_midnight or timedelta())
    return ParsedDate(when.astimezone(UTC), since_midnight is not None and zone is None)


def _day(text: str, day_first: bool | None) -> tuple[int, int, int] | None:
    """Return year, month and day."""
    if numeric := _NUMERIC_DATE.search(text):
        around = text[: numeric.start()] + " " + text[numeric.end() :]
        if _tokens(around) == ([], []):
            return _numeric_day(numeric, day_first)
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
    # 04 Jan 19 (RFC 822); the century is chosen as POSIX strptime does.
    return (_full_year(second), months[0], int(first)) if len(second) == 2 else None


def _full_year(two_digits: str) -> int:
    year = int(two_digits)
    return year + (2000 if year < 69 else 1900)


def _tokens(text: str) -> tuple[list[int], list[str]] | None:
    """Return the months and the numbers in a text; None if it has other words."""
    months: list[tuple[int, bool]] = []
    numbers = []
    for token in _TOKEN.findall(text):
        if token in _PUNCTUATION:
            continue
        word = _plain_word(token)
        if word.isdecimal():
            numbers.append(word)
        elif word in _MONTHS:
            months.append((_MONTHS[word], word in _WEEKDAYS))
        elif word not in _WEEKDAYS and word not in _FILLERS:
            return None
    if len(months) > 1:
        # "mar" means mardi and martes as well as March.
        months = [each for each in months if not each[1]]
    return [number for number, _ in months], numbers


def _numeric_day(numeric: re.Match[str], day_first: bool | None) -> tuple[int, int, int] | None:
    """Return year, month and day of 2020-01-31, 31.01.2020, or 31/12/2020 if unambiguous."""
    first, separator, second, third = numeric.groups()
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


def _cut_time(text: str) -> tuple[str, timedelta | None, tzinfo | None]:
    """Cut the time of day and its time zone out of a text.

    Returns:
        The remaining text, the time since midnight and the time zone, None where missing.

    Raises:
        ValueError: There is no such time, or its zone is unknown.
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
    # A leap second becomes the second before it.
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError(f"no such time: {found[0]}")
    micros = int(((parts.get("fraction") or "") + "000000")[:6])
    after, zone = _cut_zone(text[found.end() :])
    time = timedelta(hours=hour, minutes=minute, seconds=min(second, 59), microseconds=micros)
    return f"{text[: found.start()]} {after}", time, zone


def _western_time(found: re.Match[str]) -> str:
    hour, half = int(found["hour"]), found["half"]
    minute = int(found["minute"] or found["minute_2"] or 0)
    second = found["second"] or found["second_2"] or "00"
    if (half in _PM_WORDS and 1 <= hour < 12) or (half == "中午" and hour < 3):
        hour += 12
    elif half and half not in _PM_WORDS and half != "中午" and hour == 12:
        hour = 0
    return f" {hour}:{minute:02}:{second:0>2} "


def _cut_zone(text: str) -> tuple[str, tzinfo | None]:
    """Cut a time zone off the start of a text: +02:00, EST, GMT+2, (UTC), Z."""
    if found := _OFFSET.match(text):
        minutes = int(found["hours"]) * 60 + int(found["minutes"] or 0)
        sign = 1 if found["sign"] == "+" else -1
        return text[found.end() :], timezone(sign * timedelta(minutes=minutes))
    found = _ZONE.match(text)
    if not found:
        return text, None
    name = _plain_word(found["name"])
    known = _ZONES.get(name)
    if known is None:
        return text, None
    if "/" not in known:
        return text[found.end() :], timezone(timedelta(hours=float(known)))
    try:
        return text[found.end() :], ZoneInfo(known)
    except ZoneInfoNotFoundError as error:
        raise ValueError(f"this machine has no data for the time zone {name}") from error
