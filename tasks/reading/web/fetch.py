"""Fetch many articles from the web: politely, within bounds, every URL accounted for."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Collection, Coroutine, Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import count
from typing import Any, Self

import aiohttp
from yarl import URL

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.rows import EXCERPT_CHARS, Reject, Row
from article_flows.tasks.reading.web.addresses import web_url, without_user
from article_flows.tasks.reading.web.client import WebClient, WebFailure, decoded, pause_s
from article_flows.tasks.reading.web.extract import PLAIN_TYPES, Page, Workers
from article_flows.tasks.reading.web.robots import Site

Entry = tuple[int, str] | tuple[int, str, str] | Reject
"""A row's number, its URL and its date if that is known; or a row that is none, passed on."""

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


def fetch_articles(
    urls: Iterable[Entry],
    *,
    allow_hosts: Collection[str] = (),
    limits: FetchLimits | None = None,
) -> Generator[Row | Reject, None, None]:
    """Fetch pages and take the articles out of them, in any order, each URL exactly once.

    A row has ``url`` (as given, without its fragment), ``text`` and what is known of ``title``,
    ``author``, ``date`` (else that of its entry), ``language``, ``category``, ``sitename``,
    ``description`` and ``canonical_url``. A URL that was there before is a reject, so that the
    numbers add up. Closing the generator ends all requests.

    `urls` are read at most `FetchLimits.window` ahead. About 170 bytes are kept for each URL, to
    tell those that come again.

    Raises:
        UserError: or whatever else `urls` raises, after the articles of the URLs before it.
    """
    limits = limits or FetchLimits()
    entries, error, due = iter(urls), None, 0
    with _Run(allow_hosts, limits) as run:
        is_end = False
        while due or not is_end:
            # One for each result that is taken, and more where there is no result to take yet.
            while due < limits.window and not is_end:
                try:
                    run.begin(next(entries))
                    due += 1
                except StopIteration:
                    is_end = True
                except Exception as raised:  # Raised again once all before it is told.
                    is_end, error = True, raised
                if run.has_result:
                    break
            if due:
                yield run.result()
                due -= 1
    if error is not None:
        raise error


class _Run:
    """Fetches in the event loop of a thread of its own, which ends with it."""

    def __init__(self, allow_hosts: Collection[str], limits: FetchLimits) -> None:
        self._limits = limits
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fetching", daemon=True)
        self._results: queue.SimpleQueue[Row | Reject] = queue.SimpleQueue()
        self._seen: dict[bytes, int] = {}
        # One of it is held for each page that is on its way or in memory.
        self._room = asyncio.Semaphore(limits.concurrent)
        # Not limited by the pool: waiting in it would count against a page's time.
        self._client = WebClient(
            tuple(allow_hosts), connections=0, total_s=limits.page_s, read_s=limits.page_s
        )
        self._workers = Workers(limits.workers)
        asks, at_once = self._client if limits.robots else None, asyncio.Semaphore(_ROBOTS_AT_ONCE)
        self._site = lru_cache(_KEPT_SITES)(
            lambda origin: Site(origin, limits.per_host, asks, at_once)
        )

    def __enter__(self) -> Self:
        self._thread.start()
        self._in_loop(self._client.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._in_loop(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        # It does not wait for threads that look up names.
        self._loop.close()

    def begin(self, entry: Entry) -> None:
        """Have an entry turned into a result, some time."""
        asyncio.run_coroutine_threadsafe(self._account(entry), self._loop)

    @property
    def has_result(self) -> bool:
        """Whether `result` has not to wait."""
        return not self._results.empty()

    def result(self) -> Row | Reject:
        """Wait for what has become of any of the entries."""
        result = self._results.get()
        self._loop.call_soon_threadsafe(self._room.release)
        return result

    def _in_loop(self, work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _end(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self._workers.close()
        await self._client.__aexit__()
        await self._loop.shutdown_asyncgens()

    async def _account(self, entry: Entry) -> None:
        """Turn an entry into one result, whatever happens."""
        result = entry if isinstance(entry, Reject) else await self._fetched(*entry)
        if isinstance(result, Reject):
            await self._room.acquire()
        self._results.put(result)

    async def _fetched(self, number: int, text: str, date: str = "") -> Row | Reject:
        try:
            record = await self._article(self._new_url(number, text))
        except WebFailure as failure:
            reason = failure.reason
        except Exception as error:
            # One odd page must not end a run of a day; the reason says what to report.
            reason = f"fails in an unforeseen way: {type(error).__name__}: {error}"[:200]
        else:
            size = len(record["text"])
            if date:
                record.setdefault("date", date)
            # What is behind # is a place in the page, and is not sent to the server.
            address = without_user(text.strip().partition("#")[0])
            return Row(number, {"url": address, **record}, size)
        return Reject(number, reason, without_user(text[:EXCERPT_CHARS]))

    def _new_url(self, number: int, text: str) -> URL:
        """Parse a URL that has not been there; raises WebFailure for others."""
        try:
            url = web_url(text).with_fragment(None)
        except UserError as error:
            raise WebFailure(str(error)) from error
        key = blake2b(str(url).encode("utf-8", "surrogatepass"), digest_size=12).digest()
        first = self._seen.setdefault(key, number)
        if first != number:
            raise WebFailure(f"is the same URL as in row {first}")
        return url

    async def _article(self, url: URL) -> dict[str, Any]:
        """Return the columns of the article at a URL; raises WebFailure if there is none.

        An article that is returned holds one of the room.
        """
        site = self._site(url.origin())
        async with site.slots:
            for attempt in count(1):
                await site.wait_turn()
                await self._room.acquire()
                try:
                    return await self._attempt(url)
                except BaseException as error:
                    self._room.release()
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
