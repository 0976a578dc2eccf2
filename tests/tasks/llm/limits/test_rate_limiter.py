from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.llm.limits.rate_limiter import RateLimiter
from article_flows.tasks.llm.protocol.rate_headers import RateHeaders, RateWindow
from tests.tasks.llm.limits.limits_servers import Bucket, FixedWindow, lognormal
from tests.tasks.llm.limits.limits_simulation import Paced

SEEDS = [1, 2, 3]


def requests(limit: float, remaining: float, reset_s: float) -> RateHeaders:
    return RateHeaders(RateWindow(limit, remaining, reset_s), None)


def test_without_limits_nothing_is_held_back() -> None:
    limiter = RateLimiter()
    assert not limiter.has_limits
    assert limiter.max_request_tokens is None
    for _ in range(1000):
        assert limiter.seconds_until_ready(1e9, 1.0) == 0.0
        limiter.reserve(1e9, 1.0)
        limiter.record_rejection(1.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("holds", [6000, 100, 10, 5])
def test_a_configured_rpm_is_used_and_never_exceeded(holds: int, seed: int) -> None:
    sent = Paced(
        RateLimiter(6000),
        requests=Bucket(6000, holds=holds),
        headers=False,
        latency=lognormal(0.05, seed),
        seed=seed,
    ).run(2000)
    assert sent.limited == 0
    assert 20 / sent.seconds >= 0.98


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("median", [0.05, 0.5])
@pytest.mark.parametrize("holds", [6000, 100, 10])
def test_a_learned_rpm_is_used_and_hardly_exceeded(holds: int, median: float, seed: int) -> None:
    sent = Paced(
        RateLimiter(),
        requests=Bucket(6000, holds=holds),
        latency=lognormal(median, seed),
        seed=seed,
    ).run(2000)
    assert sent.limited < 0.01 * sent.calls
    # The latency of the first and the last answers is unavoidable.
    assert 20 / (sent.seconds - 2 * median) >= 0.95


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("phase_s", "left"), [(0, 6000), (30, 6000), (30, 3000), (50, 200), (59, 0)]
)
def test_fixed_windows_are_used_from_any_starting_point(
    phase_s: float, left: float, seed: int
) -> None:
    window = FixedWindow(6000, level=left, phase_s=phase_s)
    sent = Paced(RateLimiter(), requests=window, latency=lognormal(0.5, seed), seed=seed).run(
        10**9, seconds=180 - phase_s
    )
    usable = min(left, 100 * (60 - phase_s)) + 12_000
    assert sent.calls - sent.limited >= 0.95 * usable
    assert sent.limited < 0.01 * sent.calls


def test_a_quota_is_shared_with_other_clients() -> None:
    sent = Paced(
        RateLimiter(), requests=Bucket(6000, level=500), others=50.0, latency=lognormal(0.5, 1)
    ).run(10**9, seconds=120)
    assert sent.limited < 0.01 * sent.calls
    assert sent.calls >= 0.95 * (500 + 120 * 50)


def test_a_daily_limit_refills_slowly() -> None:
    """Groq allows 14,400 requests per day, which refill at one every six seconds."""
    limiter = RateLimiter()
    limiter.update(requests(14_400, 14_370, 179.56), 0.0)
    assert limiter.seconds_until_ready(0, 0.0) == 0.0
    limiter.update(requests(14_400, 0, 86_400), 10.0)
    assert limiter.seconds_until_ready(0, 10.0) == pytest.approx(6.0, rel=0.05)


def test_the_lower_of_configured_and_reported_limit_applies() -> None:
    def rate(configured: float, reported: float) -> float:
        limiter, sent = RateLimiter(configured), 0
        limiter.update(requests(reported, reported, 0.0), 0.0)
        for ms in range(10_000):
            while limiter.seconds_until_ready(0, ms / 1000) == 0.0:
                limiter.reserve(0, ms / 1000)
                sent += 1
        return sent * 6

    assert rate(600, 6000) == pytest.approx(600, rel=0.03)
    assert rate(6000, 600) == pytest.approx(600, rel=0.03)


def test_the_largest_request_follows_the_lower_of_configured_and_reported_limit() -> None:
    limiter = RateLimiter(tpm=50_000)
    assert limiter.max_request_tokens == 50_000
    limiter.update(RateHeaders(None, RateWindow(30_000)), 0.0)
    assert limiter.max_request_tokens == 30_000


def test_a_request_waits_until_enough_tokens_remain() -> None:
    limiter = RateLimiter()
    limiter.update(RateHeaders(None, RateWindow(60_000, 500, 59.5)), 0.0)
    assert limiter.seconds_until_ready(400, 0.0) == 0.0
    assert limiter.seconds_until_ready(3000, 0.0) == pytest.approx(2.5)
    assert limiter.seconds_until_ready(3000, 2.6) == 0.0


def test_a_request_larger_than_the_burst_delays_the_next() -> None:
    limiter = RateLimiter(tpm=60_000)
    assert limiter.seconds_until_ready(30_000, 0.0) == 0.0
    limiter.reserve(30_000, 0.0)
    assert limiter.seconds_until_ready(1, 0.0) == pytest.approx(30.0, rel=0.02)


@pytest.mark.parametrize("configured", [600_000, None])
def test_unused_tokens_are_refunded(configured: float | None) -> None:
    sent = Paced(
        RateLimiter(tpm=configured),
        tokens=Bucket(600_000),
        headers=configured is None,
        reserve=1000,
        use=400,
        refunds=True,
        latency=lognormal(0.5, 1),
    ).run(4000)
    assert sent.limited == 0
    assert 160 / sent.seconds >= 0.95


def test_a_provider_that_does_not_refund_reservations_is_detected() -> None:
    paced = Paced(
        RateLimiter(tpm=600_000),
        tokens=Bucket(600_000),
        headers=False,
        reserve=1000,
        use=400,
        latency=lognormal(0.5, 1),
    )
    sent = paced.run(3000)
    assert 0 < sent.limited < 0.02 * sent.calls
    assert sent.seconds <= 300


def test_429s_slow_down_slightly_and_temporarily() -> None:
    limiter = RateLimiter(6000)

    def sent_in(start: float, seconds: float) -> int:
        sent = 0
        for ms in range(int(seconds * 1000)):
            while limiter.seconds_until_ready(0, start + ms / 1000) == 0.0:
                limiter.reserve(0, start + ms / 1000)
                sent += 1
        return sent

    before = sent_in(0, 10)
    for _ in range(100):
        limiter.record_rejection(10.0)
    after = sent_in(10, 1)
    assert 85 <= after < before / 10
    assert sent_in(11, 120) / 12 < before
    assert sent_in(131, 10) >= before - 10


@settings(max_examples=80, deadline=None)
@given(
    tpm=st.floats(60, 1e7),
    steps=st.lists(
        st.tuples(st.floats(0, 5), st.floats(0.001, 1), st.floats(0, 1)), min_size=1, max_size=150
    ),
)
def test_refunds_never_create_quota(tpm: float, steps: list[tuple[float, float, float]]) -> None:
    """Actual use stays within the rate for any reservations and refunds."""
    limiter, now, used = RateLimiter(tpm=tpm), 0.0, 0.0
    largest = tpm / 60
    for pause, size, share in steps:
        now += pause
        reserved = size * largest
        if limiter.seconds_until_ready(reserved, now) == 0.0:
            limiter.reserve(reserved, now)
            limiter.settle(reserved, share * reserved, now)
            used += share * reserved
        assert used <= now * tpm / 60 + 1 + 0.035 * tpm / 60 + largest + 1e-6 * tpm


@settings(max_examples=80, deadline=None)
@given(rpm=st.floats(1, 1e5), pauses=st.lists(st.floats(0, 3), min_size=2, max_size=200))
def test_no_window_exceeds_the_rate_plus_a_small_burst(rpm: float, pauses: list[float]) -> None:
    limiter, now, sends = RateLimiter(rpm), 0.0, [0.0]
    for pause in pauses:
        now += pause
        for _ in range(20):
            if limiter.seconds_until_ready(0, now) > 0:
                break
            limiter.reserve(0, now)
            sends.append(now)
    assert all(a <= b for a, b in pairwise(sends))
    del sends[0]
    for first in range(len(sends)):
        for last in range(first, len(sends)):
            window_s = sends[last] - sends[first]
            assert last - first + 1 <= window_s * rpm / 60 + 1 + 0.035 * rpm / 60 + 1e-3
