"""Fetch many articles from the web: politely, within bounds, every URL accounted for."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b

from yarl import URL

from tasks.errors import UserError
from tasks.reading.addresses import web_url, without_user
from tasks.reading.fetch_page import Fetcher, FetchLimits
from tasks.reading.readers_base import EXCERPT_CHARS, Reject, Row
from tasks.reading.web_failures import WebFailure

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

    `urls` are read in another thread, at most `FetchLimits.window` ahead. About 170 bytes are
    kept for each URL, to tell those that come again.

    Raises:
        UserError: or whatever else `urls` raises, after the articles of the URLs before it.
    """
    run = _Run(urls, allow_hosts, limits or FetchLimits())
    run.start()
    try:
        yield from run.results()
    finally:
        run.stop()


@dataclass(frozen=True)
class _End:
    """The last of a queue: what went before it is all, or all up to an error."""

    error: BaseException | None


class _Run:
    """Two threads: one reads URLs, one has the event loop that fetches; queues between them."""

    def __init__(
        self, urls: Iterable[Entry], allow_hosts: Collection[str], limits: FetchLimits
    ) -> None:
        self._urls = iter(urls)
        self._allow_hosts = tuple(allow_hosts)
        self._limits = limits
        self._loop = asyncio.new_event_loop()
        self._entries: asyncio.Queue[Entry | _End] = asyncio.Queue()
        self._window = threading.Semaphore(limits.window)
        self._results: queue.SimpleQueue[Row | Reject | _End] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(limits.concurrent)
        self._seen: dict[bytes, int] = {}
        self._stopped = False
        self._work = self._loop.create_task(self._fetch_all())
        self._threads = [
            threading.Thread(target=target, name=f"fetching-{target.__name__}", daemon=True)
            for target in (self._read, self._serve)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def results(self) -> Iterator[Row | Reject]:
        while not isinstance(result := self._results.get(), _End):
            self._in_loop(self._room.release)
            yield result
        if result.error is not None:
            raise result.error

    def stop(self) -> None:
        """End what is on its way; the thread that reads may still be in a read, and ends after."""
        self._stopped = True
        self._window.release()
        self._in_loop(self._work.cancel)
        self._threads[1].join()

    def _in_loop(self, call: object, *arguments: object) -> None:
        # A loop that is closed has nothing left to be told.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)  # type: ignore[arg-type]

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            for entry in self._urls:
                self._window.acquire()
                if self._stopped:
                    break
                self._in_loop(self._entries.put_nowait, entry)
        except Exception as raised:  # It is raised again in the thread that takes the results.
            error = raised
        finally:
            if close := getattr(self._urls, "close", None):
                close()
        self._in_loop(self._entries.put_nowait, _End(error))

    def _serve(self) -> None:
        error: BaseException | None = None
        try:
            self._loop.run_until_complete(self._work)
        except (Exception, asyncio.CancelledError) as raised:
            error = raised
        finally:
            # Whoever waits for results must not wait for the loop's end.
            self._results.put(_End(error))
            _close(self._loop)

    async def _fetch_all(self) -> None:
        async with (
            Fetcher(self._allow_hosts, self._limits) as fetcher,
            asyncio.TaskGroup() as group,
        ):
            while not isinstance(entry := await self._entries.get(), _End):
                task = group.create_task(self._account(fetcher, entry))
                task.add_done_callback(lambda _: self._window.release())
        if entry.error is not None:
            raise entry.error

    async def _account(self, fetcher: Fetcher, entry: Entry) -> None:
        """Turn an entry into one result, whatever happens."""
        if isinstance(entry, Reject):
            await self._put(entry)
            return
        number, text = entry[:2]
        date = entry[2] if len(entry) == 3 else ""
        try:
            url = self._new_url(number, text)
            async with fetcher.article(url) as record:
                size = len(record["text"])
                # What is behind # is a place in the page, and is not sent to the server.
                address = without_user(text.strip().partition("#")[0])
                if date:
                    record.setdefault("date", date)
                await self._put(Row(number, {"url": address, **record}, size))
        except WebFailure as failure:
            await self._put(Reject(number, failure.reason, without_user(text[:EXCERPT_CHARS])))
        except Exception as error:
            # One odd page must not end a run of a day; the reason says what to report.
            reason = f"fails in an unforeseen way: {type(error).__name__}: {error}"
            await self._put(Reject(number, reason[:200], without_user(text[:EXCERPT_CHARS])))

    async def _put(self, result: Row | Reject) -> None:
        await self._room.acquire()
        self._results.put(result)

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


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """End what is left in a loop, without waiting for threads that look up names."""

    async def end() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await loop.shutdown_asyncgens()

    loop.run_until_complete(end())
    loop.close()
