"""Download one file from the web: in any thread, resumed where it breaks, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

import aiohttp

from article_flows.tasks.common.errors import SourceUnavailable, UserError
from article_flows.tasks.reading.web.addresses import shown
from article_flows.tasks.reading.web.client import WebClient, WebFailure, decoded, pause_s

MAX_BYTES = 64 << 30
"""The largest file that is downloaded unless the caller says otherwise."""
ATTEMPTS = 5
"""Requests that may fail one after another; one that got a piece further is not counted."""
BASE_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
"""The backoff's start and end: five attempts give a server about ten seconds on average."""
_PROGRESS_BYTES = 1 << 20


def download(
    url: str, into: BinaryIO, *, allow_hosts: Collection[str] = (), max_bytes: int = MAX_BYTES
) -> None:
    """Download a file to where `into` stands; blocks, in any thread.

    A download that breaks off is resumed where the server can, else begun again.

    Args:
        url: http or https.
        into: can seek and be truncated.
        allow_hosts: private hosts that may be fetched from, see `addresses.py`. A host
            that the user has named as the source belongs in it.
        max_bytes: of the unpacked body.

    Raises:
        UserError: it cannot be fetched (SourceUnavailable: just now); the message has no query,
            user or password of the URL.
        OSError: `into` cannot be written.
    """
    _run_blocking(_Download(url, into, max_bytes).run(allow_hosts))


def _run_blocking(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end in an event loop of its own, though this thread may have one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
    else:
        with ThreadPoolExecutor(1, "download") as thread:
            thread.submit(asyncio.run, work).result()


class _Download:
    """One file on its way: what is there already, and how to go on from it."""

    def __init__(self, url: str, into: BinaryIO, max_bytes: int) -> None:
        self._url = url
        self._into = into
        self._start = into.tell()
        self._max_bytes = max_bytes
        self._written = 0
        self._validator = ""

    async def run(self, allow_hosts: Collection[str]) -> None:
        async with WebClient(allow_hosts) as client:
            failures = 0
            while True:
                before = self._written if self._validator else 0
                try:
                    return await self._attempt(client)
                except WebFailure as failure:
                    resumed = bool(before) and self._written >= before + _PROGRESS_BYTES
                    failures = 1 if resumed else failures + 1
                    try:
                        pause = pause_s(failure, failures, ATTEMPTS, BASE_PAUSE_S, LONGEST_PAUSE_S)
                    except WebFailure as last:
                        kind = SourceUnavailable if last.temporary else UserError
                        raise kind(f"{shown(self._url)} {last.reason}") from failure
                    await asyncio.sleep(pause)

    async def _attempt(self, client: WebClient) -> None:
        # Packed bodies cannot be resumed, and files worth it are packed themselves.
        headers = {"Accept-Encoding": "identity"}
        if self._written and self._validator:
            headers |= {"Range": f"bytes={self._written}-", "If-Range": self._validator}
        try:
            async with client.get(self._url, headers) as response:
                await self._save(response)
        except WebFailure as failure:
            if failure.status == 416 and "Range" in headers:
                self._begin_again()
                raise WebFailure("has changed on the way", temporary=True) from failure
            raise

    async def _save(self, response: aiohttp.ClientResponse) -> None:
        if response.status != 206 or not self._continues(response):
            self._begin_again()
        if response.status == 206 and not self._written:
            raise WebFailure("sends a part of the file that was not asked for", temporary=True)
        self._validator = _validator(response)
        declared = response.content_length
        if declared is not None and self._written + declared > self._max_bytes:
            raise WebFailure(f"has more than {self._max_bytes:,} bytes")
        async for piece in _pieces(response, self._max_bytes - self._written):
            self._into.write(piece)
            self._written += len(piece)

    def _continues(self, response: aiohttp.ClientResponse) -> bool:
        wanted = f"bytes {self._written}-"
        return response.headers.get("Content-Range", "").strip().startswith(wanted)

    def _begin_again(self) -> None:
        self._into.seek(self._start)
        self._into.truncate()
        self._written = 0


def _validator(response: aiohttp.ClientResponse) -> str:
    """Return what tells that a file is still the same; empty where it cannot be resumed."""
    coding = response.headers.get("Content-Encoding", "identity").lower()
    if coding != "identity" or response.headers.get("Accept-Ranges", "").lower() == "none":
        return ""
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified", "")


def _pieces(response: aiohttp.ClientResponse, max_bytes: int) -> AsyncIterator[bytes]:
    """Return the body's pieces, unpacked; ``a.csv.gz`` sent as gzip is kept as the file it is."""
    packed = response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip")
    if packed and response.url.path.lower().endswith((".gz", ".tgz")):
        return decoded(response, max_bytes, as_sent=True)
    return decoded(response, max_bytes)
