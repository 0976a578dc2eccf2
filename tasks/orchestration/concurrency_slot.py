"""Hold a slot of a tag's concurrency limit while a block runs, without depending on Prefect's API.

Prefect's task engine and `prefect.concurrency` wait indefinitely for a slot while the API is down,
and for 2 s whenever SQLite is briefly busy. Here, a busy server is called again at once, and if the
API does not respond for some seconds, the block runs without a slot.
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

GIVE_UP_AFTER_S = 5.0
"""Seconds of failed calls after which blocks run without a slot."""

CHECK_AGAIN_AFTER_S = 30.0
"""Seconds that blocks run without a slot, after failed calls or because the tag has no limit,
before the API is called again."""

_CALL_TIMEOUT_S = 3.0
_LEASE_S = 60.0
"""Seconds after which the server releases a slot whose lease is not renewed: the minimum that the
server accepts, and what Prefect's task engine uses."""

_POLL_INTERVAL_S = 0.5
_RETRY_INTERVAL_S = 0.05
_RENEW_INTERVAL_S = _LEASE_S / 3
_RENEW_RETRY_INTERVAL_S = 5.0
_EXPIRED, _BUSY = (404, 410), 503
_CLIENT_RETRIES = (408, 429, 502, _BUSY)
"""Statuses after which Prefect's client sleeps for seconds and retries. SQLite is busy (503) for
milliseconds only."""

_LIMIT_FULL = (422, 423)
"""423: all slots are taken. 422: more slots requested than the limit has, as when it is 0."""

_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SlotPool]] = WeakKeyDictionary()


@asynccontextmanager
async def concurrency_slot(
    tag: str, skip_if: Callable[[], bool] = lambda: False
) -> AsyncIterator[None]:
    """Hold a slot of the tag's limit, if it has one, while the block runs.

    Waits while all slots are taken. Errors of Prefect's API are never raised.

    Args:
        tag: The tag, as passed to `prefect concurrency-limit create`.
        skip_if: Checked while waiting; once it returns True, the block runs without a slot.
    """
    # Each flow run has an event loop of its own.
    pools = _pools.setdefault(asyncio.get_running_loop(), {})
    if tag not in pools:
        flow_run = FlowRunContext.get()
        holder = flow_run.flow_run.id if flow_run and flow_run.flow_run else None
        pools[tag] = SlotPool(tag, holder, get_run_logger(flow_run))
    async with pools[tag].hold(skip_if):
        yield


class _Unavailable(Exception):
    """The API did not respond in time, or with an error, whose status is kept."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SlotPool:
    """The slots that a flow run holds of one limit, on one event loop.

    Slots are acquired one after another, because concurrent calls would only contend for SQLite's
    lock.

    Args:
        tag: The tag of the limit.
        holder: The id of the flow run.
        log: The logger of the flow run.
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
        self._exit_stack = AsyncExitStack()
        self._users = 0
        self._unreleased: list[UUID] = []
        self._acquire_lock = asyncio.Lock()
        self._bypass_until = 0.0
        self._has_logged_full = self._is_down = False

    @asynccontextmanager
    async def hold(self, skip_if: Callable[[], bool]) -> AsyncIterator[bool]:
        """Hold a slot while the block runs, and yield whether there is one.

        There is none if the tag has no limit, the API does not respond, or `skip_if` returns True.
        """
        self._users += 1
        try:
            async with self._acquire_lock:
                lease = await self._acquire(skip_if)
            if lease is None:
                yield False
                return
            renewal = asyncio.create_task(self._renew(lease))
            try:
                yield True
            finally:
                renewal.cancel()
                await self._release(lease)
        finally:
            self._users -= 1
            if not self._users:
                self._client = None
                with suppress(Exception):
                    await self._exit_stack.aclose()

    async def _acquire(self, skip_if: Callable[[], bool]) -> UUID | None:
        failing_since: float | None = None
        while time.monotonic() >= self._bypass_until and not skip_if():
            try:
                response = await self._call(
                    "increment_concurrency_slots_with_lease",
                    names=[f"tag:{self._tag}"],  # the name that Prefect's task engine uses
                    slots=1,
                    mode="concurrency",
                    lease_duration=_LEASE_S,
                    holder=self._holder,
                )
            except _Unavailable as error:
                if error.status in _LIMIT_FULL:
                    failing_since = None
                    self._log_recovery()
                    self._log_full_once()
                    await self._release_unreleased()
                    await _sleep_with_jitter(_POLL_INTERVAL_S)
                    continue
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since >= GIVE_UP_AFTER_S:
                    self._bypass(error)
                    return None
                await _sleep_with_jitter(_RETRY_INTERVAL_S)
            else:
                self._log_recovery()
                acquired = response.json()
                if acquired["limits"]:
                    return UUID(acquired["lease_id"])
                self._bypass_until = time.monotonic() + CHECK_AGAIN_AFTER_S
        return None

    async def _renew(self, lease: UUID) -> None:
        """Renew a lease until cancelled; one that has expired on the server is not replaced."""
        interval = _RENEW_INTERVAL_S
        while True:
            await asyncio.sleep(interval)
            try:
                await self._call("renew_concurrency_lease", lease_id=lease, lease_duration=_LEASE_S)
                interval = _RENEW_INTERVAL_S
            except _Unavailable as error:
                if error.status in _EXPIRED:
                    return
                interval = _RENEW_RETRY_INTERVAL_S

    async def _release(self, lease: UUID) -> None:
        """Release a slot; if that fails, remember it for later, or until its lease expires."""
        deadline = time.monotonic() + GIVE_UP_AFTER_S
        while True:
            try:
                return await self._call_release(lease)
            except _Unavailable as error:
                if error.status != _BUSY or time.monotonic() >= deadline:
                    return self._unreleased.append(lease)
            await _sleep_with_jitter(_RETRY_INTERVAL_S)

    async def _release_unreleased(self) -> None:
        """Retry failed releases: Prefect 3.9 divides by the limit, and fails while it is 0."""
        with suppress(_Unavailable):
            while self._unreleased:
                await self._call_release(self._unreleased[0])
                del self._unreleased[0]

    async def _call_release(self, lease: UUID) -> None:
        await self._call("release_concurrency_slots_with_lease", lease_id=lease)

    async def _call(self, method: str, **arguments: Any) -> Any:
        """Call a method of Prefect's client once; raise _Unavailable for any error."""
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                if self._client is None:
                    settings = {"event_hooks": {"response": [_raise_instead_of_retrying]}}
                    client = get_client(httpx_settings=settings)
                    self._client = await self._exit_stack.enter_async_context(client)
                return await getattr(self._client, method)(**arguments)
        except httpx.HTTPStatusError as error:
            raise _Unavailable(str(error), error.response.status_code) from error
        except TimeoutError as error:
            raise _Unavailable(f"no response within {_CALL_TIMEOUT_S:g} s") from error
        except (httpx.HTTPError, OSError, RuntimeError) as error:
            raise _Unavailable(str(error) or type(error).__name__) from error

    def _log_full_once(self) -> None:
        if not self._has_logged_full:
            self._has_logged_full = True
            self._log.info("Concurrency limit %s is full: batches wait for a slot", self._tag)

    def _log_recovery(self) -> None:
        if self._is_down:
            self._is_down = False
            self._log.info(
                "Prefect's API responds again: concurrency limit %s applies again", self._tag
            )

    def _bypass(self, error: _Unavailable) -> None:
        self._bypass_until = time.monotonic() + CHECK_AGAIN_AFTER_S
        if not self._is_down:
            self._is_down = True
            self._log.warning(
                "Cannot get a slot of concurrency limit %s from Prefect's API (%s): "
                "batches run without one",
                self._tag,
                error,
            )


async def _sleep_with_jitter(seconds: float) -> None:
    await asyncio.sleep(seconds * random.uniform(0.5, 1.5))


async def _raise_instead_of_retrying(response: httpx.Response) -> None:
    """Raise _Unavailable for the statuses after which Prefect's client would sleep and retry."""
    if response.status_code in _CLIENT_RETRIES:
        raise _Unavailable(f"{response.status_code} {response.reason_phrase}", response.status_code)
