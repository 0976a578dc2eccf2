"""Extract the articles of fetched pages in worker processes, so the event loop never blocks."""

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
from article_flows.tasks.reading.web.html_article import extract_from_tree, parse_html

EXTRACTION_TIMEOUT_S = 30.0
"""Seconds for extracting the article of one page; typical pages take 5 to 50 milliseconds."""
MAX_ELEMENTS = 200_000
"""HTML elements of the largest page that is processed; articles have hundreds."""
MAX_UNREADABLE_SHARE = 0.05
"""Share of control and replacement characters from which a page is not text."""
PLAIN_TYPES = frozenset({"text/plain", "text/markdown", "text/x-markdown"})
"""Content types whose body is the text of the article."""
_UNREADABLE = dict.fromkeys([*(code for code in range(32) if code not in b"\t\n\f\r"), 0xFFFD])
_MAX_MEMORY_BYTES = 4 << 30
_WORKER = "from article_flows.tasks.reading.web.extract import serve; serve()"


@dataclass(frozen=True, slots=True)
class Page:
    """A fetched page.

    Attributes:
        url: Its URL after redirects.
        content_type: As declared by the server; empty if it was not.
        charset: As declared by the server; empty if it was not.
        body: Its content.
    """

    url: str
    content_type: str
    charset: str
    body: bytes


def extract_article(page: Page) -> dict[str, Any] | str:
    """Return the known columns of a page's article, or the reason why there is none.

    The reason is the rest of a sentence that begins with the URL.
    """
    declared = page_encoding(page.body, page.charset)
    text, _ = read_all_text(io.BytesIO(page.body), page.url, declared)
    if not text.strip():
        return "is an empty page"
    if len(text) - len(text.translate(_UNREADABLE)) > MAX_UNREADABLE_SHARE * len(text):
        return "is not text, or in an unknown encoding"
    if page.content_type in PLAIN_TYPES:
        return {"text": text}
    tree = parse_html(text)
    if sum(1 for _ in tree.iter()) > MAX_ELEMENTS:
        return f"is a page of more than {MAX_ELEMENTS:,} elements"
    record = extract_from_tree(tree, page.url)
    if "text" not in record:
        return "has no main text"
    # Some pages have categories, others tags: use one column for both.
    labels = [record.pop(name, None) for name in ("categories", "tags")]
    category = ", ".join(labels[0] or labels[1] or ())
    canonical = record.pop("url", page.url)
    extra = {"category": category, "canonical_url": canonical if canonical != page.url else ""}
    return {**record, **{name: value for name, value in extra.items() if value}}


class ExtractionPool:
    """A pool of worker processes for one event loop; each is started when it is needed.

    Processes, not threads, because trafilatura rarely releases the GIL, and because only a process
    can be stopped when a page takes too long.

    Args:
        count: Number of processes.
        timeout_s: Time for one page, in seconds.
    """

    def __init__(self, count: int, timeout_s: float = EXTRACTION_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._idle: asyncio.LifoQueue[Popen[bytes] | None] = asyncio.LifoQueue()
        for _ in range(count):
            self._idle.put_nowait(None)
        self._started: list[Popen[bytes]] = []
        # Not the loop's default executor: slow DNS lookups there would delay pages.
        self._threads = ThreadPoolExecutor(count, "extraction")

    async def extract(self, page: Page) -> dict[str, Any]:
        """Return the columns of a page's article; raise WebFailure if there is none."""
        worker = await self._idle.get()
        try:
            worker = worker or self._start()
            loop = asyncio.get_running_loop()
            response = loop.run_in_executor(self._threads, _request, worker, page)
            result = await asyncio.wait_for(response, self._timeout_s)
        except BaseException as error:
            # The worker is still busy with this page, so replace it.
            if worker is not None:
                worker.kill()
            worker = None
            if isinstance(error, TimeoutError):
                reason = f"has a main text that is not found in {self._timeout_s:g} s"
                raise WebFailure(reason) from None
            if isinstance(error, (EOFError, OSError, pickle.UnpicklingError)):
                raise WebFailure("is a page that trafilatura crashes on") from None
            raise
        finally:
            self._idle.put_nowait(worker)
        if isinstance(result, str):
            raise WebFailure(result)
        return result

    def _start(self) -> Popen[bytes]:
        # Not multiprocessing: its spawn method imports the user's main module again.
        command = (sys.executable, "-c", _WORKER)
        worker = Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd=IMPORT_ROOT)
        self._started.append(worker)
        return worker

    def close(self) -> None:
        """Kill all processes."""
        for worker in self._started:
            worker.kill()
            worker.communicate()
        self._threads.shutdown(wait=False)


def _request(worker: Popen[bytes], page: Page) -> dict[str, Any] | str:
    assert worker.stdin is not None
    assert worker.stdout is not None
    pickle.dump(page, worker.stdin)
    worker.stdin.flush()
    result: dict[str, Any] | str = pickle.load(worker.stdout)
    return result


def serve() -> None:
    """Run a worker process: read pickled pages from standard input, write pickled results."""
    import logging
    import signal

    pages, results, sys.stdout = sys.stdin.buffer, sys.stdout.buffer, sys.stderr
    # The terminal sends Ctrl-C to all processes; the parent process stops this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    _limit_memory()
    with contextlib.suppress(EOFError):
        while True:
            pickle.dump(_extract_safely(pickle.load(pages)), results)
            results.flush()


def _limit_memory() -> None:
    """Limit this process's memory, so that no page exhausts that of the machine."""
    try:
        import resource
    except ImportError:  # Not available on Windows.
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _MAX_MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MAX_MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _extract_safely(page: Page) -> dict[str, Any] | str:
    try:
        return extract_article(page)
    except (Exception, MemoryError, RecursionError) as error:
        # No page may end the process, which serves other pages too.
        return f"is a page that trafilatura fails on ({type(error).__name__})"
