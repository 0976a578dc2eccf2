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
from contextlib import asynccontextmanager, suppress
from uuid import UUID
from weakref import WeakKeyDictionary

from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

from tasks.slot_api import LEASE_S, SlotApi, SlotsUnavailable

PATIENCE_S = 5.0
"""Seconds of calls in vain after which batches go on without a slot."""

WITHOUT_S = 30.0
"""Seconds that batches go on without a slot before the API is asked again: where it gave none, and
where there is no limit."""

_POLL_S = 0.5
_RETRY_S = 0.05
_RENEW_AFTER_S = LEASE_S / 3
_RENEW_RETRY_S = 5.0
_GONE, _BUSY = (404, 410), 503

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
        slots[tag] = Slots(SlotApi(tag, holder), tag, get_run_logger(flow_run))
    async with slots[tag].one(unless):
        yield


class Slots:
    """The slots that the batches of a flow run take, all on one event loop.

    They take them one after the other: many calls at once only meet each other's locks in SQLite.

    Args:
        api: the limit's slots.
        tag: the limit's, for the log.
        log: the flow run's.
    """

    def __init__(
        self, api: SlotApi, tag: str, log: logging.Logger | logging.LoggerAdapter[logging.Logger]
    ) -> None:
        self._api = api
        self._tag = tag
        self._log = log
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
                with suppress(Exception):
                    await self._api.close()

    async def _take(self, unless: Callable[[], bool]) -> UUID | None:
        failing_since: float | None = None
        while time.monotonic() >= self._without_until and not unless():
            try:
                lease, is_limited = await self._api.take()
            except SlotsUnavailable as error:
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since >= PATIENCE_S:
                    self._go_without(error)
                    return None
                pause = _RETRY_S
            else:
                failing_since = None
                self._reached()
                if lease is not None:
                    return lease
                if not is_limited:
                    self._without_until = time.monotonic() + WITHOUT_S
                    return None
                self._tell_full()
                await self._give_back_owed()
                pause = _POLL_S
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
        return None

    async def _renew(self, lease: UUID) -> None:
        """Keep a lease until cancelled; one that the server has forgotten is not taken anew."""
        pause = _RENEW_AFTER_S
        while True:
            await asyncio.sleep(pause)
            try:
                await self._api.renew(lease)
                pause = _RENEW_AFTER_S
            except SlotsUnavailable as error:
                if error.status in _GONE:
                    return
                pause = _RENEW_RETRY_S

    async def _give_back(self, lease: UUID) -> None:
        """Give a slot back; one that cannot be is owed, and its lease expires in the end."""
        deadline = time.monotonic() + PATIENCE_S
        busy = True
        while busy:
            try:
                await self._api.give_back(lease)
            except SlotsUnavailable as error:
                busy = error.status == _BUSY and time.monotonic() < deadline
                if not busy:
                    self._owed.append(lease)
                await asyncio.sleep(_RETRY_S * random.uniform(0.5, 1.5))
            else:
                return

    async def _give_back_owed(self) -> None:
        """Try again: Prefect 3.9 divides by the limit, and takes no slot back while that is 0."""
        with suppress(SlotsUnavailable):
            while self._owed:
                await self._api.give_back(self._owed[0])
                del self._owed[0]

    def _tell_full(self) -> None:
        if not self._told_full:
            self._told_full = True
            self._log.info("Concurrency limit %s is full: batches wait for a slot", self._tag)

    def _reached(self) -> None:
        if self._away:
            self._away = False
            self._log.info("Prefect's API is back: its limit %s is heeded again", self._tag)

    def _go_without(self, error: SlotsUnavailable) -> None:
        """Let the batches go on, and ask again after a while."""
        self._without_until = time.monotonic() + WITHOUT_S
        if not self._away:
            self._away = True
            self._log.warning(
                "Prefect's API gives no slots of the limit %s (%s): batches go on without",
                *(self._tag, error),
            )
