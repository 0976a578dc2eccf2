"""When the gateway retries, and when it stops the run."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from article_flows.tasks.llm.limits.retry_policy import RetryPolicy
from article_flows.tasks.llm.protocol.chat import Usage
from article_flows.tasks.llm.protocol.results import Answer, RequestFailed, RunStopped
from article_flows.tasks.mock_endpoint.faults import Faults
from article_flows.tasks.mock_endpoint.server import reset
from tests.tasks.llm.gateway.gateway_support import (
    EVERY,
    FAST,
    OK,
    PATIENT,
    Make,
    article,
    completion_body,
    ending,
    endings,
    gateway_to,
    of_kind,
    scripted,
    stats_of,
)
from tests.tasks.mock_endpoint.mock_support import running_endpoint

# ---- Errors that stop the run.


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ((429, {"error": {"code": "insufficient_quota", "message": "No money"}}), "add credit"),
        ((401, {"error": {"message": "Incorrect API key"}}), "OPENAI_API_KEY"),
        ((403, {"error": {"message": "Not in your country"}}), "Not in your country"),
        ((404, {"error": {"code": "model_not_found", "message": "none such"}}), "--model"),
        ((404, b"<html><title>Not Found</title>"), "--base-url"),
        ((307, b"", {"Location": "http://elsewhere.example/"}), "elsewhere.example"),
    ],
)
async def test_errors_that_affect_every_request_stop_the_run_at_once(
    reply: Any, message: str
) -> None:
    async with scripted(reply) as script, gateway_to(script.base_url, max_in_flight=1) as gateway:
        results = await endings(gateway, 20)
        assert len(script.seen) == 1
        assert isinstance(await ending(gateway), RunStopped)
        assert len(script.seen) == 1
    assert len(of_kind(results, RunStopped)) == 20
    assert gateway.stopped is not None
    assert message in gateway.stopped
    assert "\n" not in gateway.stopped


async def test_requests_in_flight_complete_after_the_run_has_stopped() -> None:
    release = asyncio.Event()

    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return web.json_response(completion_body())

    async with (
        scripted(slow, slow, slow, (401, {}), OK) as script,
        gateway_to(script.base_url, max_in_flight=4) as gateway,
    ):
        callers = [asyncio.create_task(ending(gateway, article(n))) for n in range(10)]
        while not gateway.stopped:
            await asyncio.sleep(0.001)
        assert gateway.totals.in_flight == 3
        release.set()
        results = await asyncio.gather(*callers)
        assert len(script.seen) == 4
    assert len(of_kind(results, Answer)) == 3
    assert len(of_kind(results, RunStopped)) == 7
    assert gateway.totals.usage == Usage(300, 0, 30)


async def test_answers_are_kept_when_the_account_runs_out_of_credit() -> None:
    async with (
        running_endpoint(Faults(quota_after=25)) as url,
        gateway_to(url, max_in_flight=4) as gateway,
    ):
        results = await endings(gateway, 100)
        stats = await stats_of(url)
    assert len(of_kind(results, Answer)) == 25
    assert len(of_kind(results, RunStopped)) == 75
    assert stats["calls"] <= 25 + 4
    assert stats["distinct"] == 25


async def test_stop_ends_all_waits_and_sends_no_more_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for status in (429, 503):
        reply: Any = (status, {}, {"Retry-After": "600"})
        async with scripted(reply) as script, gateway_to(script.base_url) as gateway:
            callers = [asyncio.create_task(ending(gateway, article(n))) for n in range(3)]
            while gateway.totals.errors.total() < 1:
                await asyncio.sleep(0.001)
            gateway.stop("the user said so")
            gateway.stop("a second reason does not replace the first")
            results = await asyncio.wait_for(asyncio.gather(*callers), 30)
            assert len(script.seen) <= 3
        assert [str(result) for result in results] == ["the user said so"] * 3


# ---- Transient faults.


@pytest.mark.parametrize(
    "faults",
    [Faults(http_500=0.5), Faults(reset=0.5), Faults(truncated=0.5), Faults(garbage=0.5)],
    ids=lambda faults: ",".join(faults.options()),
)
@pytest.mark.parametrize("make", EVERY)
async def test_a_transient_fault_is_retried(make: Make, faults: Faults) -> None:
    async with (
        running_endpoint(faults) as url,
        gateway_to(url, make=make, retry=PATIENT) as gateway,
    ):
        results = await endings(gateway, 20)
        stats = await stats_of(url)
    answers = of_kind(results, Answer)
    assert len(answers) == 20
    assert sum(answer.attempts for answer in answers) == stats["calls"] > 20
    assert stats["answered_twice"] == 0


async def test_a_stalled_request_is_cancelled_and_retried() -> None:
    async with (
        running_endpoint(Faults(stall=0.3, seed=1)) as url,
        gateway_to(url, timeout_s=0.15, retry=PATIENT) as gateway,
    ):
        results = await endings(gateway, 10)
    assert len(of_kind(results, Answer)) == 10
    assert gateway.totals.errors["timeout"] > 0


@pytest.mark.parametrize("attempts", [1, 3])
async def test_an_article_fails_after_its_last_attempt_and_others_continue(
    attempts: int,
) -> None:
    policy = RetryPolicy(max_attempts=attempts, base_s=0.001, cap_s=0.01)
    async with (
        scripted(OK, *[(500, {})] * attempts, OK) as script,
        gateway_to(script.base_url, retry=policy) as gateway,
    ):
        assert isinstance(await ending(gateway), Answer)
        failed = await ending(gateway)
        assert isinstance(failed, RequestFailed)
        assert (failed.attempts, failed.error.error_class) == (attempts, "server_error")
        assert (failed.usage, failed.cost_usd) == (Usage(), 0.0)
        assert isinstance(await ending(gateway), Answer)


async def test_an_endpoint_that_never_answered_stops_the_run() -> None:
    async with running_endpoint(Faults(http_503=1.0)) as url, gateway_to(url) as gateway:
        results = await endings(gateway, 30)
    assert len(of_kind(results, RunStopped)) == 30
    assert "the endpoint does not answer: HTTP 503" in str(results[0])
    assert gateway.totals.attempts <= 30 * FAST.max_attempts


async def test_an_endpoint_that_only_stalls_stops_the_run_before_all_attempts_are_used() -> None:
    """Eight timeouts for each of a thousand articles would take days."""
    policy = RetryPolicy(max_attempts=1000, base_s=0.001, cap_s=0.002, no_answer_timeout_s=0.1)
    async with (
        running_endpoint(Faults(stall=1.0)) as url,
        gateway_to(url, retry=policy, timeout_s=0.03, max_in_flight=2) as gateway,
    ):
        results = await asyncio.wait_for(endings(gateway, 10), 30)
    assert len(of_kind(results, RunStopped)) == 10
    assert "no response within 0.03 s" in str(results[0])


async def test_an_unreachable_endpoint_stops_the_run_and_is_named() -> None:
    async with scripted(OK) as script:
        gone = script.base_url
    async with gateway_to(gone) as gateway:
        result = await ending(gateway)
        assert isinstance(result, RunStopped)
        assert gone.removeprefix("http://").removesuffix("/v1") in str(result)


# ---- The probe.


async def test_a_probe_that_meets_no_server_or_a_bad_key_stops_the_run() -> None:
    async with scripted((401, {"error": {"message": "Incorrect key"}})) as script:
        gone = script.base_url
        async with gateway_to(gone) as gateway:
            await gateway.probe()
            assert "Incorrect key" in str(gateway.stopped)
            assert len(script.seen) == 1
    async with gateway_to(gone) as gateway:
        await gateway.probe()
        assert "cannot connect" in str(gateway.stopped)
        assert isinstance(await ending(gateway), RunStopped)


async def test_a_probe_is_retried_after_a_lost_connection() -> None:
    async def hang_up(request: web.BaseRequest) -> web.StreamResponse:
        return reset(request)

    async with (
        scripted(hang_up, hang_up, (200, {"data": []})) as script,
        gateway_to(script.base_url) as gateway,
    ):
        await gateway.probe()
        assert gateway.stopped is None
