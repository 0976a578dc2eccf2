"""What sites allow: robots.txt of each host (RFC 9309), asked for once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from protego import Protego
from yarl import URL

from tasks.reading.web_client import AGENT, WebClient, decoded
from tasks.reading.web_failures import WebFailure

MAX_ROBOTS_BYTES = 512_000
"""How much of a robots.txt counts: RFC 9309 asks for at least 500 KiB."""
LONGEST_DELAY_S = 30.0
"""Seconds of a Crawl-delay that are kept at most: some sites ask for a day."""
_KEPT_HOSTS = 10_000
_AT_ONCE = 32
_ATTEMPTS = 2
_ITS_ROBOTS = "is not fetched, as its site's robots.txt "


@dataclass(frozen=True)
class Rules:
    """What one host allows.

    Attributes:
        parsed: its robots.txt; None: it has none.
        refusal: why nothing may be fetched for now; empty otherwise.
        delay_s: seconds from one request to the next.
    """

    parsed: Protego | None = None
    refusal: str = ""
    delay_s: float = 0.0

    def check(self, url: URL) -> None:
        """Raise WebFailure if a URL may not be fetched."""
        if self.refusal:
            raise WebFailure(self.refusal)
        if self.parsed is not None and not self.parsed.can_fetch(str(url), AGENT):
            raise WebFailure("is disallowed by the site's robots.txt")


class Robots:
    """The rules of the hosts that were asked for, up to 10,000 of them; of one event loop."""

    def __init__(self, client: WebClient) -> None:
        self._client = client
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._known: dict[URL, asyncio.Task[Rules]] = {}

    async def rules(self, url: URL) -> Rules:
        """Return the rules of a URL's host; many may ask at once, the host is asked once.

        Rules that could not be had forbid all: a site that is down is not to be knocked at.
        """
        origin = url.origin()
        if origin not in self._known:
            if len(self._known) >= _KEPT_HOSTS:
                del self._known[next(iter(self._known))]
            self._known[origin] = asyncio.create_task(self._ask(origin))
        return await asyncio.shield(self._known[origin])

    async def close(self) -> None:
        """End the requests that are on their way."""
        for task in self._known.values():
            task.cancel()
        await asyncio.gather(*self._known.values(), return_exceptions=True)

    async def _ask(self, origin: URL) -> Rules:
        failures = 0
        while True:
            try:
                return _rules(await self._fetch(origin))
            except WebFailure as failure:
                failures += 1
                # RFC 9309: a robots.txt that is not there allows all; one that fails, nothing.
                if 400 <= failure.status < 500 and failure.status not in (408, 429):
                    return Rules()
                if not failure.temporary or failures == _ATTEMPTS:
                    # A host that is not reached is so for any of its pages.
                    site = (
                        "" if failure.unreachable else "is not fetched, as its site's robots.txt "
                    )
                    return Rules(refusal=f"{site}{failure.reason}")
                pause = min(failure.wait_s or 0.5, 5.0)
            await asyncio.sleep(pause)

    async def _fetch(self, origin: URL) -> bytes:
        headers = {"Accept-Encoding": "gzip, deflate", "Accept": "text/plain, */*;q=0.5"}
        body = bytearray()
        async with self._at_once, self._client.get(str(origin / "robots.txt"), headers) as response:
            # What is beyond the limit does not count; the rules before it do.
            async for piece in decoded(response, max_bytes=1 << 30):
                body += piece
                if len(body) >= MAX_ROBOTS_BYTES:
                    break
        return bytes(body[:MAX_ROBOTS_BYTES])


def _rules(body: bytes) -> Rules:
    text = body.decode("utf-8-sig", errors="replace")
    if text.lstrip().startswith("<"):
        # A page that the site answers for everything that it does not have.
        return Rules()
    parsed = Protego.parse(text)
    delay = parsed.crawl_delay(AGENT) or 0.0
    if rate := parsed.request_rate(AGENT):
        delay = max(delay, rate.seconds / rate.requests if rate.requests else 0.0)
    return Rules(parsed, delay_s=min(max(0.0, delay), LONGEST_DELAY_S))
