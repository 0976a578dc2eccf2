"""The articles in pages, taken out by processes, so that the event loop never waits for one."""

from __future__ import annotations

import asyncio
import contextlib
import io
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

from article_flows.tasks.common.package_data import IMPORT_ROOT
from article_flows.tasks.reading.base.text_encoding import read_all_text
from article_flows.tasks.reading.web.charset import page_encoding
from article_flows.tasks.reading.web.client import WebFailure
from article_flows.tasks.reading.web.html_article import article_in, parsed_html

PAGE_S = 30.0
"""Seconds for the text of one page; ordinary ones take 5 to 50 milliseconds."""
MAX_TREE = 200_000
"""Elements of a page that is looked at; articles have hundreds, lists of everything thousands."""
MOST_UNREADABLE = 0.05
"""The share of a page's characters that may be unreadable."""
PLAIN_TYPES = frozenset({"text/plain", "text/markdown", "text/x-markdown"})
"""What is an article's text as it is."""
_UNREADABLE = dict.fromkeys([*(code for code in range(32) if code not in b"\t\n\f\r"), 0xFFFD])
_MEMORY_BYTES = 4 << 30
_WORKER = "from article_flows.tasks.reading.web.extract import serve; serve()"


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it came: where it was in the end, its type and charset as declared, its bytes."""

    url: str
    content_type: str
    charset: str
    body: bytes


def article_of(page: Page) -> dict[str, Any] | str:
    """Return the columns of a page's article that are known, or the reason why there is none."""
    declared = page_encoding(page.body, page.charset)
    text, _ = read_all_text(io.BytesIO(page.body), page.url, declared)
    if not text.strip():
        return "is an empty page"
    if len(text) - len(text.translate(_UNREADABLE)) > MOST_UNREADABLE * len(text):
        return "is no text, or in an encoding that cannot be told"
    if page.content_type in PLAIN_TYPES:
        return {"text": text}
    tree = parsed_html(text)
    if sum(1 for _ in tree.iter()) > MAX_TREE:
        return f"is a page of more than {MAX_TREE:,} elements"
    record = article_in(tree, page.url)
    if "text" not in record:
        return "has no main text"
    # Pages of one list may have either: one column for all of them.
    labels = [record.pop(name, None) for name in ("categories", "tags")]
    category = ", ".join(labels[0] or labels[1] or ())
    canonical = record.pop("url", page.url)
    told = {"category": category, "canonical_url": canonical if canonical != page.url else ""}
    return {**record, **{name: value for name, value in told.items() if value}}


class Workers:
    """A few processes, each started when there is work for it; of one event loop.

    Processes, not threads: trafilatura holds the interpreter's lock for most of its time, and a
    page that it never ends with can only be ended with a process.
    """

    def __init__(self, count: int, page_s: float = PAGE_S) -> None:
        self._page_s = page_s
        self._free: asyncio.LifoQueue[Popen[bytes] | None] = asyncio.LifoQueue()
        for _ in range(count):
            self._free.put_nowait(None)
        self._started: list[Popen[bytes]] = []
        # Not the loop's threads: a name that is long looked up must not cost a page its time.
        self._threads = ThreadPoolExecutor(count, "extraction")

    async def article_of(self, page: Page) -> dict[str, Any]:
        """Return the columns of a page's article; raises WebFailure if there is none."""
        worker = await self._free.get()
        try:
            worker = worker or self._start()
            asked = asyncio.get_running_loop().run_in_executor(self._threads, _ask, worker, page)
            answer = await asyncio.wait_for(asked, self._page_s)
        except BaseException as error:
            # It is in the midst of something: the next page gets a new one.
            if worker is not None:
                worker.kill()
            worker = None
            if isinstance(error, TimeoutError):
                words = f"has a main text that is not found in {self._page_s:g} s"
                raise WebFailure(words) from None
            if isinstance(error, (EOFError, OSError, pickle.UnpicklingError)):
                raise WebFailure("is a page that trafilatura crashes on") from None
            raise
        finally:
            self._free.put_nowait(worker)
        if isinstance(answer, str):
            raise WebFailure(answer)
        return answer

    def _start(self) -> Popen[bytes]:
        # Not multiprocessing: its spawn runs the user's main module once more.
        command = (sys.executable, "-c", _WORKER)
        worker = Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd=IMPORT_ROOT)
        self._started.append(worker)
        return worker

    def close(self) -> None:
        """End all processes."""
        for worker in self._started:
            worker.kill()
            worker.communicate()
        self._threads.shutdown(wait=False)


def _ask(worker: Popen[bytes], page: Page) -> dict[str, Any] | str:
    assert worker.stdin is not None
    assert worker.stdout is not None
    pickle.dump(page, worker.stdin)
    worker.stdin.flush()
    answer: dict[str, Any] | str = pickle.load(worker.stdout)
    return answer


def serve() -> None:
    """Answer the pages on standard input, both pickled, until there are no more.

    What a worker process runs.
    """
    import logging
    import signal

    pages, answers, sys.stdout = sys.stdin.buffer, sys.stdout.buffer, sys.stderr
    # The terminal's Ctrl-C goes to all; the process above ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    _limit_memory()
    with contextlib.suppress(EOFError):
        while True:
            pickle.dump(_answer(pickle.load(pages)), answers)
            answers.flush()


def _limit_memory() -> None:
    """Let a page that needs absurd memory end this process, not the machine."""
    try:
        import resource
    except ImportError:  # Windows has no such limits.
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _answer(page: Page) -> dict[str, Any] | str:
    try:
        return article_of(page)
    except (Exception, MemoryError, RecursionError) as error:
        # A page must not end the process that others wait for, whatever is in it.
        return f"is a page that trafilatura fails on ({type(error).__name__})"
