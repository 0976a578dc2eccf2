"""Whether the dates of a column have the day before the month: 01/02/2020 alone does not tell."""

import re
from collections.abc import Iterable
from typing import Any

_FIGURES = re.compile(r"\D*(\d{1,2})([/-])(\d{1,2})\2\d{4}(?!\d)")


def day_first(values: Iterable[Any]) -> bool | None:
    """Tell the order of day and month by the dates of a column that only one order fits.

    Returns:
        True for 31/12/2020, False for 12/31/2020; None if no value tells, or they disagree.
    """
    days, months = False, False
    for value in values:
        if isinstance(value, str) and (found := _FIGURES.match(value)):
            days = days or int(found[1]) > 12
            months = months or int(found[3]) > 12
    return days if days != months else None
