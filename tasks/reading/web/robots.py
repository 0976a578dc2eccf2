"""The robots.txt rules of a site (RFC 9309), and the pace of requests to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import count
from time import monotonic

from protego import Protego
from yarl import URL

from article_flows.tasks.reading.web.client import (
    AGENT,
    WebClient,
    WebFailure,
    decoded_body,
    retry_delay_s,
)

MAX_ROBOTS_BYTES = 512_000
"""Bytes of a robots.txt that are parsed; RFC 9309 §2.5 requires at least 500 KiB."""
MAX_CRAWL_DELAY_S = 30.0
"""Upper limit for a Crawl-delay, in seconds: some sites request a day."""
_ATTEMPTS = 2
_BASE_DELAY_S, _MAX_DELAY_S = 0.5, 5.0


@dataclass(frozen=True)
class RobotsRules:
    """The rules of one site.

    Attributes:
        parsed: The site's robots.txt; None if it has none.
        blocked_reason: Why nothing may be fetched at all; empty otherwise.
        delay_s: Seconds from the start of one request to the next.
    """

    parsed: Protego | None = None
    blocked_reason: str = ""
    delay_s: float = 0.0

    def check(self, url: URL) -> None:
        """Raise WebFailure if a URL may not be fetched."""
        if self.blocked_reason:
            raise WebFailure(self.blocked_reason)
        if self.parsed is not None and not self.parsed.can_fetch(str(url), AGENT):
            raise WebFailure("is disallowed by the site's robots.txt")


class Site:
    """The rules and the pace of one site, for one event loop.

    Args:
        origin: Scheme, host and port of the site's URLs.
        slots: Maximum number of concurrent requests.
        client: Fetches robots.txt, once; None to allow everything.
        robots_slots: Limits concurrent robots.txt requests to all sites.

    Attributes:
        slots: Semaphore to hold while a page is fetched.
    """

    def __init__(
        self, origin: URL, slots: int, client: WebClient | None, robots_slots: asyncio.Semaphore
    ) -> None:
        self.slots = asyncio.Semaphore(slots)
        self._next_start = 0.0
        self._rules = asyncio.create_task(_fetch_rules(origin, client, robots_slots))

    async def rules(self) -> RobotsRules:
        """Return the site's rules, after its robots.txt has been fetched."""
        # Shielded, because the task is shared with other requests.
        return await asyncio.shield(self._rules)

    async def wait_turn(self) -> None:
        """Wait until the next request may start, and reserve the site's delay after it."""
        delay_s = (await self.rules()).delay_s
        now = monotonic()
        start = max(now, self._next_start)
        self._next_start = start + delay_s
        await asyncio.sleep(start - now)

    def hold(self, seconds: float) -> None:
        """Delay all further requests to the site, because its server has requested it."""
        self._next_start = max(self._next_start, monotonic() + seconds)


async def _fetch_rules(
    origin: URL, client: WebClient | None, slots: asyncio.Semaphore
) -> RobotsRules:
    """Fetch a site's robots.txt; if that fails, everything is disallowed (RFC 9309 §2.3.1.4)."""
    if client is None:
        return RobotsRules()
    for attempt in count(1):
        try:
            async with slots:
                return _parse_rules(await _fetch(client, origin / "robots.txt"))
        except WebFailure as failure:
            if 400 <= failure.status < 500 and failure.status not in (408, 429):
                break
            try:
                delay_s = retry_delay_s(failure, attempt, _ATTEMPTS, _BASE_DELAY_S, _MAX_DELAY_S)
            except WebFailure as last:
                # If the host is unreachable, robots.txt is not to blame.
                context = "" if last.unreachable else "is not fetched, as its site's robots.txt "
                return RobotsRules(blocked_reason=f"{context}{last.reason}")
        await asyncio.sleep(delay_s)
    return RobotsRules()


async def _fetch(client: WebClient, url: URL) -> bytes:
    headers = {"Accept-Encoding": "gzip, deflate", "Accept": "text/plain, */*;q=0.5"}
    body = bytearray()
    async with client.get(str(url), headers) as response:
        # A file that exceeds the limit is truncated, not an error.
        async for piece in decoded_body(response, max_bytes=1 << 30):
            body += piece
            if len(body) >= MAX_ROBOTS_BYTES:
                break
    return bytes(body[:MAX_ROBOTS_BYTES])


def _parse_rules(body: bytes) -> RobotsRules:
    text = body.decode("utf-8-sig", errors="replace")
    if text.lstrip().startswith("<"):
        # An HTML page, which some sites return for every path that does not exist.
        return RobotsRules()
    parsed = Protego.parse(text)
    delay = parsed.crawl_delay(AGENT) or 0.0
    if rate := parsed.request_rate(AGENT):
        delay = max(delay, rate.seconds / rate.requests if rate.requests else 0.0)
    return RobotsRules(parsed, delay_s=min(max(0.0, delay), MAX_CRAWL_DELAY_S))
