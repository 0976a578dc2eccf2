"""The circuit breaker: many articles that fail open it, one does not, and probes close it."""

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
    Nobody,
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


def askings(count: int) -> list[Request]:
    return [Request(TEMPLATE, article(n), plain, Nobody(), n) for n in range(count)]


def test_one_article_never_opens_it_and_ten_in_a_row_do() -> None:
    breaker = CircuitBreaker(RetryPolicy())
    alone, *others = askings(11)
    for _ in range(100):
        breaker.failed(alone, 0.0)
    assert not breaker.open
    for other in others[:8]:
        breaker.failed(other, 0.0)
    breaker.answered()
    for other in others[:9]:
        breaker.failed(other, 0.0)
    assert not breaker.open
    breaker.failed(others[9], 0.0)
    assert breaker.open


def test_open_it_lets_one_probe_at_a_time_through_ever_more_rarely() -> None:
    policy = RetryPolicy()
    breaker = CircuitBreaker(policy)
    articles = askings(30)
    for each in articles[:10]:
        breaker.failed(each, 0.0)
    waits = []
    now = 0.0
    for probe in articles[10:]:
        if breaker.hopeless:
            break
        waits.append(breaker.wait(now))
        now += waits[-1]
        assert breaker.wait(now) == 0
        breaker.sent(probe)
        assert breaker.wait(now) == math.inf
        breaker.failed(articles[0], now)  # sent before it opened: says nothing of the probe
        assert breaker.wait(now) == math.inf
        breaker.failed(probe, now)
    assert waits == [1, 2, 4, 8, 16, 20, 20]
    breaker.answered()
    assert not breaker.open
    assert not breaker.hopeless


def test_a_probe_that_was_given_up_makes_room_for_another() -> None:
    breaker = CircuitBreaker(RetryPolicy())
    *failing, probe = askings(11)
    for each in failing:
        breaker.failed(each, 0.0)
    breaker.sent(probe)
    breaker.given_up(failing[0])
    assert breaker.wait(100.0) == math.inf
    breaker.given_up(probe)
    assert breaker.wait(100.0) == 0


async def test_an_endpoint_that_comes_back_is_gone_on_with_and_no_article_pays_for_it() -> None:
    """All calls fail for a while: more often than an article may by itself."""
    # As many attempts as no article uses up before ten have failed, on a busy machine either.
    policy = RetryPolicy(attempts=4, base_s=0.002, cap_s=0.02, probes=12)
    async with (
        scripted(*[DOWN] * 18, OK) as script,
        gateway_to(script.base_url, retry=policy, max_in_flight=16) as gateway,
    ):
        results = await asyncio.wait_for(endings(gateway, 40), 30)
        assert gateway.stopped is None
    assert len(of_kind(results, Answer)) == 40


async def test_while_it_is_open_one_request_is_under_way_at_most() -> None:
    policy = RetryPolicy(base_s=0.002, cap_s=0.01, probes=6)
    most_at_once = 0
    now_there = 0
    seen = 0

    async def fail(_: web.BaseRequest) -> web.StreamResponse:
        nonlocal most_at_once, now_there, seen
        seen += 1
        now_there += 1
        if seen > 30:
            most_at_once = max(most_at_once, now_there)
        await asyncio.sleep(0.005)
        now_there -= 1
        return web.json_response({"error": {"message": "Down"}}, status=503)

    async with (
        scripted(fail) as script,
        gateway_to(script.base_url, retry=policy, max_in_flight=20) as gateway,
    ):
        results = await asyncio.wait_for(endings(gateway, 100), 30)
        # Those under way when it opened, and the probes.
        assert seen <= 20 + 20 + policy.probes
    assert most_at_once <= 20
    assert len(of_kind(results, RunStopped)) == 100
    assert "the endpoint does not answer: HTTP 503: Down" in str(gateway.stopped)


async def test_a_lone_article_that_always_fails_is_a_failure_and_not_the_end_of_the_run() -> None:
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
        assert (failed.error.error_class, failed.attempts) == ("server_error", FAST.attempts)
        assert gateway.stopped is None
        assert isinstance(await ending(gateway, "even"), Answer)
