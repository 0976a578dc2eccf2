"""Fetch many articles from the web, politely and with bounded memory; used by URL lists."""

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
from article_flows.tasks.reading.web.addresses import web_url, without_credentials
from article_flows.tasks.reading.web.client import (
    WebClient,
    WebFailure,
    decoded_body,
    retry_delay_s,
)
from article_flows.tasks.reading.web.extract import PLAIN_TYPES, ExtractionPool, Page
from article_flows.tasks.reading.web.robots import Site

UrlEntry = tuple[int, str] | tuple[int, str, str] | Reject
"""A row's number, its URL, and its date if known; or a row that is already rejected."""

_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_HEADERS = {
    "Accept": "text/html,application/xhtml+xml,text/plain;q=0.8,*/*;q=0.1",
    "Accept-Encoding": "gzip, deflate",
}
_MAX_DELAY_S = 30.0
_CACHED_SITES = 10_000
_ROBOTS_SLOTS = 32


@dataclass(frozen=True)
class FetchLimits:
    """Limits of concurrency, sizes and times.

    Attributes:
        concurrent: Pages in flight or in memory.
        per_host: Pages in flight per host.
        window: URLs that are read ahead, so that a slow host does not block the others.
        page_s: Timeout for a page, in seconds; applies to each redirect separately.
        page_bytes: Size of a page after decompression, in bytes.
        attempts: Maximum number of requests for a page.
        base_pause_s: Initial backoff in seconds; doubles with each attempt, with full jitter.
        workers: Processes that extract articles from pages; about 100 MB each.
        robots: Fetch robots.txt files and obey them.
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
    urls: Iterable[UrlEntry],
    *,
    allow_hosts: Collection[str] = (),
    limits: FetchLimits | None = None,
) -> Generator[Row | Reject, None, None]:
    """Fetch pages and extract their articles, each URL exactly once, in order of completion.

    Closing the generator cancels all requests. Memory grows by about 170 bytes per URL, to
    recognize duplicates.

    Args:
        urls: The entries to fetch, read at most `FetchLimits.window` ahead.
        allow_hosts: Private hosts that may be fetched from.
        limits: Limits of concurrency, sizes and times.

    Yields:
        One result per entry. A row has ``url`` (as given, without its fragment), ``text`` and,
        if known, ``title``, ``author``, ``date`` (of the page, else of the entry), ``language``,
        ``category``, ``sitename``, ``description`` and ``canonical_url``. Failures and duplicate
        URLs are rejects.

    Raises:
        UserError: Or any other error of `urls`, after the results of the entries before it.
    """
    limits = limits or FetchLimits()
    entries, error, pending = iter(urls), None, 0
    with _FetchRun(allow_hosts, limits) as run:
        exhausted = False
        while pending or not exhausted:
            # Start one entry per result, and more as long as no result is available.
            while pending < limits.window and not exhausted:
                try:
                    run.start(next(entries))
                    pending += 1
                except StopIteration:
                    exhausted = True
                except Exception as raised:  # Raised below, after the pending results.
                    exhausted, error = True, raised
                if run.has_result:
                    break
            if pending:
                yield run.next_result()
                pending -= 1
    if error is not None:
        raise error


class _FetchRun:
    """A run that fetches entries in an event loop, in its own thread."""

    def __init__(self, allow_hosts: Collection[str], limits: FetchLimits) -> None:
        self._limits = limits
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fetching", daemon=True)
        self._results: queue.SimpleQueue[Row | Reject] = queue.SimpleQueue()
        self._first_rows: dict[bytes, int] = {}
        # One slot is held for each page in flight, and until the result is taken.
        self._page_slots = asyncio.Semaphore(limits.concurrent)
        # Unlimited, because waiting for a connection would count against the page's timeout.
        self._client = WebClient(
            tuple(allow_hosts), connections=0, total_s=limits.page_s, read_s=limits.page_s
        )
        self._extraction = ExtractionPool(limits.workers)
        robots_client = self._client if limits.robots else None
        robots_slots = asyncio.Semaphore(_ROBOTS_SLOTS)
        self._site = lru_cache(_CACHED_SITES)(
            lambda origin: Site(origin, limits.per_host, robots_client, robots_slots)
        )

    def __enter__(self) -> Self:
        self._thread.start()
        self._run_in_loop(self._client.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._run_in_loop(self._shutdown())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        # Does not wait for threads that resolve host names.
        self._loop.close()

    def start(self, entry: UrlEntry) -> None:
        """Schedule an entry in the event loop."""
        asyncio.run_coroutine_threadsafe(self._process(entry), self._loop)

    @property
    def has_result(self) -> bool:
        """Whether `next_result` returns immediately."""
        return not self._results.empty()

    def next_result(self) -> Row | Reject:
        """Wait for the next result of any entry."""
        result = self._results.get()
        self._loop.call_soon_threadsafe(self._page_slots.release)
        return result

    def _run_in_loop(self, work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _shutdown(self) -> None:
        unfinished = asyncio.all_tasks() - {asyncio.current_task()}
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        self._extraction.close()
        await self._client.__aexit__()
        await self._loop.shutdown_asyncgens()

    async def _process(self, entry: UrlEntry) -> None:
        result = entry if isinstance(entry, Reject) else await self._row_or_reject(*entry)
        if isinstance(result, Reject):
            await self._page_slots.acquire()
        self._results.put(result)

    async def _row_or_reject(self, number: int, text: str, date: str = "") -> Row | Reject:
        try:
            record = await self._article(self._new_url(number, text))
        except WebFailure as failure:
            reason = failure.reason
        except Exception as error:
            # A single page must not end a long run; the reason says what to report.
            reason = f"fails with an unexpected error: {type(error).__name__}: {error}"[:200]
        else:
            size = len(record["text"])
            if date:
                record.setdefault("date", date)
            # The fragment is a position in the page, and is not sent to the server.
            address = without_credentials(text.strip().partition("#")[0])
            return Row(number, {"url": address, **record}, size)
        return Reject(number, reason, without_credentials(text[:EXCERPT_CHARS]))

    def _new_url(self, number: int, text: str) -> URL:
        """Parse a URL; raise WebFailure if it is invalid or a duplicate."""
        try:
            url = web_url(text).with_fragment(None)
        except UserError as error:
            raise WebFailure(str(error)) from error
        key = blake2b(str(url).encode("utf-8", "surrogatepass"), digest_size=12).digest()
        first = self._first_rows.setdefault(key, number)
        if first != number:
            raise WebFailure(f"is the same URL as in row {first}")
        return url

    async def _article(self, url: URL) -> dict[str, Any]:
        """Return the columns of the article at a URL; raise WebFailure if there is none.

        When it returns, a page slot is still held.
        """
        site = self._site(url.origin())
        async with site.slots:
            for attempt in count(1):
                await site.wait_turn()
                await self._page_slots.acquire()
                try:
                    return await self._attempt(url)
                except BaseException as error:
                    self._page_slots.release()
                    if not isinstance(error, WebFailure):
                        raise
                    limits = self._limits
                    delay_s = retry_delay_s(
                        error, attempt, limits.attempts, limits.base_pause_s, _MAX_DELAY_S
                    )
                    if error.wait_s is not None:
                        site.hold(delay_s)
                await asyncio.sleep(delay_s)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, url: URL) -> dict[str, Any]:
        async with self._client.get(str(url), _HEADERS, self._check_robots) as response:
            page = await _read_page(response, self._limits.page_bytes)
        return await self._extraction.extract(page)

    async def _check_robots(self, url: URL) -> None:
        (await self._site(url.origin()).rules()).check(url)


async def _read_page(response: aiohttp.ClientResponse, max_bytes: int) -> Page:
    content_type = response.content_type.lower() if "Content-Type" in response.headers else ""
    if content_type and content_type not in _HTML_TYPES and content_type not in PLAIN_TYPES:
        raise WebFailure(f"is {content_type[:60]}, not a page of text")
    if (response.content_length or 0) > max_bytes:
        raise WebFailure(f"has more than {max_bytes:,} bytes")
    body = bytearray()
    async for piece in decoded_body(response, max_bytes):
        body += piece
    return Page(str(response.url), content_type, response.charset or "", bytes(body))
