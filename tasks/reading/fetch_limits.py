"""How hard the web is worked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FetchLimits:
    """How hard the web is worked, and what is taken from it.

    Attributes:
        concurrent: pages on their way, or in memory, at once.
        per_host: of one host.
        window: URLs that are looked at ahead, so that one slow host does not hold up others.
        page_s: seconds for a page; each redirect has as many.
        page_bytes: of a page, unpacked.
        attempts: requests for a page before it is given up.
        base_pause_s: the backoff's start in seconds; it doubles each time, with full jitter.
        workers: processes that take texts out of pages; about 100 MB each.
        robots: ask for robots.txt and obey it.
    """

    concurrent: int = 64
    per_host: int = 4
    window: int = 1_000
    page_s: float = 30.0
    page_bytes: int = 10 << 20
    attempts: int = 3
    base_pause_s: float = 1.0
    workers: int = 2
    robots: bool = True
