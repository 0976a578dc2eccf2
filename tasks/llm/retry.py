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
    """

    attempts: int = 8
    base_s: float = 0.5
    cap_s: float = 20.0
    asks: int = 4
    reask_floor: int = 20
    reask_share: float = 0.25
    patience_s: float = 900.0

    def pause(self, failures: int, at_least: float | None = None) -> float:
        """Seconds to wait after the n-th failure in a row (n from 1)."""
        # Bounded, because 2.0 ** 1024 is an OverflowError and rate limits may go on for long.
        doublings = min(failures - 1, 64)
        pause = random.uniform(0, min(self.cap_s, self.base_s * 2.0**doublings))
        return max(pause, at_least or 0.0)
