"""Processes that take articles out of pages, so that the event loop never waits for one."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

from tasks.reading.fetch_message import LENGTH, Page
from tasks.reading.web_failures import WebFailure

PAGE_S = 30.0
"""Seconds for the text of one page; ordinary ones take 5 to 50 milliseconds."""
_ROOT = Path(__file__).parents[2]


class Workers:
    """A few processes, each started when there is work for it; of one event loop.

    Processes, not threads: trafilatura holds the interpreter's lock for most of its time, and a
    page that it never ends with can only be ended with a process.
    """

    def __init__(self, count: int, page_s: float = PAGE_S) -> None:
        self._page_s = page_s
        self._free: asyncio.LifoQueue[Process | None] = asyncio.LifoQueue()
        for _ in range(count):
            self._free.put_nowait(None)
        self._started: set[Process] = set()

    async def article_of(self, page: Page) -> dict[str, Any]:
        """Return the columns of a page's article; raises WebFailure if there is none."""
        worker = await self._free.get()
        try:
            if worker is None:
                worker = await self._start()
            try:
                async with asyncio.timeout(self._page_s):
                    answer = await _ask(worker, page)
            except TimeoutError:
                raise WebFailure(
                    f"has a main text that is not found in {self._page_s:g} s"
                ) from None
            except (asyncio.IncompleteReadError, ConnectionError, OSError):
                raise WebFailure("is a page that trafilatura crashes on") from None
        except BaseException:
            # It is in the midst of something: the next page gets a new one.
            self._end(worker)
            worker = None
            raise
        finally:
            self._free.put_nowait(worker)
        if isinstance(answer, str):
            raise WebFailure(answer)
        return answer

    async def close(self) -> None:
        """End all processes, and what the loop has open of them: it is closed next."""
        for worker in self._started:
            self._end(worker)
        ended = (worker.communicate() for worker in self._started)
        await asyncio.gather(*ended, return_exceptions=True)

    async def _start(self) -> Process:
        # Not multiprocessing: its spawn runs the user's main module once more.
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tasks.reading.fetch_extract"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            cwd=_ROOT,
        )
        self._started.add(worker)
        return worker

    def _end(self, worker: Process | None) -> None:
        if worker is not None:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()


async def _ask(worker: Process, page: Page) -> dict[str, Any] | str:
    assert worker.stdin is not None
    assert worker.stdout is not None
    message = pickle.dumps(page)
    worker.stdin.write(LENGTH.pack(len(message)) + message)
    await worker.stdin.drain()
    (size,) = LENGTH.unpack(await worker.stdout.readexactly(LENGTH.size))
    answer: dict[str, Any] | str = pickle.loads(await worker.stdout.readexactly(size))
    return answer
