"""Dates as sources write them, to UTC."""

import re
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMS = (
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y.%m.%d",
    "%Y.%m.%d %H:%M",
    "%Y.%m.%d %H:%M:%S",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%Y%m%d%H%M%S",
    "%Y年%m月%d日",
    "%Y年%m月%d日 %H:%M",
    "%Y年%m月%d日 %H:%M:%S",
    "%B %d %Y",
    "%d %B %Y",
    "%B %d %Y %H:%M",
    "%d %B %Y %H:%M",
    "%B %d %Y %H:%M:%S",
    "%d %B %Y %H:%M:%S",
    "%B %d %Y %I:%M %p",
    "%d %B %Y %I:%M %p",
)
_WEEKDAY = re.compile(r"^(mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+", re.IGNORECASE)
_SHORT_MONTH = re.compile(
    r"\b(jan|feb|mar|apr|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?", re.IGNORECASE
)
_MONTHS = {
    name[:3]: name
    for name in "january february march april may june july august september october november "
    "december".split()
}
_RFC_2822 = re.compile(r"(?:[a-z]{3},?\s+)?\d{1,2}[ -][a-z]{3}[ -]\d{2,4}\s", re.IGNORECASE)
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_ZONE_NAME = re.compile(r"\s*\(?(utc|gmt|z)\)?$", re.IGNORECASE)
# Epoch seconds stay below this for 3,000 years; each finer unit is a thousand times as much.
_MOST_SECONDS = 1e11
# A calendar day such as 20190104 is eight digits; as epoch seconds it would be August 1970.
_COMPACT_DAY = re.compile(r"(1[6-9]|20|21)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")


def as_utc(value: Any) -> datetime | None:
    """Return a date of any usual form in UTC; None if it cannot be told for certain.

    Takes dates and datetimes, ISO 8601, RFC 2822, epoch seconds to nanoseconds, and the forms
    that news sites print. What has no zone is taken for UTC. A year or a month alone, and
    01/02/2020 (which may be either month), are None.
    """
    try:
        if isinstance(value, datetime):
            return _in_utc(value)
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return _from_text(str(int(value))) if value == int(value) else _from_epoch(value)
        if isinstance(value, bytes):
            value = value.decode()
        return _from_text(value.strip()) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _from_epoch(number: float) -> datetime | None:
    """Read a count of seconds, or of milli-, micro- or nanoseconds if there are too many."""
    if abs(number) < 1e8:
        # Before March 1973: a year, a serial number or a mistake far more often than a date.
        return None
    whole, per_second = int(number), 1
    while abs(number) / per_second >= _MOST_SECONDS:
        per_second *= 1000
    if per_second > 1_000_000_000:
        return None
    if per_second == 1:
        return _EPOCH + timedelta(seconds=number)
    return _EPOCH + timedelta(microseconds=whole * 1_000_000 // per_second)


@lru_cache(maxsize=4096)
def _from_text(text: str) -> datetime | None:
    if _NUMBER.fullmatch(text):
        return _from_digits(text)
    try:
        return _in_utc(datetime.fromisoformat(text))
    except ValueError:
        pass
    if _RFC_2822.match(text):
        try:
            return _in_utc(parsedate_to_datetime(text))
        except ValueError:
            pass
    return _from_forms(text)


def _from_digits(text: str) -> datetime | None:
    if _COMPACT_DAY.fullmatch(text):
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC)
    if len(text) == 14 and _COMPACT_DAY.fullmatch(text[:8]):
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return _from_epoch(float(text) if "." in text else int(text))


def _from_forms(text: str) -> datetime | None:
    text = _ZONE_NAME.sub("", _WEEKDAY.sub("", text))
    if slashed := _SLASHED.fullmatch(text):
        return _from_slashes(*map(int, slashed.groups()))
    text = _SHORT_MONTH.sub(lambda match: _MONTHS[match[1].lower()], text)
    text = " ".join(re.sub(r"(?<=\d)(st|nd|rd|th)\b|,", " ", text).split())
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _from_slashes(first: int, second: int, year: int) -> datetime | None:
    """Read 31/12/2020 and 12/31/2020; where both could be the month nobody can tell."""
    if first > 12 or first == second:
        return datetime(year, second, first, tzinfo=UTC)
    return datetime(year, first, second, tzinfo=UTC) if second > 12 else None
