"""Convert dates of any type to UTC, and infer whether a column writes the day or the month first.

The column mapping and the conversion of articles use these functions.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from article_flows.tasks.cleaning.dates.parse import ParsedDate, read_date

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
# Epoch seconds stay below this for 3,000 years; each finer unit is a thousand times larger.
_MAX_EPOCH_SECONDS = 1e11
# Eight digits are a calendar day such as 20190104; as epoch seconds they would be in August 1970.
_COMPACT_DAY = re.compile(r"(1[6-9]|20|21)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_DAY_OF_YEAR = re.compile(r"(\d{4})-(\d{3})", re.ASCII)
_WEEK_ALONE = re.compile(r"\d{4}-?W\d\d", re.ASCII)
_DAY_CHARS = len("2019-01-04")
_NUMERIC_DATE = re.compile(r"\D*(\d{1,2})([/-])(\d{1,2})\2\d{4}(?!\d)")
_MOST_DAYS = 31


def parse_date(value: Any, day_first: bool | None = None) -> ParsedDate | None:
    """Convert a date in any usual form to UTC.

    Accepts dates and datetimes, ISO 8601, RFC 2822, epoch seconds to nanoseconds, and the forms
    that news sites print in many languages. Times without a time zone are assumed to be UTC.

    Args:
        value: A value of any type.
        day_first: Whether 01/02/2020 is the first of February, see `day_first`; None if unknown.

    Returns:
        The date, or None if the value is not a date, is ambiguous, or is a year, month or week
        alone.

    Example:
        >>> parse_date("4. Januar 2019").utc.date().isoformat(), parse_date("01/02/2020")
        ('2019-01-04', None)
    """
    try:
        if isinstance(value, str):
            return _of_text(value.strip(), day_first)
        if isinstance(value, datetime):
            # pandas' NaT is a datetime that does not equal itself.
            return _of_datetime(value) if value == value else None
        if isinstance(value, date):
            return ParsedDate(datetime(value.year, value.month, value.day, tzinfo=UTC))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            whole = int(value)
            return _of_digits(str(whole)) if value == whole else _of_epoch(value)
        return _of_text(value.decode().strip(), day_first) if isinstance(value, bytes) else None
    except (ValueError, OverflowError):
        return None


def _of_datetime(value: datetime) -> ParsedDate:
    if value.tzinfo:
        return ParsedDate(value.astimezone(UTC))
    # Parquet and Excel give days as datetimes at midnight without a time zone.
    has_time = bool(value.hour or value.minute or value.second or value.microsecond)
    return ParsedDate(value.replace(tzinfo=UTC), has_time)


def _of_text(text: str, day_first: bool | None) -> ParsedDate | None:
    if len(text) >= _DAY_CHARS and text[4] == "-":
        try:
            return _of_iso(text)
        except ValueError:
            pass
    return _of_other_text(text, day_first)


def _of_iso(text: str) -> ParsedDate:
    value = datetime.fromisoformat(text)
    if value.tzinfo:
        return ParsedDate(value.astimezone(UTC))
    return ParsedDate(value.replace(tzinfo=UTC), len(text) > _DAY_CHARS)


@lru_cache(maxsize=4096)
def _of_other_text(text: str, day_first: bool | None) -> ParsedDate | None:
    if _NUMBER.fullmatch(text):
        return _of_digits(text)
    if _WEEK_ALONE.fullmatch(text):
        return None
    if found := _DAY_OF_YEAR.fullmatch(text):
        return ParsedDate(datetime.strptime("".join(found.groups()), "%Y%j").replace(tzinfo=UTC))
    try:
        return _of_iso(text)
    except ValueError:
        return read_date(text, day_first)


def _of_digits(text: str) -> ParsedDate | None:
    if _COMPACT_DAY.fullmatch(text):
        return ParsedDate(datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC))
    if len(text) == 14 and _COMPACT_DAY.fullmatch(text[:8]):
        return ParsedDate(datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC), True)
    return _of_epoch(float(text) if "." in text else int(text))


def _of_epoch(number: float) -> ParsedDate | None:
    """Convert epoch seconds, or milli-, micro- or nanoseconds if the number is too large."""
    if abs(number) < 1e8:
        # Numbers before March 1973 are far more often years, serial numbers or errors.
        return None
    whole, per_second = int(number), 1
    while abs(number) / per_second >= _MAX_EPOCH_SECONDS:
        per_second *= 1000
    if per_second > 1_000_000_000:
        return None
    if per_second == 1:
        return ParsedDate(_EPOCH + timedelta(seconds=number))
    return ParsedDate(_EPOCH + timedelta(microseconds=whole * 1_000_000 // per_second))


def day_first(values: Iterable[Any]) -> bool | None:
    """Infer the order of day and month from the dates in a column that fit only one order.

    Returns:
        True for 31/12/2020, False for 12/31/2020; None if no date is decisive or dates disagree.

    Example:
        >>> day_first(["01/02/2020", "31/12/2020"])
        True
    """
    days, months = day_month_orders(values)
    return days if days != months else None


def is_order_ambiguous(values: Iterable[Any]) -> bool:
    """Return whether there are dates such as 01/02/2020, none of which shows the order."""
    dates = [each for each in values if isinstance(each, str) and _NUMERIC_DATE.match(each)]
    return bool(dates) and not any(day_month_orders(dates))


def day_month_orders(values: Iterable[Any]) -> tuple[bool, bool]:
    """Return whether there are dates with the day first, and dates with the month first."""
    days = months = False
    for value in values:
        if isinstance(value, str) and (found := _NUMERIC_DATE.match(value)):
            days = days or 12 < int(found[1]) <= _MOST_DAYS
            months = months or 12 < int(found[3]) <= _MOST_DAYS
    return days, months
