from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.cleaning.dates.parse import ParsedDate
from article_flows.tasks.cleaning.dates.to_utc import day_first, parse_date

DAY = datetime(2019, 1, 4, tzinfo=UTC)
NOON = DAY.replace(hour=12)


def as_utc(value: Any) -> datetime | None:
    found = parse_date(value)
    return found.utc if found else None


@pytest.mark.parametrize(
    ("raw", "utc"),
    [
        ("2019-01-04", DAY),
        ("2019-1-4", DAY),
        ("2019-W01-5", DAY),
        ("2019W015", DAY),
        ("2019-004", DAY),
        ("2019-01-04T12:00:00Z", NOON),
        ("2019-01-04 14:00:00+02:00", NOON),
        ("2019-01-04T12:00:00.000000000Z", NOON),
        ("2019-01-04T13:00:00,000+0100", NOON),
        ("2019-01-04 12:00:00 UTC", NOON),
        ("2019-01-04 12:00:00 +0000 UTC", NOON),
        ("20190104T120000Z", NOON),
        ("Fri, 04 Jan 2019 07:00:00 -0500", NOON),
        ("Fri, 4 Jan 19 12:00 GMT", NOON),
        ("4 Jan 2019 12:00:00 GMT", NOON),
        ("Fri Jan  4 12:00:00 UTC 2019", NOON),
        ("Fri Jan 04 2019 13:00:00 GMT+0100 (Central European Standard Time)", NOON),
        ("04-Jan-2019", DAY),
        ("20190104", DAY),
        (20190104, DAY),
        ("20190104120000", NOON),
        ("January 4, 2019", DAY),
        ("Friday, January 4th, 2019", DAY),
        ("Jan. 4, 2019", DAY),
        ("4 January 2019", DAY),
        ("Jan 4, 2019 12:00 PM", NOON),
        ("Jan 4, 2019 7:00 AM EST", NOON),
        ("Published Jan. 4, 2019, 7 a.m. ET", NOON),
        ("July 4, 2019 at 8:00 a.m. ET", datetime(2019, 7, 4, 12, tzinfo=UTC)),
        ("4 July 2019 13:00 BST", datetime(2019, 7, 4, 12, tzinfo=UTC)),
        ("04.01.2019", DAY),
        ("04.01.2019, 12:00 Uhr", NOON),
        ("Freitag, 4. Jänner 2019 um 12.00 Uhr", NOON),
        ("4. Januar 2019 13:00 MEZ", NOON),
        ("ven. 4 janv. 2019 à 12h00", NOON),
        ("mar. 1er janvier 2019", DAY - timedelta(days=3)),
        ("4 de enero de 2019", DAY),
        ("4 gennaio 2019 ore 12:00", NOON),
        ("4 de janeiro de 2019 às 12h00", NOON),
        ("vrijdag 4 januari 2019", DAY),
        ("4 января 2019 г., 15:00 МСК", NOON),
        ("4 мая 2019", datetime(2019, 5, 4, tzinfo=UTC)),
        ("2019/01/04 12:00", NOON),
        ("2019/01/04 20:00:00 +08:00", NOON),
        ("2019年1月4日", DAY),
        ("2019年01月04日12:00:00", NOON),
        ("2019年1月4日 星期五 12:00", NOON),
        ("2019年1月4日（金）12時00分", NOON),
        ("2019年1月4日 下午3:04", DAY.replace(hour=15, minute=4)),
        ("2019年1月4日 上午12点5分", DAY.replace(minute=5)),
        ("２０１９年１月４日", DAY),
        ("2019년 1월 4일 오후 3시 4분", DAY.replace(hour=15, minute=4)),
        ("1/31/2019", datetime(2019, 1, 31, tzinfo=UTC)),
        ("31/1/2019", datetime(2019, 1, 31, tzinfo=UTC)),
        ("31/1/2019 12:00", datetime(2019, 1, 31, 12, tzinfo=UTC)),
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
def test_usual_forms_are_parsed(raw: Any, utc: datetime) -> None:
    assert as_utc(raw) == utc


@pytest.mark.parametrize(
    "raw",
    [
        *("", "soon", "2019", "2019-13-01", "01/02/2019", "Jan 4", "31.02.2019", "9" * 30),
        *(
            "2019-01",
            "2019-W01",
            "May 2019",
            "today",
            "yesterday",
            "3 days ago",
            "12:00",
            "at 5 pm",
        ),
        *("4 January 2019 or later", "2019-01-04 to 2019-01-05", "January 4 2019 25:00"),
        *("January 4, 2019 13:00 PM", "2019-00-00", "0000-00-00", "令和1年1月4日", "1.2.19"),
        *("January 4, 2019 " + " " * 80 + "x", "Issue 4, January 2019, page 7"),
        *(2019, 17, 0, -1, 10**30, float("nan"), float("inf")),
        *(None, True, [2019], b"\xff", "0001-01-01T00:00+14:00"),
    ],
)
def test_ambiguous_and_invalid_dates_are_none(raw: Any) -> None:
    assert as_utc(raw) is None


@pytest.mark.parametrize(
    ("raw", "assumed"),
    [
        ("2019-01-04", False),
        ("January 4, 2019", False),
        (date(2019, 1, 4), False),
        (datetime(2019, 1, 4), False),
        (1546603200, False),
        ("2019-01-04T12:00Z", False),
        ("Jan 4, 2019 12:00 PM EST", False),
        ("2019-01-04T12:00", True),
        ("20190104120000", True),
        ("Jan 4, 2019 12:00 PM", True),
        ("2019年1月4日 12:00", True),
        (datetime(2019, 1, 4, 12), True),
    ],
)
def test_a_time_without_a_zone_is_assumed_to_be_utc(raw: Any, assumed: bool) -> None:
    found = parse_date(raw)
    assert found is not None
    assert found.zone_assumed is assumed


def test_the_order_of_day_and_month_is_inferred_from_other_rows() -> None:
    assert day_first(["01/02/2020", None, 7, "31/12/2020 10:00"]) is True
    assert day_first(["01/02/2020", "Fri 12/31/2020"]) is False
    assert day_first(["31/12/2020", "12/31/2020"]) is None
    assert day_first(["01/02/2020", "2020-12-31", "31.12.2020"]) is None
    assert parse_date("01/02/2020", day_first=True) == ParsedDate(datetime(2020, 2, 1, tzinfo=UTC))
    assert parse_date("01-02-2020", day_first=False) == ParsedDate(datetime(2020, 1, 2, tzinfo=UTC))
    assert parse_date("01/02/2020") is None


def test_nat_of_pandas_is_not_a_date() -> None:
    pandas = pytest.importorskip("pandas")
    assert parse_date(pandas.NaT) is None
    assert as_utc(pandas.Timestamp("2019-01-04T12:00:00Z")) == NOON


@given(st.datetimes(timezones=st.timezones()))
def test_iso_8601_round_trips(raw: datetime) -> None:
    try:
        expected = raw.astimezone(UTC)
    except OverflowError:
        return
    assert as_utc(raw.isoformat()) == as_utc(raw) == expected


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)),
    st.sampled_from(
        [
            "%d %B %Y %H:%M:%S",
            "%B %d, %Y %I:%M:%S %p",
            "%a, %d %b %Y %H:%M:%S",
            "%Y/%m/%d %H:%M:%S",
            "%d.%m.%Y %H:%M:%S",
            "%Y年%m月%d日 %H时%M分%S秒",
        ]
    ),
)
def test_usual_forms_round_trip(raw: datetime, form: str) -> None:
    when = raw.replace(microsecond=0)
    assert parse_date(when.strftime(form)) == ParsedDate(
        when.replace(tzinfo=UTC), zone_assumed=True
    )


@given(
    st.one_of(
        st.text(),
        st.text("0123456789-/:. TZ年月日apm+,"),
        st.lists(
            st.sampled_from("4 2019 january mar 12:00 pm est + - / 年 , . 31 uhr 下午".split())
        ).map(" ".join),
        st.floats(),
        st.integers(),
    )
)
def test_any_value_is_parsed_without_an_exception(raw: object) -> None:
    found = as_utc(raw)
    assert found is None or found.tzinfo is UTC
