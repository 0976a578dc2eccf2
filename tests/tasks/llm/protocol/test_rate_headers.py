import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.llm.protocol.rate_headers import RateWindow, rate_headers

OPENAI = {
    "content-type": "application/json",
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-reset-tokens": "6m0s",
}


def test_openais_headers_are_read() -> None:
    said = rate_headers(OPENAI)
    assert said
    assert said.requests == RateWindow(60, 59, 1.0)
    assert said.tokens == RateWindow(150_000, 149_984, 360.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2m59.56s", 179.56), ("7.66s", 7.66), ("12ms", 0.012), ("17", 17.0), ("soon", None)],
)
def test_resets_are_read_as_durations_in_any_style(text: str, seconds: float | None) -> None:
    said = rate_headers(OPENAI | {"x-ratelimit-reset-requests": text})
    assert said
    assert said.requests
    assert said.requests.reset_s == pytest.approx(seconds)


def test_anthropics_dates_are_relative_to_the_responses_own_date() -> None:
    said = rate_headers(
        {
            "date": "Tue, 05 Mar 2024 10:00:00 GMT",
            "anthropic-ratelimit-requests-limit": "1000",
            "anthropic-ratelimit-requests-remaining": "990",
            "anthropic-ratelimit-requests-reset": "2024-03-05T10:00:12Z",
        }
    )
    assert said
    assert said.requests == RateWindow(1000, 990, 12.0)
    assert said.tokens is None


def test_a_past_reset_is_now_and_one_without_a_date_header_is_unknown() -> None:
    past = {
        "anthropic-ratelimit-requests-limit": "1000",
        "anthropic-ratelimit-requests-reset": "2024-03-05T10:00:00Z",
    }
    said, dated = rate_headers(past), rate_headers(past | {"date": "Tue, 05 Mar 2024 10:00:09 GMT"})
    assert said
    assert said.requests == RateWindow(1000, None, None)
    assert dated
    assert dated.requests == RateWindow(1000, None, 0.0)


def test_the_tighter_of_project_and_organisation_limit_applies() -> None:
    project = {
        "x-ratelimit-limit-project-tokens": "30000",
        "x-ratelimit-remaining-project-tokens": "29000",
        "x-ratelimit-reset-project-tokens": "2s",
    }
    said = rate_headers(OPENAI | project)
    assert said
    assert said.tokens == RateWindow(30_000, 29_000, 2.0)


def test_an_exhausted_limit_applies_before_a_lower_one() -> None:
    said = rate_headers(
        OPENAI | {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-limit-project-tokens": "30000"}
    )
    assert said
    assert said.tokens
    assert said.tokens.limit == 150_000


@pytest.mark.parametrize("limit", ["", "0", "-1", "nan", "inf", "-inf", "many", "1e400"])
def test_an_invalid_limit_is_ignored(limit: str) -> None:
    assert rate_headers({"x-ratelimit-limit-requests": limit, "date": "now"}) is None


@given(st.dictionaries(st.sampled_from(sorted(OPENAI)), st.text()))
def test_garbage_in_headers_is_not_an_error(headers: dict[str, str]) -> None:
    said = rate_headers(headers)
    for window in said or ():
        if window:
            assert 0 < window.limit < 1e18
            assert window.remaining is None or window.remaining >= 0
            assert window.reset_s is None or window.reset_s >= 0
