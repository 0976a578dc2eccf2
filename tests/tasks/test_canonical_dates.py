from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.canonical_dates import as_utc

DAY = datetime(2019, 1, 4, tzinfo=UTC)
NOON = DAY.replace(hour=12)


@pytest.mark.parametrize(
    ("raw", "moment"),
    [
        ("2019-01-04", DAY),
        ("2019-01-04T12:00:00Z", NOON),
        ("2019-01-04 14:00:00+02:00", NOON),
        ("2019-01-04T12:00:00.000000000Z", NOON),
        ("Fri, 04 Jan 2019 07:00:00 -0500", NOON),
        ("4 Jan 2019 12:00:00 GMT", NOON),
        ("20190104", DAY),
        (20190104, DAY),
        ("20190104120000", NOON),
        ("January 4, 2019", DAY),
        ("Friday, January 4th, 2019", DAY),
        ("Jan. 4, 2019", DAY),
        ("4 January 2019", DAY),
        ("Jan 4, 2019 12:00 PM", NOON),
        ("04.01.2019", DAY),
        ("2019/01/04 12:00", NOON),
        ("2019年1月4日", DAY),
        ("1/31/2019", datetime(2019, 1, 31, tzinfo=UTC)),
        ("31/1/2019", datetime(2019, 1, 31, tzinfo=UTC)),
        (1546603200, NOON),
        ("1546603200", NOON),
        (1546603200.5, NOON + timedelta(seconds=0.5)),
        (1546603200000, NOON),
        (1546603200000000, NOON),
        (1546603200000000000, NOON),
        (b"2019-01-04", DAY),
        (date(2019, 1, 4), DAY),
        (datetime(2019, 1, 4), DAY),
        (datetime(2019, 1, 4, 14, tzinfo=timezone(timedelta(hours=2))), NOON),
    ],
)
def test_usual_forms(raw: Any, moment: datetime) -> None:
    assert as_utc(raw) == moment


@pytest.mark.parametrize(
    "raw",
    [
        *("", "soon", "2019", "2019-13-01", "01/02/2019", "Jan 4", "31.02.2019", "9" * 30),
        *(2019, 17, 0, -1, 10**30, float("nan"), float("inf")),
        *(None, True, [2019], b"\xff", "0001-01-01T00:00+14:00"),
    ],
)
def test_what_nobody_can_tell_for_certain(raw: Any) -> None:
    assert as_utc(raw) is None


@given(st.datetimes(timezones=st.timezones()))
def test_iso_8601_comes_back(moment: datetime) -> None:
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:
        return
    assert as_utc(moment.isoformat()) == as_utc(moment) == expected


@given(st.one_of(st.text(), st.text("0123456789-/:. TZ"), st.floats(), st.integers()))
def test_nothing_raises(raw: object) -> None:
    moment = as_utc(raw)
    assert moment is None or moment.tzinfo is UTC
