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


def test_nothing_told_and_nothing_learned_holds_nothing_back() -> None:
    pacer = RateLimiter()
    assert not pacer.known
    assert pacer.largest is None
    for _ in range(1000):
        assert pacer.ready_in(1e9, 1.0) == 0.0
        pacer.take(1e9, 1.0)
        pacer.limited(1.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("holds", [6000, 100, 10, 5])
def test_told_requests_a_minute_are_used_and_never_broken(holds: int, seed: int) -> None:
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
def test_learned_requests_a_minute_are_used_and_hardly_broken(
    holds: int, median: float, seed: int
) -> None:
    sent = Paced(
        RateLimiter(),
        requests=Bucket(6000, holds=holds),
        latency=lognormal(median, seed),
        seed=seed,
    ).run(2000)
    assert sent.limited < 0.01 * sent.calls
    # Neither the first answers nor the last can be hurried.
    assert 20 / (sent.seconds - 2 * median) >= 0.95


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("phase_s", "left"), [(0, 6000), (30, 6000), (30, 3000), (50, 200), (59, 0)]
)
def test_fixed_windows_are_used_wherever_they_are_at_the_start(
    phase_s: float, left: float, seed: int
) -> None:
    window = FixedWindow(6000, level=left, phase_s=phase_s)
    sent = Paced(RateLimiter(), requests=window, latency=lognormal(0.5, seed), seed=seed).run(
        10**9, seconds=180 - phase_s
    )
    usable = min(left, 100 * (60 - phase_s)) + 12_000
    assert sent.calls - sent.limited >= 0.95 * usable
    assert sent.limited < 0.01 * sent.calls


def test_a_quota_that_others_use_too_is_shared() -> None:
    sent = Paced(
        RateLimiter(), requests=Bucket(6000, level=500), others=50.0, latency=lognormal(0.5, 1)
    ).run(10**9, seconds=120)
    assert sent.limited < 0.01 * sent.calls
    assert sent.calls >= 0.95 * (500 + 120 * 50)


def test_a_limit_per_day_refills_slowly() -> None:
    """Groq's: 14,400 requests a day come back one in six seconds."""
    pacer = RateLimiter()
    pacer.learn(requests(14_400, 14_370, 179.56), 0.0)
    assert pacer.ready_in(0, 0.0) == 0.0
    pacer.learn(requests(14_400, 0, 86_400), 10.0)
    assert pacer.ready_in(0, 10.0) == pytest.approx(6.0, rel=0.05)


def test_what_is_told_wins_unless_less_is_allowed() -> None:
    def pace(told: float, limit: float) -> float:
        pacer, sent = RateLimiter(told), 0
        pacer.learn(requests(limit, limit, 0.0), 0.0)
        for ms in range(10_000):
            while pacer.ready_in(0, ms / 1000) == 0.0:
                pacer.take(0, ms / 1000)
                sent += 1
        return sent * 6

    assert pace(600, 6000) == pytest.approx(600, rel=0.03)
    assert pace(6000, 600) == pytest.approx(600, rel=0.03)


def test_the_largest_request_is_the_smaller_of_told_and_learned() -> None:
    pacer = RateLimiter(tpm=50_000)
    assert pacer.largest == 50_000
    pacer.learn(RateHeaders(None, RateWindow(30_000)), 0.0)
    assert pacer.largest == 30_000


def test_a_request_waits_until_as_many_tokens_are_left() -> None:
    pacer = RateLimiter()
    pacer.learn(RateHeaders(None, RateWindow(60_000, 500, 59.5)), 0.0)
    assert pacer.ready_in(400, 0.0) == 0.0
    assert pacer.ready_in(3000, 0.0) == pytest.approx(2.5)
    assert pacer.ready_in(3000, 2.6) == 0.0


def test_a_request_larger_than_the_burst_is_paid_for_afterwards() -> None:
    pacer = RateLimiter(tpm=60_000)
    assert pacer.ready_in(30_000, 0.0) == 0.0
    pacer.take(30_000, 0.0)
    assert pacer.ready_in(1, 0.0) == pytest.approx(30.0, rel=0.02)


@pytest.mark.parametrize("told", [600_000, None])
def test_unused_tokens_are_used_by_others(told: float | None) -> None:
    sent = Paced(
        RateLimiter(tpm=told),
        tokens=Bucket(600_000),
        headers=told is None,
        reserve=1000,
        use=400,
        refunds=True,
        latency=lognormal(0.5, 1),
    ).run(4000)
    assert sent.limited == 0
    assert 160 / sent.seconds >= 0.95


def test_a_provider_that_keeps_reservations_is_believed() -> None:
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


def test_a_429_slows_down_a_little_and_is_forgiven() -> None:
    pacer = RateLimiter(6000)

    def sent_in(start: float, seconds: float) -> int:
        sent = 0
        for ms in range(int(seconds * 1000)):
            while pacer.ready_in(0, start + ms / 1000) == 0.0:
                pacer.take(0, start + ms / 1000)
                sent += 1
        return sent

    before = sent_in(0, 10)
    for _ in range(100):
        pacer.limited(10.0)
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
def test_refunds_never_make_quota(tpm: float, steps: list[tuple[float, float, float]]) -> None:
    """What is really used keeps to the pace, whatever is reserved and given back."""
    pacer, now, used = RateLimiter(tpm=tpm), 0.0, 0.0
    largest = tpm / 60
    for pause, size, share in steps:
        now += pause
        reserved = size * largest
        if pacer.ready_in(reserved, now) == 0.0:
            pacer.take(reserved, now)
            pacer.settle(reserved, share * reserved, now)
            used += share * reserved
        assert used <= now * tpm / 60 + 1 + 0.035 * tpm / 60 + largest + 1e-6 * tpm


@settings(max_examples=80, deadline=None)
@given(rpm=st.floats(1, 1e5), pauses=st.lists(st.floats(0, 3), min_size=2, max_size=200))
def test_no_window_sees_more_than_the_pace_and_a_small_burst(
    rpm: float, pauses: list[float]
) -> None:
    pacer, now, sends = RateLimiter(rpm), 0.0, [0.0]
    for pause in pauses:
        now += pause
        for _ in range(20):
            if pacer.ready_in(0, now) > 0:
                break
            pacer.take(0, now)
            sends.append(now)
    assert all(a <= b for a, b in pairwise(sends))
    del sends[0]
    for first in range(len(sends)):
        for last in range(first, len(sends)):
            window_s = sends[last] - sends[first]
            assert last - first + 1 <= window_s * rpm / 60 + 1 + 0.035 * rpm / 60 + 1e-3
