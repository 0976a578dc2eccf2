import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.llm.limits.adaptive_concurrency import AdaptiveConcurrency
from tests.tasks.llm.limits.limits_servers import Bucket, Latency, Server, fixed, heavy, lognormal
from tests.tasks.llm.limits.limits_simulation import run

SEEDS = [1, 2, 3]
CPU_S = 1 / 7000


def test_slow_start_begins_with_a_few_requests() -> None:
    concurrency = AdaptiveConcurrency(256)
    assert concurrency.limit == 8
    assert concurrency.in_slow_start
    concurrency.record_answer(0.5, 8, 0.5)
    assert concurrency.limit == 64
    for _ in range(10):
        concurrency.record_answer(0.5, concurrency.limit, 1.0)
    assert concurrency.limit == 84


def test_the_limit_does_not_grow_while_it_is_not_in_use() -> None:
    concurrency = AdaptiveConcurrency(256)
    for answer in range(1000):
        concurrency.record_answer(0.5, 8, answer / 16)
    assert concurrency.limit == 64


def test_the_median_latency_ignores_outliers() -> None:
    concurrency = AdaptiveConcurrency(256)
    assert concurrency.median_latency_s is None
    for answer in range(200):
        concurrency.record_answer(50.0 if answer % 4 == 0 else 0.5, 64, 1.0 + answer)
    assert concurrency.median_latency_s == 0.5


def test_a_burst_of_429s_lowers_the_limit_by_their_share() -> None:
    concurrency = AdaptiveConcurrency(256)
    concurrency.record_answer(0.5, 8, 0.5)
    for n in range(14):
        concurrency.record_rejection(64 - n, 0.6)
    assert concurrency.limit == 50
    assert not concurrency.in_slow_start


def test_a_burst_of_429s_at_most_halves_the_limit() -> None:
    concurrency = AdaptiveConcurrency(256)
    concurrency.record_answer(0.5, 8, 0.5)
    for n in range(64):
        concurrency.record_rejection(64 - n, 0.6)
    assert concurrency.limit == 32


@pytest.mark.parametrize("room", [1, 3, 7])
def test_a_capacity_below_the_initial_limit_is_found(room: int) -> None:
    concurrency = AdaptiveConcurrency(256)
    best = run(Server(fixed(0.5), room=room), room, 60 * room)
    learned = run(Server(fixed(0.5), room=room), concurrency, 60 * room)
    assert concurrency.limit in (room, room + 1)
    assert learned.seconds <= best.seconds / 0.75


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("latency", [lognormal, heavy])
def test_slow_start_costs_almost_no_time(
    latency: Callable[[float, int], Latency], seed: int
) -> None:
    best = run(Server(latency(0.5, seed)), 200, 20_000)
    learned = run(Server(latency(0.5, seed)), AdaptiveConcurrency(200), 20_000)
    assert learned.seconds <= 1.015 * best.seconds


@pytest.mark.parametrize("latency", [fixed(0.5), lognormal(0.5, 1), lognormal(0.5, 2)])
@pytest.mark.parametrize(("room", "share"), [(30, 0.78), (50, 0.9), (60, 0.85), (100, 0.85)])
def test_the_capacity_of_a_server_is_found_and_used(
    latency: Latency, room: int, share: float
) -> None:
    best = run(Server(latency, room=room), room, 60 * room)
    learned = run(Server(latency, room=room), AdaptiveConcurrency(256), 60 * room)
    assert best.limited == 0
    assert learned.seconds <= best.seconds / share
    assert learned.limited <= 0.05 * learned.calls


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "latency",
    [
        pytest.param(lambda _: fixed(0.0001), id="none"),
        pytest.param(lambda _: fixed(0.05), id="fixed 0.05"),
        pytest.param(lambda _: fixed(0.5), id="fixed 0.5"),
        pytest.param(lambda seed: lognormal(0.05, seed), id="lognormal 0.05"),
        pytest.param(lambda seed: lognormal(0.5, seed), id="lognormal 0.5"),
        pytest.param(lambda seed: heavy(0.5, seed), id="heavy 0.5"),
    ],
)
def test_latency_that_grows_beyond_fifty_requests_bounds_the_limit(
    latency: Callable[[int], Latency], seed: int
) -> None:
    learned = run(Server(latency(seed), slow_above=50), AdaptiveConcurrency(256), 5000, CPU_S)
    assert 40 <= learned.mean_in_flight(since=0.5) <= 90


def test_a_busy_client_is_not_mistaken_for_a_queue_at_the_server() -> None:
    best = run(Server(fixed(0.0001)), 256, 30_000, CPU_S)
    learned = run(Server(fixed(0.0001)), AdaptiveConcurrency(256), 30_000, CPU_S)
    assert learned.seconds <= 1.01 * best.seconds


@pytest.mark.parametrize("seed", SEEDS)
def test_a_server_that_is_slow_for_other_reasons_keeps_its_limit(seed: int) -> None:
    best = run(Server(lognormal(0.5, seed), slower=(20.0, 2.5)), 200, 20_000)
    concurrency = AdaptiveConcurrency(200)
    learned = run(Server(lognormal(0.5, seed), slower=(20.0, 2.5)), concurrency, 20_000)
    assert learned.seconds <= 1.06 * best.seconds
    assert concurrency.limit == 200


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("retry_after", [0.01, 1.0])
def test_random_429s_do_not_erode_the_limit(seed: int, retry_after: float) -> None:
    concurrency = AdaptiveConcurrency(256)
    run(
        Server(lognormal(0.5, seed), noise=0.02, retry_after=retry_after, seed=seed),
        concurrency,
        8000,
    )
    assert concurrency.limit > 0.6 * 256


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("holds", [100, 6000])
def test_a_rate_limit_without_headers_is_approached(holds: int, seed: int) -> None:
    bucket = Bucket(6000, holds=holds, level=100)
    learned = run(Server(lognormal(0.5, seed), bucket=bucket), AdaptiveConcurrency(256), 6000)
    assert 60 / learned.seconds >= 0.85
    assert learned.limited <= 0.05 * learned.calls


@settings(max_examples=60, deadline=None)
@given(
    most=st.integers(1, 300),
    kinds=st.lists(st.sampled_from("aaaaaal"), min_size=1, max_size=600),
    seed=st.integers(0, 1000),
    scale=st.floats(0.0, 20.0),
)
def test_the_limit_stays_within_its_bounds(
    most: int, kinds: list[str], seed: int, scale: float
) -> None:
    concurrency, draw, now = AdaptiveConcurrency(most), random.Random(seed), 0.0
    for kind in kinds:
        now += draw.random() * scale
        in_flight = draw.choice((1, concurrency.limit, draw.randint(1, concurrency.limit)))
        if kind == "a":
            concurrency.record_answer(draw.expovariate(1.0) * scale, in_flight, now)
        else:
            concurrency.record_rejection(in_flight, now)
        assert 1 <= concurrency.limit <= most
