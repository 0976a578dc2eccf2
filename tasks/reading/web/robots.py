"""What a site allows, by its robots.txt (RFC 9309), and when its next request may start."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import count
from time import monotonic

from protego import Protego
from yarl import URL

from article_flows.tasks.reading.web.client import AGENT, WebClient, WebFailure, decoded, pause_s

MAX_ROBOTS_BYTES = 512_000
"""How much of a robots.txt counts: RFC 9309 asks for at least 500 KiB."""
LONGEST_DELAY_S = 30.0
"""Seconds of a Crawl-delay that are kept at most: some sites ask for a day."""
_ATTEMPTS = 2
_BASE_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 5.0


@dataclass(frozen=True)
class RobotsRules:
    """What one site allows.

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


class Site:
    """One site's rules, its slots, and when its next request may start; of one event loop.

    Args:
        origin: scheme, host and port of its URLs.
        slots: requests to it at once.
        client: asks for its robots.txt, once; None: everything is allowed.
        robots_at_once: held while robots.txt is asked for.
    """

    def __init__(
        self, origin: URL, slots: int, client: WebClient | None, robots_at_once: asyncio.Semaphore
    ) -> None:
        self.slots = asyncio.Semaphore(slots)
        self._next_start = 0.0
        self._rules = asyncio.create_task(_rules_of(origin, client, robots_at_once))

    async def rules(self) -> RobotsRules:
        """Return what the site allows; many may ask at once."""
        return await asyncio.shield(self._rules)

    async def wait_turn(self) -> None:
        """Wait until a request may start, and have the next one wait as the site asks for."""
        delay_s = (await self.rules()).delay_s
        now = monotonic()
        start = max(now, self._next_start)
        self._next_start = start + delay_s
        await asyncio.sleep(start - now)

    def hold(self, seconds: float) -> None:
        """Have all requests to the site wait: it has said that it needs a rest."""
        self._next_start = max(self._next_start, monotonic() + seconds)


async def _rules_of(
    origin: URL, client: WebClient | None, at_once: asyncio.Semaphore
) -> RobotsRules:
    """Ask for a site's rules; where they could not be had, they forbid all (RFC 9309)."""
    if client is None:
        return RobotsRules()
    for attempt in count(1):
        try:
            async with at_once:
                return _parsed(await _fetched(client, origin / "robots.txt"))
        except WebFailure as failure:
            if 400 <= failure.status < 500 and failure.status not in (408, 429):
                break
            try:
                pause = pause_s(failure, attempt, _ATTEMPTS, _BASE_PAUSE_S, _LONGEST_PAUSE_S)
            except WebFailure as last:
                # A host that is not reached is so for any of its pages.
                file = "" if last.unreachable else "is not fetched, as its site's robots.txt "
                return RobotsRules(refusal=f"{file}{last.reason}")
        await asyncio.sleep(pause)
    return RobotsRules()


async def _fetched(client: WebClient, url: URL) -> bytes:
    headers = {"Accept-Encoding": "gzip, deflate", "Accept": "text/plain, */*;q=0.5"}
    body = bytearray()
    async with client.get(str(url), headers) as response:
        # What is beyond the limit does not count; the rules before it do.
        async for piece in decoded(response, max_bytes=1 << 30):
            body += piece
            if len(body) >= MAX_ROBOTS_BYTES:
                break
    return bytes(body[:MAX_ROBOTS_BYTES])


def _parsed(body: bytes) -> RobotsRules:
    text = body.decode("utf-8-sig", errors="replace")
    if text.lstrip().startswith("<"):
        # A page that the site answers for everything that it does not have.
        return RobotsRules()
    parsed = Protego.parse(text)
    delay = parsed.crawl_delay(AGENT) or 0.0
    if rate := parsed.request_rate(AGENT):
        delay = max(delay, rate.seconds / rate.requests if rate.requests else 0.0)
    return RobotsRules(parsed, delay_s=min(max(0.0, delay), LONGEST_DELAY_S))
