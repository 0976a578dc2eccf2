"""The slots of one flow run: leased some at a time, handed from batch to batch, given back."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from tasks.slot_api import LEASE_S, SlotApi, SlotsUnavailable

LOOK_EVERY_S = 30.0
"""Seconds after which the server is asked again whether there is a limit, or whether it is back."""

PATIENCE_S = 5.0
"""Seconds of calls in vain after which batches go on without a slot."""

TURN_S = 15.0
"""Seconds that a run may hand on a slot of a limit that is full, before others may have it."""

IDLE_S = 2.0
"""Seconds after which slots that no batch of the run needs are given back."""

SLOTS_AT_ONCE = 8
"""Slots of one lease. Each lease is a call that a busy SQLite server may refuse many times, and is
given back when the last batch that has one of its slots has ended."""

_RENEW_AFTER_S = LEASE_S / 3
_RENEW_RETRY_S = 5.0
_POLL_S = (0.5, 5.0)
_RETRY_S = 0.05
_HEED_S = 0.5

_Waiter = asyncio.Future["Lease | None"]


@dataclass(eq=False)
class Lease:
    """Slots that the server has granted together.

    Attributes:
        slots: how many.
        idle: how many of them no batch has.
        idle_since: when a batch last left one.
        ending: whether its turn is over: its slots are not handed on.
    """

    id: UUID
    slots: int
    idle: int
    taken_at: float = field(default_factory=time.monotonic)
    renewed_at: float = field(default_factory=time.monotonic)
    idle_since: float = field(default_factory=time.monotonic)
    ending: bool = False

    def is_not_needed(self, now: float) -> bool:
        """Whether to give it back."""
        return self.idle == self.slots and (self.ending or now - self.idle_since >= IDLE_S)


class BatchSlots:
    """The slots of one flow run; all of it on one event loop.

    One task, the keeper, speaks to the server, one call at a time: many at once only meet each
    other's locks in SQLite. It gives everything back when the loop ends.

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
        self._leases: set[Lease] = set()
        self._waiting: deque[_Waiter] = deque()
        # What is known of the server: whether it keeps a limit and how many slots were free.
        self._rationed = self._away = self._told_full = False
        self._free = 0
        self._failing_since: float | None = None
        self._look_at = self._take_at = self._renew_at = 0.0
        self._poll_s = _POLL_S[0]
        self._wake = asyncio.Event()
        self._looked = asyncio.Event()
        self._keeper = asyncio.create_task(self._keep())

    async def take(self, unless: Callable[[], bool]) -> Lease | None:
        """Wait for a slot; None where there is no limit, no answer, or `unless` says to go on."""
        await self._looked.wait()
        if not self._rationed:
            return None
        for lease in self._leases:
            if lease.idle and not lease.ending:
                lease.idle -= 1
                return lease
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._wake.set()
        try:
            while not waiter.done() and not unless():
                await asyncio.wait({waiter}, timeout=_HEED_S)
            return waiter.result() if waiter.done() else None
        except asyncio.CancelledError:
            # Granted and cancelled in one turn of the loop: another batch may have it.
            if waiter.done():
                self.leave(waiter.result())
            raise
        finally:
            waiter.cancel()

    def leave(self, lease: Lease | None) -> None:
        """Hand a slot on to the run's next batch, or back to the server if its turn is over."""
        if lease is None or lease not in self._leases:
            return
        now = time.monotonic()
        if not self._free and now - lease.taken_at > TURN_S:
            lease.ending = True
            # The run's next batch asks like everybody else's, a moment later.
            self._poll_s = _POLL_S[0]
            self._take_at = now + _jittered(self._poll_s)
        lease.idle += 1
        lease.idle_since = now
        self._hand_on(lease)
        self._wake.set()

    def _hand_on(self, lease: Lease) -> None:
        while lease.idle and not lease.ending and self._someone_waits():
            lease.idle -= 1
            self._waiting.popleft().set_result(lease)

    def _someone_waits(self) -> bool:
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        return bool(self._waiting)

    async def _keep(self) -> None:
        """Do what is due until the loop ends; whatever goes wrong, no batch waits for ever."""
        try:
            while True:
                self._wake.clear()
                await self._do_what_is_due()
                # Not wait_for: Python 3.11's forgets a cancellation that comes with the wake-up.
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await self._wake.wait()
        finally:
            self._end_rationing()
            # What cannot be given back expires on the server.
            await self._give_back([*self._leases])
            with suppress(Exception):
                await self._api.close()

    async def _do_what_is_due(self) -> None:
        now = time.monotonic()
        try:
            if now >= self._look_at:
                await self._look()
            elif not self._wants_slots():
                self._failing_since = None
            elif now >= self._take_at:
                await self._take()
        except SlotsUnavailable as error:
            self._failed(error)
        except Exception as error:
            self._go_without(error)
        await self._renew()
        now = time.monotonic()
        await self._give_back([lease for lease in self._leases if lease.is_not_needed(now)])

    def _wants_slots(self) -> bool:
        return self._rationed and self._someone_waits()

    async def _look(self) -> None:
        found = await self._api.look()
        self._reached()
        self._look_at = time.monotonic() + LOOK_EVERY_S
        if found is None:
            self._end_rationing()
        else:
            limit, taken = found
            self._rationed, self._free = True, max(0, limit - taken)
        self._looked.set()

    async def _take(self) -> None:
        waiting = sum(not waiter.done() for waiter in self._waiting)
        wanted = max(1, min(waiting, self._free, SLOTS_AT_ONCE))
        granted, limited = await self._api.take(wanted)
        self._reached()
        if not limited:
            self._end_rationing()
        elif granted is None:
            self._denied()
        else:
            self._free = max(0, self._free - wanted)
            self._poll_s = _POLL_S[0]
            lease = Lease(granted, wanted, idle=wanted)
            self._leases.add(lease)
            self._hand_on(lease)

    def _denied(self) -> None:
        self._free = 0
        self._take_at = time.monotonic() + _jittered(self._poll_s)
        self._poll_s = min(self._poll_s * 1.5, _POLL_S[1])
        if not self._told_full:
            self._told_full = True
            self._log.info("Concurrency limit %s is full: batches wait for a slot", self._tag)

    def _end_rationing(self) -> None:
        self._rationed = False
        while self._someone_waits():
            self._waiting.popleft().set_result(None)

    def _reached(self) -> None:
        self._failing_since = None
        if self._away:
            self._away = False
            self._log.info("Prefect's API is back: its limit %s is heeded again", self._tag)

    def _failed(self, error: SlotsUnavailable) -> None:
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since >= PATIENCE_S:
            self._go_without(error)

    def _go_without(self, error: Exception) -> None:
        """Let the batches go on, and try again after a while."""
        self._failing_since = None
        self._look_at = time.monotonic() + LOOK_EVERY_S
        self._end_rationing()
        self._looked.set()
        if not self._away:
            self._away = True
            self._log.warning(
                "Prefect's API gives no slots of the limit %s (%s): batches go on without",
                *(self._tag, error),
            )

    async def _renew(self) -> None:
        now = time.monotonic()
        if now < self._renew_at:
            return
        try:
            for lease in [*self._leases]:
                if now - lease.renewed_at < _RENEW_AFTER_S:
                    continue
                if await self._api.renew(lease.id):
                    lease.renewed_at = time.monotonic()
                else:
                    # It was not renewed in time, or the server started anew and forgot it.
                    self._leases.discard(lease)
        except Exception:
            self._renew_at = time.monotonic() + _RENEW_RETRY_S

    async def _give_back(self, leases: Iterable[Lease]) -> None:
        # All before the first call, so that no batch is given one of their slots meanwhile.
        self._leases.difference_update(leases)
        with suppress(Exception):
            for lease in leases:
                await self._api.give_back(lease.id)

    def _pause(self) -> float:
        """Seconds until something is due, if nothing happens before."""
        if self._failing_since is not None:
            return _jittered(_RETRY_S)
        due = [self._look_at]
        if self._wants_slots():
            due.append(self._take_at)
        for lease in self._leases:
            due.append(max(lease.renewed_at + _RENEW_AFTER_S, self._renew_at))
            if lease.idle == lease.slots:
                due.append(lease.idle_since + IDLE_S)
        return max(0.0, min(due) - time.monotonic())


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.5)
