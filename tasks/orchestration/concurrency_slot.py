"""A batch's slot of the limit on a tag, and no wait for a Prefect API that is away.

Prefect's task engine, and `prefect.concurrency`, wait for a slot as long as it takes, also while
the API is away, and for 2 s each time that SQLite is busy for a moment. Here a busy server is
asked again at once, and without an answer within seconds the batches go on without.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

PATIENCE_S = 5.0
"""Seconds of calls in vain after which batches go on without a slot."""

WITHOUT_S = 30.0
"""Seconds that batches go on without a slot before the API is asked again: where it gave none, and
where there is no limit."""

_CALL_S = 3.0
_LEASE_S = 60.0
"""Seconds after which the server takes back a slot whose lease is not renewed: its minimum, and
what Prefect's task engine asks for."""

_POLL_S = 0.5
_RETRY_S = 0.05
_RENEW_AFTER_S = _LEASE_S / 3
_RENEW_RETRY_S = 5.0
_GONE, _BUSY = (404, 410), 503
_SLEPT_ON = (408, 429, 502, _BUSY)
"""Where Prefect's client sleeps for seconds; SQLite is "busy" (503) for milliseconds."""

_NONE_FREE = (422, 423)
"""Taken by others; more than the limit has, which is always so when it is 0."""

_slots_on: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Slots]] = WeakKeyDictionary()


@asynccontextmanager
async def batch_slot(tag: str, unless: Callable[[], bool] = lambda: False) -> AsyncIterator[None]:
    """Hold a slot of the tag's limit, if there is one, for as long as the block lasts.

    Waits for a slot while all are taken. Does not raise, whatever becomes of Prefect's API.

    Args:
        tag: the limit's, as `prefect concurrency-limit create` takes it.
        unless: asked while it waits; when true, the block begins without a slot.
    """
    # An event loop is a flow run's own.
    slots = _slots_on.setdefault(asyncio.get_running_loop(), {})
    if tag not in slots:
        flow_run = FlowRunContext.get()
        holder = flow_run.flow_run.id if flow_run and flow_run.flow_run else None
        slots[tag] = Slots(tag, holder, get_run_logger(flow_run))
    async with slots[tag].one(unless):
        yield


class _Unavailable(Exception):
    """The API is away, too slow, or refuses; with the status of the server's answer, if any."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Slots:
    """The slots that the batches of a flow run take, all on one event loop.

    They take them one after the other: many calls at once only meet each other's locks in SQLite.

    Args:
        tag: the limit's.
        holder: who has the slots: the flow run.
        log: the flow run's.
    """

    def __init__(
        self,
        tag: str,
        holder: UUID | None,
        log: logging.Logger | logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._tag = tag
        self._holder = ConcurrencyLeaseHolder(type="flow_run", id=holder) if holder else None
        self._log = log
        self._client: PrefectClient | None = None
        self._open = AsyncExitStack()
        self._batches = 0
        self._owed: list[UUID] = []
        self._turn = asyncio.Lock()
        self._without_until = 0.0
        self._told_full = self._away = False

    @asynccontextmanager
    async def one(self, unless: Callable[[], bool]) -> AsyncIterator[bool]:
        """Hold a slot; false where there is no limit, no answer, or `unless` says to go on."""
        self._batches += 1
        try:
            async with self._turn:
                lease = await self._take(unless)
            if lease is None:
                yield False
                return
            renewing = asyncio.create_task(self._renew(lease))
            try:
                yield True
            finally:
                renewing.cancel()
                await self._give_back(lease)
        finally:
            self._batches -= 1
            if not self._batches:
                self._client = None
                with suppress(Exception):
                    await self._open.aclose()

    async def _take(self, unless: Callable[[], bool]) -> UUID | None:
        failing_since: float | None = None
        while time.monotonic() >= self._without_until and not unless():
            try:
                # The name that Prefect's task engine asks for.
                response = await self._call(
                    "increment_concurrency_slots_with_lease",
                    names=[f"tag:{self._tag}"],
                    slots=1,
                    mode="concurrency",
                    lease_duration=_LEASE_S,
                    holder=self._holder,
                )
            except _Unavailable as error:
                if error.status in _NONE_FREE:
                    failing_since = None
                    self._reached()
                    self._tell_full()
                    await self._give_back_owed()
                    await _sleep(_POLL_S)
                    continue
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since >= PATIENCE_S:
                    self._go_without(error)
                    return None
                await _sleep(_RETRY_S)
            else:
                self._reached()
                granted = response.json()
                if granted["limits"]:
                    return UUID(granted["lease_id"])
                self._without_until = time.monotonic() + WITHOUT_S
        return None

    async def _renew(self, lease: UUID) -> None:
        """Keep a lease until cancelled; one that the server has forgotten is not taken anew."""
        pause = _RENEW_AFTER_S
        while True:
            await asyncio.sleep(pause)
            try:
                await self._call("renew_concurrency_lease", lease_id=lease, lease_duration=_LEASE_S)
                pause = _RENEW_AFTER_S
            except _Unavailable as error:
                if error.status in _GONE:
                    return
                pause = _RENEW_RETRY_S

    async def _give_back(self, lease: UUID) -> None:
        """Give a slot back; one that cannot be is owed, and its lease expires in the end."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await self._release(lease)
            except _Unavailable as error:
                if error.status != _BUSY or time.monotonic() >= deadline:
                    return self._owed.append(lease)
            await _sleep(_RETRY_S)

    async def _give_back_owed(self) -> None:
        """Try again: Prefect 3.9 divides by the limit, and takes no slot back while that is 0."""
        with suppress(_Unavailable):
            while self._owed:
                await self._release(self._owed[0])
                del self._owed[0]

    async def _release(self, lease: UUID) -> None:
        await self._call("release_concurrency_slots_with_lease", lease_id=lease)

    async def _call(self, method: str, **arguments: Any) -> Any:
        """Call a method of Prefect's client once; raises _Unavailable, whatever may go wrong."""
        try:
            async with asyncio.timeout(_CALL_S):
                if self._client is None:
                    settings = {"event_hooks": {"response": [_refuse_to_sleep]}}
                    client = get_client(httpx_settings=settings)
                    self._client = await self._open.enter_async_context(client)
                return await getattr(self._client, method)(**arguments)
        except httpx.HTTPStatusError as error:
            raise _Unavailable(str(error), error.response.status_code) from error
        except TimeoutError as error:
            raise _Unavailable(f"no answer in {_CALL_S:g} s") from error
        except (httpx.HTTPError, OSError, RuntimeError) as error:
            raise _Unavailable(str(error) or type(error).__name__) from error

    def _tell_full(self) -> None:
        if not self._told_full:
            self._told_full = True
            self._log.info("Concurrency limit %s is full: batches wait for a slot", self._tag)

    def _reached(self) -> None:
        if self._away:
            self._away = False
            self._log.info("Prefect's API is back: its limit %s is heeded again", self._tag)

    def _go_without(self, error: _Unavailable) -> None:
        """Let the batches go on, and ask again after a while."""
        self._without_until = time.monotonic() + WITHOUT_S
        if not self._away:
            self._away = True
            self._log.warning(
                "Prefect's API gives no slots of the limit %s (%s): batches go on without",
                *(self._tag, error),
            )


async def _sleep(seconds: float) -> None:
    """Sleep about so long, so that those who wait do not meet again."""
    await asyncio.sleep(seconds * random.uniform(0.5, 1.5))


async def _refuse_to_sleep(response: httpx.Response) -> None:
    """Raise what Prefect's client would sleep on and send again, seconds later."""
    if response.status_code in _SLEPT_ON:
        said = f"{response.status_code} {response.reason_phrase}"
        raise _Unavailable(said, response.status_code)
