"""The circuit breaker: many failing articles open it, a single one does not, probes close it."""

import asyncio
import math
from typing import Any

from aiohttp import web

from article_flows.tasks.llm.limits.circuit_breaker import CircuitBreaker
from article_flows.tasks.llm.limits.retry_policy import RetryPolicy
from article_flows.tasks.llm.protocol.request import Request
from article_flows.tasks.llm.protocol.results import Answer, RequestFailed, RunStopped
from tests.tasks.llm.gateway.gateway_support import (
    FAST,
    OK,
    TEMPLATE,
    NoReceiver,
    article,
    completion_body,
    ending,
    endings,
    gateway_to,
    of_kind,
    plain,
    scripted,
)

DOWN: Any = (500, {"error": {"message": "Down"}})


def requests(count: int) -> list[Request]:
    return [Request(TEMPLATE, article(n), plain, NoReceiver(), n) for n in range(count)]


def test_ten_failing_articles_in_a_row_open_the_circuit_but_one_alone_never_does() -> None:
    breaker = CircuitBreaker(RetryPolicy())
    alone, *others = requests(11)
    for _ in range(100):
        breaker.record_failure(alone, 0.0)
    assert not breaker.is_open
    for other in others[:8]:
        breaker.record_failure(other, 0.0)
    breaker.record_success()
    for other in others[:9]:
        breaker.record_failure(other, 0.0)
    assert not breaker.is_open
    breaker.record_failure(others[9], 0.0)
    assert breaker.is_open


def test_an_open_circuit_lets_single_probes_through_at_growing_intervals() -> None:
    policy = RetryPolicy()
    breaker = CircuitBreaker(policy)
    articles = requests(30)
    for each in articles[:10]:
        breaker.record_failure(each, 0.0)
    waits = []
    now = 0.0
    for probe in articles[10:]:
        if breaker.exhausted:
            break
        waits.append(breaker.seconds_until_probe(now))
        now += waits[-1]
        assert breaker.seconds_until_probe(now) == 0
        breaker.record_sent(probe)
        assert breaker.seconds_until_probe(now) == math.inf
        breaker.record_failure(
            articles[0], now
        )  # Sent before it opened: says nothing about the probe.
        assert breaker.seconds_until_probe(now) == math.inf
        breaker.record_failure(probe, now)
    assert waits == [1, 2, 4, 8, 16, 20, 20]
    breaker.record_success()
    assert not breaker.is_open
    assert not breaker.exhausted


def test_a_cancelled_probe_makes_room_for_another() -> None:
    breaker = CircuitBreaker(RetryPolicy())
    *failing, probe = requests(11)
    for each in failing:
        breaker.record_failure(each, 0.0)
    breaker.record_sent(probe)
    breaker.release(failing[0])
    assert breaker.seconds_until_probe(100.0) == math.inf
    breaker.release(probe)
    assert breaker.seconds_until_probe(100.0) == 0


async def test_an_outage_of_the_endpoint_fails_no_article() -> None:
    """All requests fail for a while, more often than a single article may."""
    # More attempts than any article uses up before ten have failed, even on a busy machine.
    policy = RetryPolicy(max_attempts=4, base_s=0.002, cap_s=0.02, max_probes=12)
    async with (
        scripted(*[DOWN] * 18, OK) as script,
        gateway_to(script.base_url, retry=policy, max_in_flight=16) as gateway,
    ):
        results = await asyncio.wait_for(endings(gateway, 40), 30)
        assert gateway.stopped is None
    assert len(of_kind(results, Answer)) == 40


async def test_at_most_one_request_is_in_flight_while_the_circuit_is_open() -> None:
    policy = RetryPolicy(base_s=0.002, cap_s=0.01, max_probes=6)
    most_at_once = 0
    active = 0
    seen = 0

    async def fail(_: web.BaseRequest) -> web.StreamResponse:
        nonlocal most_at_once, active, seen
        seen += 1
        active += 1
        if seen > 30:
            most_at_once = max(most_at_once, active)
        await asyncio.sleep(0.005)
        active -= 1
        return web.json_response({"error": {"message": "Down"}}, status=503)

    async with (
        scripted(fail) as script,
        gateway_to(script.base_url, retry=policy, max_in_flight=20) as gateway,
    ):
        results = await asyncio.wait_for(endings(gateway, 100), 30)
        # Those in flight when it opened, and the probes.
        assert seen <= 20 + 20 + policy.max_probes
    assert most_at_once <= 20
    assert len(of_kind(results, RunStopped)) == 100
    assert "the endpoint does not answer: HTTP 503: Down" in str(gateway.stopped)


async def test_a_single_article_that_always_fails_does_not_stop_the_run() -> None:
    async def only_bridges(request: web.BaseRequest) -> web.StreamResponse:
        if b"odd" in await request.read():
            return web.json_response({"error": {"message": "Cannot do it"}}, status=500)
        return web.json_response(completion_body())

    async with (
        scripted(only_bridges) as script,
        gateway_to(script.base_url, retry=FAST) as gateway,
    ):
        failed = await ending(gateway, "odd")
        assert isinstance(failed, RequestFailed)
        assert (failed.error.error_class, failed.attempts) == ("server_error", FAST.max_attempts)
        assert gateway.stopped is None
        assert isinstance(await ending(gateway, "even"), Answer)
