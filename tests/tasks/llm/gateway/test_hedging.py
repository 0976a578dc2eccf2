"""The tail of a run: stalled requests are cancelled, and the last slow ones are hedged."""

import asyncio

from aiohttp import web

from article_flows.tasks.llm.protocol.chat import Usage
from article_flows.tasks.llm.protocol.results import Answer
from tests.tasks.llm.gateway.gateway_support import (
    EVERY,
    PRICE,
    article,
    completion_body,
    ending,
    endings,
    gateway_to,
    of_kind,
    scripted,
)


class Slow:
    """A server that never answers the first request of some articles, and others at once."""

    def __init__(self, *slow: str) -> None:
        self.slow = set(slow)
        self.hung_up = 0
        self.release = asyncio.Event()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        body = (await request.read()).decode()
        for word in [word for word in self.slow if word in body]:
            self.slow.discard(word)
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.hung_up += 1
                raise
        await asyncio.sleep(0.002)
        return web.json_response(completion_body())


async def test_the_last_slow_request_is_hedged_once_and_the_first_answer_wins() -> None:
    server = Slow("number 7.")
    async with scripted(server) as script, gateway_to(script.base_url, hedge=True) as gateway:
        asked = asyncio.create_task(endings(gateway, 200))
        while gateway.totals.answered < 199:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert gateway.totals.hedges == 0  # More articles may still be submitted.
        gateway.finish_submitting()
        results = await asyncio.wait_for(asked, 30)
        while not server.hung_up:
            await asyncio.sleep(0.01)
        assert len(script.seen) == 201
        assert gateway.totals.in_flight == 0
    assert len(of_kind(results, Answer)) == 200
    totals = gateway.totals
    assert (totals.hedges, totals.attempts, totals.calls) == (1, 201, 200)
    hedged = of_kind(results, Answer)[7]
    # The cancelled copy may be billed as well.
    assert (hedged.attempts, hedged.usage) == (2, Usage(200, 0, 20))
    assert abs(totals.cost_usd - PRICE.cost(Usage(20_100, 0, 2_010))) < 1e-9


async def test_at_most_one_request_in_a_hundred_is_hedged() -> None:
    server = Slow(*(f"number {n}." for n in range(150, 160)))
    async with (
        scripted(server) as script,
        gateway_to(script.base_url, hedge=True, max_in_flight=32) as gateway,
    ):
        gateway.finish_submitting()
        asked = asyncio.create_task(endings(gateway, 300))
        while gateway.totals.hedges < 3 or gateway.totals.answered < 293:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        server.release.set()
        results = await asyncio.wait_for(asked, 30)
    assert len(of_kind(results, Answer)) == 300
    assert gateway.totals.hedges == 3


async def test_without_hedging_nothing_is_sent_twice() -> None:
    server = Slow("number 7.")
    async with scripted(server) as script, gateway_to(script.base_url) as gateway:
        asked = asyncio.create_task(endings(gateway, 150))
        while gateway.totals.answered < 149:
            await asyncio.sleep(0.01)
        gateway.finish_submitting()
        await asyncio.sleep(0.1)
        server.release.set()
        await asyncio.wait_for(asked, 30)
        assert len(script.seen) == 150


async def test_a_failed_hedge_does_not_fail_the_original_request() -> None:
    server = Slow("number 7.")

    async def failing_again(request: web.BaseRequest) -> web.StreamResponse:
        if "number 7." in (await request.read()).decode() and not server.slow:
            server.release.set()
            return web.json_response({"error": {"message": "Down"}}, status=500)
        return await server(request)

    async with (
        scripted(failing_again) as script,
        gateway_to(script.base_url, hedge=True) as gateway,
    ):
        asked = asyncio.create_task(endings(gateway, 150))
        while gateway.totals.answered < 149:
            await asyncio.sleep(0.01)
        gateway.finish_submitting()
        results = await asyncio.wait_for(asked, 30)
    assert len(of_kind(results, Answer)) == 150
    assert gateway.totals.errors == {"server_error": 1}


async def test_a_stalled_request_is_cancelled_once_the_median_latency_is_known() -> None:
    server = Slow("number 500.")
    async with (
        scripted(server) as script,
        gateway_to(script.base_url, max_in_flight=16, timeout_s=3_600) as gateway,
    ):
        assert len(of_kind(await endings(gateway, 200), Answer)) == 200
        assert gateway.transport.stall_timeout_s is not None
        assert 5 <= gateway.transport.stall_timeout_s < 60
        gateway.transport.stall_timeout_s = 0.2
        answer = await asyncio.wait_for(ending(gateway, article(500)), 30)
        assert isinstance(answer, Answer)
        assert answer.attempts == 2
    assert gateway.totals.errors == {"timeout": 1}


async def test_a_slow_article_stalls_at_most_twice() -> None:
    """The third request of an article has no stall timeout, so that it can be answered."""

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        await asyncio.sleep(0.8)
        return web.json_response(completion_body())

    for make in EVERY:
        async with (
            scripted(slow) as script,
            gateway_to(script.base_url, make=make, timeout_s=30) as gateway,
        ):
            gateway.transport.stall_timeout_s = 0.2
            answer = await asyncio.wait_for(ending(gateway), 30)
            assert isinstance(answer, Answer)
            assert answer.attempts == 3


async def test_a_request_is_hedged_at_most_once_even_if_the_hedge_fails() -> None:
    server = Slow("number 7.")
    copies = 0

    async def failing(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal copies
        if "number 7." in (await request.read()).decode() and not server.slow:
            copies += 1
            return web.json_response({"error": {"message": "Down"}}, status=500)
        return await server(request)

    async with (
        scripted(failing) as script,
        gateway_to(script.base_url, hedge=True) as gateway,
    ):
        asked = asyncio.create_task(endings(gateway, 400))
        while gateway.totals.answered < 399:
            await asyncio.sleep(0.01)
        gateway.finish_submitting()
        while not copies:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert (copies, gateway.totals.hedges) == (1, 1)
        server.release.set()
        assert len(of_kind(await asyncio.wait_for(asked, 30), Answer)) == 400
