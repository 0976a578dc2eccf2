"""Fetch one page and take the article out of it: robots, turns, attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any, Self

import aiohttp
from yarl import URL

from tasks.reading.fetch_extract import PLAIN_TYPES, Page, Workers
from tasks.reading.robots import Site
from tasks.reading.web_client import WebClient, WebFailure, decoded, pause_s

_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_HEADERS = {
    "Accept": "text/html,application/xhtml+xml,text/plain;q=0.8,*/*;q=0.1",
    "Accept-Encoding": "gzip, deflate",
}
_LONGEST_PAUSE_S = 30.0
_KEPT_SITES = 10_000
_ROBOTS_AT_ONCE = 32


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
    """Fetches articles in one event loop, within the limits; enter it to open it.

    Attributes:
        room: one of it is held for each page that is on its way or in memory.
    """

    def __init__(self, allow_hosts: Collection[str], limits: FetchLimits) -> None:
        self._limits = limits
        self.room = asyncio.Semaphore(limits.concurrent)
        # Not limited by the pool: waiting in it would count against a page's time.
        self._client = WebClient(
            allow_hosts, connections=0, total_s=limits.page_s, read_s=limits.page_s
        )
        self._workers = Workers(limits.workers)
        asks, at_once = self._client if limits.robots else None, asyncio.Semaphore(_ROBOTS_AT_ONCE)
        self._site = lru_cache(_KEPT_SITES)(
            lambda origin: Site(origin, limits.per_host, asks, at_once)
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._workers.close()
        await self._client.__aexit__()

    async def article(self, url: URL) -> dict[str, Any]:
        """Return the columns of the article at a URL; raises WebFailure if there is none.

        An article that is returned holds one of `room`, which the caller is to release.
        """
        site = self._site(url.origin())
        async with site.slots:
            for attempt in count(1):
                await site.wait_turn()
                await self.room.acquire()
                try:
                    return await self._attempt(url)
                except BaseException as error:
                    self.room.release()
                    if not isinstance(error, WebFailure):
                        raise
                    limits = self._limits
                    pause = pause_s(
                        error, attempt, limits.attempts, limits.base_pause_s, _LONGEST_PAUSE_S
                    )
                    if error.wait_s is not None:
                        site.hold(pause)
                await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, url: URL) -> dict[str, Any]:
        async with self._client.get(str(url), _HEADERS, self._before_hop) as response:
            page = await _page(response, self._limits.page_bytes)
        return await self._workers.article_of(page)

    async def _before_hop(self, url: URL) -> None:
        (await self._site(url.origin()).rules()).check(url)


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
