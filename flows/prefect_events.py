"""Prefect's events from a terminal run: kept while the API is away, and not waited for for ever."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from types import TracebackType

from prefect.events.clients import PrefectEventsClient
from prefect.events.schemas.events import Event

QUIET_S = 5.0
"""Seconds between two attempts to connect while the API is away."""

LAST_S = 8.0
"""Seconds that the end of the process waits for the API to take what it has not taken yet."""

MOST_KEPT = 10_000
"""Events that wait for the API to be back; each is a few KB."""


class PatientEventsClient(PrefectEventsClient):
    """Sends task runs' events to a Prefect server, and blocks nothing when it is away.

    Prefect's own client tries for 8 s to send an event, then the next one: a hundred batches that
    ended while the API was away would hold up the end of the process for a quarter of an hour.

    The server is the one that PREFECT_API_URL names.
    """

    def __init__(self) -> None:
        super().__init__(reconnection_attempts=1)
        self._quiet_until = 0.0

    async def __aenter__(self) -> PatientEventsClient:
        try:
            await super().__aenter__()
        except Exception:
            self._be_quiet()
        return self

    async def _emit(self, event: Event) -> None:
        if time.monotonic() < self._quiet_until:
            self._unconfirmed_events.append(event)
            del self._unconfirmed_events[:-MOST_KEPT]
            return
        try:
            # Where it fails, the event is among those that are sent again on reconnection.
            await super()._emit(event)
        except Exception:
            self._be_quiet()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                while self._unconfirmed_events and not await self._all_taken():
                    await asyncio.sleep(1)
        with suppress(Exception):
            await super().__aexit__(kind, error, traceback)

    async def _all_taken(self) -> bool:
        self._quiet_until = 0.0
        try:
            if self._websocket is None:
                await self._reconnect()
            await self._force_checkpoint()
        except Exception:
            self._websocket = None
            return False
        return True

    def _be_quiet(self) -> None:
        self._websocket = None
        self._quiet_until = time.monotonic() + QUIET_S
