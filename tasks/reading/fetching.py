"""Fetch many articles from the web: politely, within bounds, every URL accounted for."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Collection, Coroutine, Generator, Iterable
from hashlib import blake2b
from typing import Any, Self

from yarl import URL

from tasks.errors import UserError
from tasks.reading.addresses import web_url, without_user
from tasks.reading.fetch_page import Fetcher, FetchLimits
from tasks.reading.readers_base import EXCERPT_CHARS, Reject, Row
from tasks.reading.web_client import WebFailure

Entry = tuple[int, str] | tuple[int, str, str] | Reject
"""A row's number, its URL and its date if that is known; or a row that is none, passed on."""


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
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fetching", daemon=True)
        self._fetcher = Fetcher(tuple(allow_hosts), limits)
        self._results: queue.SimpleQueue[Row | Reject] = queue.SimpleQueue()
        self._seen: dict[bytes, int] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        self._in_loop(self._fetcher.__aenter__())
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
        self._loop.call_soon_threadsafe(self._fetcher.room.release)
        return result

    def _in_loop(self, work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _end(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._fetcher.__aexit__()
        await self._loop.shutdown_asyncgens()

    async def _account(self, entry: Entry) -> None:
        """Turn an entry into one result, whatever happens."""
        result = entry if isinstance(entry, Reject) else await self._fetched(*entry)
        if isinstance(result, Reject):
            await self._fetcher.room.acquire()
        self._results.put(result)

    async def _fetched(self, number: int, text: str, date: str = "") -> Row | Reject:
        try:
            record = await self._fetcher.article(self._new_url(number, text))
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
