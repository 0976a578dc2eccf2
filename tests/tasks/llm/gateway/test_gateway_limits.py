"""The gateway under rate limits."""

import asyncio
from typing import Any

import pytest
import uvloop
from aiohttp import web

from article_flows.tasks.llm.limits.retry_policy import RetryPolicy
from article_flows.tasks.llm.protocol.results import Answer, RunStopped
from article_flows.tasks.mock_endpoint.faults import Faults
from tests.tasks.llm.gateway.gateway_support import (
    OK,
    PATIENT,
    TEMPLATE,
    ask,
    completion_body,
    ending,
    endings,
    gateway_to,
    of_kind,
    plain,
    scripted,
)
from tests.tasks.mock_endpoint.mock_support import running_endpoint


async def test_a_rate_limit_costs_no_attempt() -> None:
    faults = Faults(http_429=0.7, retry_after=0.001, seed=3)
    policy = RetryPolicy(max_attempts=1, base_s=0.001, cap_s=0.002)
    async with running_endpoint(faults) as url, gateway_to(url, retry=policy) as gateway:
        results = await endings(gateway, 30)
    assert len(of_kind(results, Answer)) == 30
    assert gateway.totals.errors["rate_limited"] == gateway.totals.attempts - 30 > 0


async def test_rate_limits_do_not_count_as_faults_of_an_article() -> None:
    policy = RetryPolicy(max_attempts=2, base_s=0.001, cap_s=0.002)
    limited: Any = (429, {}, {"retry-after-ms": "1"})
    async with (
        scripted(OK, *[limited] * 5, (500, {}), OK) as script,
        gateway_to(script.base_url, retry=policy) as gateway,
    ):
        await ask(gateway, TEMPLATE, "x", plain)
        assert (await ask(gateway, TEMPLATE, "x", plain)).attempts == 7


async def test_no_request_is_sent_during_the_shared_cooldown() -> None:
    """One 429 pauses all requests."""
    order: list[str] = []

    async def limited_once(_: web.BaseRequest) -> web.StreamResponse:
        order.append("sent")
        if len(order) == 1:
            return web.json_response({}, status=429, headers={"retry-after-ms": "400"})
        return web.json_response(completion_body())

    async with scripted(limited_once) as script, gateway_to(script.base_url) as gateway:
        first = asyncio.create_task(ending(gateway, "first"))
        while not gateway.totals.errors:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(ending(gateway, f"other {n}")) for n in range(20)]
        await asyncio.sleep(0.02)
        order.append("still waiting")
        results = await asyncio.gather(first, *others)
    assert order == ["sent", "still waiting", *["sent"] * 21]
    assert len(of_kind(results, Answer)) == 21


async def test_a_retry_after_of_zero_does_not_lead_to_hammering(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = RetryPolicy(base_s=800.0, cap_s=800.0)
    async with (
        scripted((429, {}, {"Retry-After": "0"})) as script,
        gateway_to(script.base_url, retry=policy) as gateway,
    ):
        callers = asyncio.create_task(endings(gateway, 3))
        while gateway.totals.errors.total() < 3:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        gateway.stop("enough")
        await callers
        assert len(script.seen) == 3


async def test_thousands_of_rate_limits_in_a_row_do_not_overflow_the_backoff() -> None:
    """2.0 ** 1024 is an OverflowError."""
    policy = RetryPolicy(base_s=1e-9, cap_s=1e-6)
    replies: list[Any] = [(429, {}, {"Retry-After": "0"})] * 1100
    async with (
        scripted(*replies, OK) as script,
        gateway_to(script.base_url, retry=policy) as gateway,
    ):
        answer = await ask(gateway, TEMPLATE, "x", plain)
    assert answer.attempts == 1101


async def test_a_rate_limit_that_outlasts_the_timeout_stops_the_run() -> None:
    policy = RetryPolicy(base_s=0.001, cap_s=0.002, no_answer_timeout_s=0.05)
    async with (
        scripted((429, {"error": {"message": "Slow down"}})) as script,
        gateway_to(script.base_url, retry=policy) as gateway,
    ):
        results = await endings(gateway, 5)
    assert len(of_kind(results, RunStopped)) == 5
    assert "rate limited" in str(results[0])
    assert "Slow down" in str(results[0])


@pytest.mark.parametrize("status", [429, 503])
async def test_a_retry_after_of_a_day_stops_the_run(status: int) -> None:
    async with (
        scripted((status, {}, {"Retry-After": "86400"})) as script,
        gateway_to(script.base_url) as gateway,
    ):
        results = await asyncio.wait_for(endings(gateway, 3), 30)
    assert len(of_kind(results, RunStopped)) == 3


async def test_idle_time_does_not_count_towards_the_timeout() -> None:
    """A gateway that was idle for longer than the timeout is not stopped by its first 429."""
    policy = RetryPolicy(base_s=0.001, cap_s=0.002, no_answer_timeout_s=0.05)
    limited: Any = (429, {}, {"retry-after-ms": "1"})
    async with (
        scripted(limited, OK, limited, OK) as script,
        gateway_to(script.base_url, retry=policy) as gateway,
    ):
        for _ in range(2):
            await asyncio.sleep(0.1)
            assert isinstance(await ending(gateway), Answer)


def test_delays_and_rate_limits_work_on_uvloop() -> None:
    """uvloop's handles of callbacks that are due at once are not timer handles."""

    async def run() -> None:
        faults = Faults(rpm=60_000, burst=5, http_429=0.05, retry_after=0.001, http_500=0.05)
        async with (
            running_endpoint(faults) as url,
            gateway_to(url, max_in_flight=32, retry=PATIENT) as gateway,
        ):
            results = await asyncio.wait_for(endings(gateway, 400), 60)
        assert len(of_kind(results, Answer)) == 400

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
