"""How often and after what pause a call is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds for trying again.

    The pause is exponential backoff with full jitter, uniform in [0, min(cap, base * 2^n)]
    (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).

    Attributes:
        attempts: calls for one article before a transient fault is final. Eight: at one call
            in four failing, 1 article in 65,000 would still be left.
        base_s: upper end of the first pause, in seconds.
        cap_s: upper end of any pause, in seconds.
        asks: calls for one article whose answer is unusable, while the re-ask budget lasts.
        reask_floor: re-asks that a run always has.
        reask_share: re-asks beyond the floor, as a share of the articles answered; with a model
            that cannot do the recipe, this keeps the bill near what it would be without re-asks.
        patience_s: seconds without one answer, for rate limits and faults, before the run stops.
        limit_base_s: as ``base_s``, for the pause of all after a rate limit that names none.
        breaker_articles: different articles that fail in a row before the circuit opens.
        probes: single calls that are tried while it is open before the run stops. With the
            default pauses (1, 2, 4, 8, 16, 20, 20 s) that is about a minute of waiting: as long
            as a model server takes to start again.
    """

    attempts: int = 8
    base_s: float = 0.5
    cap_s: float = 20.0
    asks: int = 4
    reask_floor: int = 20
    reask_share: float = 0.25
    patience_s: float = 900.0
    limit_base_s: float = 0.1
    breaker_articles: int = 10
    probes: int = 7

    def pause(self, failures: int, at_least: float | None = None) -> float:
        """Seconds to wait after the n-th failure in a row (n from 1)."""
        return max(random.uniform(0, self._bound(self.base_s, failures)), at_least or 0.0)

    def limit_pause(self, limits: int, retry_after: float | None = None) -> float:
        """Seconds that nobody sends after the n-th rate limit in a row (n from 1)."""
        base_s = self.limit_base_s if retry_after is None else self.base_s
        pause = random.uniform(0, self._bound(base_s, limits))
        # Never shorter than the backoff: a server that asks to wait 0 s would be hammered.
        return max(pause, retry_after or 0.0)

    def probe_pause(self, probes: int, at_least: float | None = None) -> float:
        """Seconds between two probes of an endpoint that only fails (n failed ones, from 0)."""
        return max(self._bound(self.base_s, probes + 2), at_least or 0.0)

    def _bound(self, base_s: float, times: int) -> float:
        # Bounded, because 2.0 ** 1024 is an OverflowError and rate limits may go on for long.
        return min(self.cap_s, base_s * 2.0 ** min(times - 1, 64))
