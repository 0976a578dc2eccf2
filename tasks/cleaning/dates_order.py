"""Whether the dates of a column have the day before the month: 01/02/2020 alone does not tell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_FIGURES = re.compile(r"\D*(\d{1,2})([/-])(\d{1,2})\2\d{4}(?!\d)")
_MOST_DAYS = 31


def day_first(values: Iterable[Any]) -> bool | None:
    """Tell the order of day and month by the dates of a column that only one order fits.

    Returns:
        True for 31/12/2020, False for 12/31/2020; None if no value tells, or they disagree.
    """
    days, months = told_orders(values)
    return days if days != months else None


def is_open(values: Iterable[Any]) -> bool:
    """Tell whether there are dates such as 01/02/2020, and none of them tells the order."""
    written = [each for each in values if isinstance(each, str) and _FIGURES.match(each)]
    return bool(written) and not any(told_orders(written))


def told_orders(values: Iterable[Any]) -> tuple[bool, bool]:
    """Tell whether there are dates that have the day first, and such that have the month first."""
    days = months = False
    for value in values:
        if isinstance(value, str) and (found := _FIGURES.match(value)):
            days = days or 12 < int(found[1]) <= _MOST_DAYS
            months = months or 12 < int(found[3]) <= _MOST_DAYS
    return days, months
