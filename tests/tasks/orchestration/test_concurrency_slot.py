"""Slots of a concurrency limit, over HTTP to a small server that implements Prefect's routes."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from prefect.settings import PREFECT_API_URL, temporary_settings

from article_flows.tasks.orchestration import concurrency_slot
from article_flows.tasks.orchestration.concurrency_slot import SlotPool

LOG = logging.getLogger("test-slots")


@dataclass
class Limits:
    """A server's concurrency limit: its slots, their leases, and the server's faults."""

    limit: int | None = None
    leases: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    busy: int = 0
    broken: bool = False
    max_taken: int = 0

    @property
    def taken(self) -> int:
        return sum(self.leases.values())

    @web.middleware
    async def inject_faults(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if "concurrency_limits" not in request.path:
            return web.Response(status=422, text="CSRF protection is disabled.")
        self.calls.append(request.path.rsplit("/", 1)[-1])
        if self.broken or (self.busy and request.method == "POST"):
            self.busy = max(0, self.busy - 1)
            return web.Response(status=500 if self.broken else 503)
        response: web.StreamResponse = await handler(request)
        return response

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body["names"] == ["tag:llm"]
        if self.limit is None:
            return web.json_response({"lease_id": str(uuid4()), "limits": []})
        if self.taken + body["slots"] > self.limit:
            return web.Response(status=423, headers={"Retry-After": "30"})
        lease = str(uuid4())
        self.leases[lease] = body["slots"]
        self.max_taken = max(self.max_taken, self.taken)
        limit = {"id": str(uuid4()), "name": "tag:llm", "limit": self.limit}
        return web.json_response({"lease_id": lease, "limits": [limit]})

    async def renew(self, request: web.Request) -> web.Response:
        return web.Response(status=204 if request.match_info["lease"] in self.leases else 410)

    async def release(self, request: web.Request) -> web.Response:
        if self.limit == 0:
            # Prefect 3.9 divides by the limit.
            return web.Response(status=500)
        self.leases.pop((await request.json())["lease_id"], None)
        return web.Response(status=204)


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten all timeouts."""
    monkeypatch.setattr(concurrency_slot, "GIVE_UP_AFTER_S", 0.2)
    monkeypatch.setattr(concurrency_slot, "CHECK_AGAIN_AFTER_S", 0.5)
    monkeypatch.setattr(concurrency_slot, "_POLL_INTERVAL_S", 0.02)


@pytest.fixture
async def server() -> AsyncIterator[Limits]:
    limits = Limits()
    app = web.Application(middlewares=[limits.inject_faults])
    app.router.add_post("/api/v2/concurrency_limits/increment-with-lease", limits.take)
    app.router.add_post("/api/v2/concurrency_limits/decrement-with-lease", limits.release)
    app.router.add_post("/api/v2/concurrency_limits/leases/{lease}/renew", limits.renew)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
        yield limits
    await runner.cleanup()


def never() -> bool:
    return False


def new_pool() -> SlotPool:
    return SlotPool("llm", uuid4(), LOG)


async def batch(pool: SlotPool, seconds: float = 0.01) -> bool:
    async with pool.hold(never) as has_slot:
        await asyncio.sleep(seconds)
    return has_slot


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_without_a_limit_many_batches_need_one_call(server: Limits) -> None:
    pool = new_pool()
    with_slot = await asyncio.gather(*(batch(pool) for _ in range(50)))
    assert not any(with_slot)
    assert server.calls.count("increment-with-lease") == len(server.calls) <= 2


async def test_a_limit_is_respected_and_every_slot_is_released(server: Limits) -> None:
    server.limit = 3
    pool = new_pool()
    with_slot = await asyncio.gather(*(batch(pool) for _ in range(60)))
    assert all(with_slot)
    assert server.max_taken <= 3
    assert not server.taken


async def test_a_full_limit_blocks_and_is_logged_once(
    server: Limits, caplog: pytest.LogCaptureFixture
) -> None:
    server.limit, server.leases = 1, {"another run's": 1}
    pool = new_pool()
    with caplog.at_level(logging.INFO):
        waiting = [asyncio.create_task(batch(pool)) for _ in range(3)]
        await until(lambda: server.calls.count("increment-with-lease") > 3)
        assert not any(task.done() for task in waiting)
        server.leases.clear()
        assert all(await asyncio.gather(*waiting))
    assert [record for record in caplog.messages if "is full" in record] == [
        "Concurrency limit llm is full: batches wait for a slot"
    ]


async def test_a_limit_of_zero_pauses_the_batches_until_it_is_raised(server: Limits) -> None:
    server.limit = 0
    pool = new_pool()
    waiting = [asyncio.create_task(batch(pool)) for _ in range(3)]
    await until(lambda: server.calls.count("increment-with-lease") > 3)
    assert not any(task.done() for task in waiting)
    server.limit = 1
    assert all(await asyncio.gather(*waiting))


async def test_slots_released_while_the_limit_is_zero_are_free_afterwards(
    server: Limits,
) -> None:
    server.limit = 1
    pool = new_pool()
    async with pool.hold(never):
        server.limit = 0
        waiting = asyncio.create_task(batch(pool))
    assert server.taken
    server.limit = 1
    assert await waiting


async def test_a_stopped_run_does_not_wait_for_a_slot(server: Limits) -> None:
    server.limit = 0
    pool = new_pool()
    stopped: list[str] = []

    async def hold() -> bool:
        async with pool.hold(lambda: bool(stopped)) as has_slot:
            return has_slot

    waiting = [asyncio.create_task(hold()) for _ in range(3)]
    await until(lambda: "increment-with-lease" in server.calls)
    assert not any(task.done() for task in waiting)
    stopped.append("the budget is spent")
    assert not any(await asyncio.gather(*waiting))


async def test_a_busy_server_is_called_again_at_once(server: Limits) -> None:
    server.limit, server.busy = 3, 2
    assert await batch(new_pool())
    server.busy = 0
    assert not server.taken


async def test_a_failing_api_is_logged_once_and_used_again_later(
    server: Limits, caplog: pytest.LogCaptureFixture
) -> None:
    server.limit, server.broken = 3, True
    pool = new_pool()
    assert not any(await asyncio.gather(*(batch(pool) for _ in range(20))))
    server.broken = False
    async with asyncio.timeout(10):
        while not await batch(pool):
            pass
    assert len([each for each in caplog.records if each.levelname == "WARNING"]) == 1


async def test_batches_run_without_a_server() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert not await batch(new_pool())


async def test_batches_survive_a_server_that_fails_meanwhile(server: Limits) -> None:
    server.limit = 3
    async with new_pool().hold(never) as has_slot:
        assert has_slot
        server.broken = True


async def test_a_cancelled_batch_keeps_no_slot(server: Limits) -> None:
    server.limit, server.leases = 1, {"another run's": 1}
    pool = new_pool()
    waiting = asyncio.create_task(batch(pool))
    await until(lambda: "increment-with-lease" in server.calls)
    waiting.cancel()
    await asyncio.wait({waiting})
    server.leases.clear()
    assert await batch(pool)
    started = asyncio.Event()

    async def endless() -> None:
        async with pool.hold(never):
            started.set()
            await asyncio.sleep(60)

    holder = asyncio.create_task(endless())
    await started.wait()
    holder.cancel()
    await asyncio.wait({holder})
    assert not server.taken


async def test_a_lease_is_renewed_and_an_expired_one_is_ignored(
    server: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency_slot, "_RENEW_INTERVAL_S", 0.05)
    server.limit = 1
    pool = new_pool()
    async with pool.hold(never):
        await until(lambda: server.calls.count("renew") >= 2)
        server.leases.clear()
        renewals = server.calls.count("renew")
        await until(lambda: server.calls.count("renew") > renewals)
    assert await batch(pool)


async def test_a_run_does_not_starve_another_run_of_slots(server: Limits) -> None:
    server.limit = 1
    one, other = new_pool(), new_pool()
    ended = False

    async def one_after_the_other() -> bool:
        while not ended:
            assert await batch(one, 0.03)
        return True

    endless = [asyncio.create_task(one_after_the_other()) for _ in range(3)]
    async with asyncio.timeout(60):
        assert await batch(other)
    ended = True
    assert all(await asyncio.gather(*endless))
    assert server.max_taken == 1
