"""Endpoints that misreport, and several faults at once: the run still ends correctly."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from article_flows.tasks.llm.limits.budget import Budget
from article_flows.tasks.llm.limits.retry_policy import RetryPolicy
from article_flows.tasks.llm.protocol.request import Request, Result
from article_flows.tasks.llm.protocol.results import Answer, RequestFailed, RunStopped
from article_flows.tasks.mock_endpoint.server import reset
from tests.tasks.llm.gateway.gateway_support import (
    FAST,
    OK,
    PRICE,
    TEMPLATE,
    article,
    completion_body,
    ending,
    endings,
    gateway_to,
    of_kind,
    plain,
    scripted,
)


async def test_a_budget_that_runs_out_while_the_circuit_is_open_ends_the_run() -> None:
    """Lost answers exhaust the budget while they open the circuit."""

    async def lose(request: web.BaseRequest) -> web.StreamResponse:
        return reset(request)

    budget = 15 * Budget(1.0, PRICE).worst_case_usd(TEMPLATE, article(10))
    async with (
        scripted(lose) as script,
        gateway_to(script.base_url, budget_usd=budget, retry=FAST) as gateway,
    ):
        results = await asyncio.wait_for(endings(gateway, 30), 30)
    assert len(of_kind(results, RunStopped)) == 30


async def test_an_answer_without_usage_is_charged_its_worst_case() -> None:
    budget = 3.5 * Budget(1.0, PRICE).worst_case_usd(TEMPLATE, article(1))
    async with (
        scripted((200, completion_body(usage=None))) as script,
        gateway_to(script.base_url, budget_usd=budget, max_in_flight=1) as gateway,
    ):
        results = await asyncio.wait_for(endings(gateway, 9), 30)
        assert len(script.seen) == 3
    assert len(of_kind(results, Answer)) == 3
    assert gateway.budget_spent


@pytest.mark.parametrize(
    "headers",
    [
        {"limit-requests": "6000", "remaining-requests": "5990", "reset-requests": "1763827200"},
        {"limit-requests": "6000", "remaining-requests": "5990", "reset-requests": "1.7e12"},
        {"limit-requests": "60000", "remaining-requests": "9000", "reset-requests": "80000"},
        {"limit-requests": "1e-300"},
        {"limit-tokens": "10", "remaining-tokens": "0", "reset-tokens": "0s"},
        {"limit-requests": "nan", "remaining-requests": "-5", "reset-requests": "never"},
    ],
)
async def test_nonsensical_headers_neither_stop_the_run_nor_fail_an_article(
    headers: dict[str, str],
) -> None:
    sent = {f"x-ratelimit-{name}": value for name, value in headers.items()}
    odd: Any = (200, completion_body(), sent)
    async with (
        scripted(OK, odd, OK) as script,
        gateway_to(script.base_url, max_in_flight=4) as gateway,
    ):
        results = await asyncio.wait_for(endings(gateway, 20), 30)
    assert len(of_kind(results, Answer)) == 20


async def test_a_nonsensical_usage_does_not_use_up_a_configured_quota() -> None:
    garbled = completion_body(usage={"prompt_tokens": 999_999_999, "completion_tokens": 1})
    async with (
        scripted((200, garbled), OK) as script,
        gateway_to(script.base_url, tpm=1_000_000) as gateway,
    ):
        results = await asyncio.wait_for(endings(gateway, 20), 30)
    assert len(of_kind(results, Answer)) == 20


async def test_a_quota_exhausted_for_longer_than_the_timeout_stops_the_run() -> None:
    used_up: Any = (
        200,
        completion_body(),
        {
            "x-ratelimit-limit-requests": "10",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "20h",
        },
    )
    async with (
        scripted(used_up) as script,
        gateway_to(script.base_url, max_in_flight=1) as gateway,
    ):
        results = await asyncio.wait_for(endings(gateway, 20), 30)
    assert of_kind(results, Answer)
    assert len(of_kind(results, Answer)) + len(of_kind(results, RunStopped)) == 20
    assert "quota leaves no room" in str(gateway.stopped)


async def test_the_stall_timeout_is_lifted_when_the_server_becomes_slow() -> None:
    """All requests take much longer than before, but less than the timeout."""
    slow = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        if slow.is_set():
            await asyncio.sleep(1.0)
        return web.json_response(completion_body())

    async with (
        scripted(answer) as script,
        gateway_to(script.base_url, max_in_flight=32, timeout_s=60) as gateway,
    ):
        assert len(of_kind(await endings(gateway, 100), Answer)) == 100
        slow.set()
        gateway.transport.stall_timeout_s = 0.2
        results = await asyncio.wait_for(endings(gateway, 60), 60)
        assert gateway.stopped is None
        lifted: float | None = gateway.transport.stall_timeout_s
        assert lifted is None or lifted > 1
    assert len(of_kind(results, Answer)) == 60
    assert gateway.totals.errors["timeout"] <= 30


async def test_a_retry_after_of_an_hour_for_one_article_does_not_stop_the_run() -> None:
    policy = RetryPolicy(base_s=0.001, cap_s=0.01, no_answer_timeout_s=60)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if b"number 7." in await request.read():
            return web.json_response({}, status=503, headers={"Retry-After": "3600"})
        return web.json_response(completion_body())

    async with (
        scripted(answer) as script,
        gateway_to(script.base_url, retry=policy, max_in_flight=1) as gateway,
    ):
        results = await asyncio.wait_for(endings(gateway, 20), 30)
        assert gateway.stopped is None
    assert len(of_kind(results, Answer)) == 19
    assert of_kind(results, RequestFailed)[0].error.error_class == "server_error"


class Kept:
    """A receiver that keeps the results."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def receive(self, request: Request, result: Result) -> None:
        self.results.append(result)


async def test_an_article_whose_worker_is_cancelled_before_it_begins_is_left_to_do() -> None:
    kept = Kept()
    async with scripted(OK) as script, gateway_to(script.base_url, budget_usd=1.0) as gateway:
        gateway.submit([Request(TEMPLATE, article(n), plain, kept, n) for n in range(3)])
        await gateway.close()
        budget = gateway.limits.budget
        assert budget is not None
        assert budget.in_flight == 0
    assert [type(result) for result in kept.results] == [RunStopped] * 3


async def test_a_failing_receiver_does_not_end_its_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        def receive(self, request: Request, result: Result) -> None:
            raise ValueError("a bug")

    async with scripted(OK) as script, gateway_to(script.base_url, max_in_flight=1) as gateway:
        gateway.submit([Request(TEMPLATE, article(1), plain, Broken())])
        assert isinstance(await asyncio.wait_for(ending(gateway), 30), Answer)
    assert "could not deliver the result" in caplog.text
