"""Politeness to each host: few requests at once, and a pause between them where it asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from yarl import URL


class Host:
    """One host's slots, and when its next request may start.

    Attributes:
        slots: for its requests.
        users: that hold a slot or wait for one.
        next_start: of a request at the earliest, on the monotonic clock.
    """

    def __init__(self, per_host: int) -> None:
        self.slots = asyncio.Semaphore(per_host)
        self.users = 0
        self.next_start = 0.0

    async def wait_turn(self, delay_s: float) -> None:
        """Wait until a request may start, and let the next one wait for `delay_s` seconds."""
        now = monotonic()
        start = max(now, self.next_start)
        if delay_s > 0:
            self.next_start = start + delay_s
        if start > now:
            await asyncio.sleep(start - now)

    def hold(self, seconds: float) -> None:
        """Let all requests to the host wait: it has said that it needs a rest."""
        self.next_start = max(self.next_start, monotonic() + seconds)


class Hosts:
    """Slots per host; of one event loop. A host is forgotten when nobody waits for it.

    Args:
        per_host: requests to one host at once.
    """

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._hosts: dict[URL, Host] = {}

    @asynccontextmanager
    async def slot(self, url: URL) -> AsyncIterator[Host]:
        """Hold a slot of a URL's host."""
        origin = url.origin()
        host = self._hosts.setdefault(origin, Host(self._per_host))
        host.users += 1
        try:
            async with host.slots:
                yield host
        finally:
            host.users -= 1
            # One that asked for pauses is remembered until its pause is over.
            if not host.users and monotonic() >= host.next_start:
                self._hosts.pop(origin, None)
