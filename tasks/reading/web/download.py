"""Download a file from the web, with resumption after failures and a size limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

import aiohttp

from article_flows.tasks.common.errors import SourceUnavailable, UserError
from article_flows.tasks.reading.web.addresses import redacted_url
from article_flows.tasks.reading.web.client import (
    WebClient,
    WebFailure,
    decoded_body,
    retry_delay_s,
)

MAX_BYTES = 64 << 30
"""Default size limit of a download, in bytes."""
ATTEMPTS = 5
"""Maximum number of consecutive failures; resuming with enough progress resets the count."""
BASE_DELAY_S = 0.5
MAX_DELAY_S = 30.0
"""Range of the backoff in seconds; five attempts wait about ten seconds on average."""
_PROGRESS_BYTES = 1 << 20


def download(
    url: str, into: BinaryIO, *, allow_hosts: Collection[str] = (), max_bytes: int = MAX_BYTES
) -> None:
    """Download a file; blocks, and works in any thread.

    An interrupted download is resumed if the server supports it, else restarted.

    Args:
        url: An http or https URL.
        into: File to write to from its current position; must support seek and truncate.
        allow_hosts: Private hosts that may be fetched from (see `addresses.py`); should include a
            host that the user has named as the source.
        max_bytes: Size limit of the decompressed body.

    Raises:
        UserError: The file cannot be fetched (SourceUnavailable if a later attempt may succeed).
            The message contains no query, user or password of the URL.
        OSError: `into` cannot be written.
    """
    _run_blocking(_Download(url, into, max_bytes).run(allow_hosts))


def _run_blocking(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a new event loop, in another thread if this one is running a loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
    else:
        with ThreadPoolExecutor(1, "download") as thread:
            thread.submit(asyncio.run, work).result()


class _Download:
    """The state of one download: the bytes written so far, and the validator to resume it."""

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
                        delay_s = retry_delay_s(
                            failure, failures, ATTEMPTS, BASE_DELAY_S, MAX_DELAY_S
                        )
                    except WebFailure as last:
                        kind = SourceUnavailable if last.temporary else UserError
                        raise kind(f"{redacted_url(self._url)} {last.reason}") from failure
                    await asyncio.sleep(delay_s)

    async def _attempt(self, client: WebClient) -> None:
        # Encoded bodies cannot be resumed, and large files are usually compressed anyway.
        headers = {"Accept-Encoding": "identity"}
        if self._written and self._validator:
            headers |= {"Range": f"bytes={self._written}-", "If-Range": self._validator}
        try:
            async with client.get(self._url, headers) as response:
                await self._save(response)
        except WebFailure as failure:
            if failure.status == 416 and "Range" in headers:
                self._restart()
                raise WebFailure("changed during the download", temporary=True) from failure
            raise

    async def _save(self, response: aiohttp.ClientResponse) -> None:
        if response.status != 206 or not self._continues(response):
            self._restart()
        if response.status == 206 and not self._written:
            raise WebFailure("sent a part of the file that was not requested", temporary=True)
        self._validator = _validator(response)
        declared = response.content_length
        if declared is not None and self._written + declared > self._max_bytes:
            raise WebFailure(f"has more than {self._max_bytes:,} bytes")
        async for piece in _pieces(response, self._max_bytes - self._written):
            self._into.write(piece)
            self._written += len(piece)

    def _continues(self, response: aiohttp.ClientResponse) -> bool:
        expected = f"bytes {self._written}-"
        return response.headers.get("Content-Range", "").strip().startswith(expected)

    def _restart(self) -> None:
        self._into.seek(self._start)
        self._into.truncate()
        self._written = 0


def _validator(response: aiohttp.ClientResponse) -> str:
    """Return the If-Range validator (RFC 9110 §13.1.5); empty if the file cannot be resumed."""
    coding = response.headers.get("Content-Encoding", "identity").lower()
    if coding != "identity" or response.headers.get("Accept-Ranges", "").lower() == "none":
        return ""
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified", "")


def _pieces(response: aiohttp.ClientResponse, max_bytes: int) -> AsyncIterator[bytes]:
    """Return the decoded body, except that a ``.gz`` file sent with gzip coding is unchanged."""
    is_gzip = response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip")
    is_gzip_file = is_gzip and response.url.path.lower().endswith((".gz", ".tgz"))
    return decoded_body(response, max_bytes, as_sent=is_gzip_file)
