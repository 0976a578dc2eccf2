"""The time of day and the zone in the text of a date: ``3:04 PM EST``, ``14h30``, ``下午3点``."""

import re
from dataclasses import dataclass
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tasks.cleaning.dates_names import REGIONS, ZONES, plain_word

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
_LATE = ("下午", "午後", "午后", "傍晚", "晚上", "오후")


@dataclass(frozen=True)
class Clock:
    """A time of day: how long after midnight, and in which zone where the text says it."""

    since_midnight: timedelta
    zone: tzinfo | None = None


def take_clock(text: str) -> tuple[str, Clock | None]:
    """Cut the time of day and its zone out of a text; give what is left, and the time.

    Raises:
        ValueError: there is no such time, or its zone is not known.
    """
    found = _TIME.search(text) or _HOUR.search(text)
    if not found:
        return text, None
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
    return f"{text[: found.start()]} {after}", Clock(since, zone)


def western_time(text: str) -> str:
    """Write the times of Chinese, Japanese and Korean as others are: ``下午3点4分`` as 3:04 pm."""
    return _CJK_TIME.sub(_as_western, text)


def _as_western(found: re.Match[str]) -> str:
    hour, half = int(found["hour"]), found["half"]
    minute = int(found["minute"] or found["minute_2"] or 0)
    second = found["second"] or found["second_2"] or "00"
    if (half in _LATE and 1 <= hour < 12) or (half == "中午" and hour < 3):
        hour += 12
    elif half and half not in _LATE and half != "中午" and hour == 12:
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
    name = plain_word(found["name"])
    if name in ZONES:
        return text[found.end() :], timezone(timedelta(minutes=ZONES[name])) if ZONES[name] else UTC
    if name in REGIONS:
        try:
            return text[found.end() :], ZoneInfo(REGIONS[name])
        except ZoneInfoNotFoundError as error:
            raise ValueError(f"this machine has no table of the zone {name}") from error
    return text, None
