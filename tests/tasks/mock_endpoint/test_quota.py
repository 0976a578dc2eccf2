import pytest

from article_flows.tasks.mock_endpoint.protocol import ApiError
from article_flows.tasks.mock_endpoint.quota import Quota, go_duration


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0s"),
        (0.02, "20ms"),
        (0.9999, "1s"),
        (1, "1s"),
        (1.5, "1.5s"),
        (90.951, "1m30.951s"),
        (360, "6m0s"),
        (3660, "1h1m0s"),
    ],
)
def test_durations_are_formatted_as_in_go(seconds: float, written: str) -> None:
    assert go_duration(seconds) == written


def test_rejected_requests_get_a_retry_after() -> None:
    clock = Clock()
    quota = Quota(rpm=2, tpm=None, clock=clock)
    quota.admit(1)
    assert quota.headers() == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "30s",
    }
    quota.admit(1)
    with pytest.raises(ApiError) as caught:
        quota.admit(1)
    assert (caught.value.status, caught.value.code) == (429, "rate_limit_exceeded")
    assert caught.value.headers == {"retry-after": "30", "retry-after-ms": "30000"}
    clock.now = 29.9
    with pytest.raises(ApiError):
        quota.admit(1)
    clock.now = 30
    quota.admit(1)


def test_only_admitted_requests_spend_tokens() -> None:
    clock = Clock()
    quota = Quota(rpm=10, tpm=600, clock=clock)
    quota.admit(500)
    with pytest.raises(ApiError, match="tokens per min"):
        quota.admit(200)
    headers = quota.headers()
    assert headers["x-ratelimit-remaining-tokens"] == "100"
    assert headers["x-ratelimit-remaining-requests"] == "9"
    assert headers["x-ratelimit-reset-tokens"] == "50s"
    clock.now = 10
    quota.admit(200)


def test_a_request_larger_than_the_quota_is_asked_to_reduce_its_tokens() -> None:
    with pytest.raises(ApiError, match="must be reduced"):
        Quota(rpm=None, tpm=100).admit(101)


def test_a_small_bucket_limits_bursts_and_refills_at_the_same_rate() -> None:
    clock = Clock()
    quota = Quota(rpm=6000, tpm=None, clock=clock, burst=10)
    for _ in range(10):
        quota.admit(1)
    assert quota.headers() == {
        "x-ratelimit-limit-requests": "6000",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "100ms",
    }
    with pytest.raises(ApiError) as caught:
        quota.admit(1)
    assert caught.value.headers["retry-after-ms"] == "10"
    clock.now = 60
    assert quota.headers()["x-ratelimit-remaining-requests"] == "10"
