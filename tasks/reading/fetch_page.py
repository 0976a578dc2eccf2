"""Fetch one page and take the article out of it: robots, turns, attempts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from time import monotonic
from typing import Any, Self

import aiohttp
from yarl import URL

from tasks.reading.fetch_extract import PLAIN_TYPES, Page, Workers
from tasks.reading.robots import Robots, Rules
from tasks.reading.web_client import WebClient, decoded
from tasks.reading.web_failures import WebFailure, pause_s

_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_HEADERS = {
    "Accept": "text/html,application/xhtml+xml,text/plain;q=0.8,*/*;q=0.1",
    "Accept-Encoding": "gzip, deflate",
}
_LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class FetchLimits:
    """How hard the web is worked, and what is taken from it.

    Attributes:
        concurrent: pages on their way, or in memory, at once.
        per_host: of one host.
        window: URLs that are looked at ahead, so that one slow host does not hold up others.
        page_s: seconds for a page; each redirect has as many.
        page_bytes: of a page, unpacked.
        attempts: requests for a page before it is given up.
        base_pause_s: the backoff's start in seconds; it doubles each time, with full jitter.
        workers: processes that take texts out of pages; about 100 MB each.
        robots: ask for robots.txt and obey it.
    """

    concurrent: int = 64
    per_host: int = 4
    window: int = 1_000
    page_s: float = 30.0
    page_bytes: int = 10 << 20
    attempts: int = 3
    base_pause_s: float = 1.0
    workers: int = 2
    robots: bool = True


class Fetcher:
    """Fetches articles in one event loop, within the limits; enter it to open it."""

    def __init__(self, allow_hosts: Collection[str], limits: FetchLimits) -> None:
        self._limits = limits
        self._pages = asyncio.Semaphore(limits.concurrent)
        self._hosts = Hosts(limits.per_host)
        # Not limited by the pool: waiting in it would count against a page's time.
        self._client = WebClient(
            allow_hosts, connections=0, total_s=limits.page_s, read_s=limits.page_s
        )
        self._robots = Robots(self._client)
        self._workers = Workers(limits.workers)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        self._stack.push_async_callback(self._workers.close)
        self._stack.push_async_callback(self._robots.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def article(self, url: URL) -> AsyncIterator[dict[str, Any]]:
        """Give the columns of the article at a URL; while it is held it counts as in memory.

        Raises WebFailure if there is none.
        """
        async with self._hosts.slot(url) as host:
            delay_s = (await self._rules(url)).delay_s
            for attempt in count(1):
                await host.wait_turn(delay_s)
                async with self._pages:
                    try:
                        record = await self._attempt(url)
                    except WebFailure as failure:
                        pause = self._pause(failure, attempt, host)
                    else:
                        yield record
                        return
                await asyncio.sleep(pause)

    def _pause(self, failure: WebFailure, attempt: int, host: Host) -> float:
        """Return seconds to the next attempt; raises the failure if there is to be none."""
        if not failure.temporary or attempt >= self._limits.attempts:
            tries = f" ({attempt} attempts)" if attempt > 1 else ""
            raise WebFailure(failure.reason + tries, status=failure.status) from failure
        pause = pause_s(failure, attempt, self._limits.base_pause_s, _LONGEST_PAUSE_S)
        if failure.wait_s is not None:
            host.hold(pause)
        return pause

    async def _attempt(self, url: URL) -> dict[str, Any]:
        async with self._client.get(str(url), _HEADERS, self._before_hop) as response:
            page = await _page(response, self._limits.page_bytes)
        return await self._workers.article_of(page)

    async def _before_hop(self, url: URL) -> None:
        (await self._rules(url)).check(url)

    async def _rules(self, url: URL) -> Rules:
        return await self._robots.rules(url) if self._limits.robots else Rules()


async def _page(response: aiohttp.ClientResponse, max_bytes: int) -> Page:
    kind = response.content_type.lower() if "Content-Type" in response.headers else ""
    if kind and kind not in _HTML_TYPES and kind not in PLAIN_TYPES:
        raise WebFailure(f"is {kind[:60]}, not a page of text")
    if (response.content_length or 0) > max_bytes:
        raise WebFailure(f"has more than {max_bytes:,} bytes")
    body = bytearray()
    async for piece in decoded(response, max_bytes):
        body += piece
    return Page(str(response.url), kind, response.charset or "", bytes(body))


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
