"""How often, and after which delay, a request is retried."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds for retries.

    Delays use exponential backoff with full jitter, uniform in [0, min(cap, base * 2^n)]
    (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).

    Attributes:
        max_attempts: Transient faults of one article before it fails. With eight, and one
            request in four failing, 1 article in 65,000 fails.
        base_s: Upper bound of the first delay, in seconds.
        cap_s: Upper bound of any delay, in seconds.
        max_invalid_responses: Invalid responses to one article before it fails, while the re-ask
            budget lasts.
        min_reasks: Re-asks that every run may make.
        reask_share: Further re-asks, as a share of the articles answered. If a model cannot
            follow the recipe, this keeps the bill close to that of a run without re-asks.
        no_answer_timeout_s: Seconds of rate limits and faults without a single answer before the
            run stops.
        rate_limit_base_s: ``base_s`` for the shared cooldown after a 429 without Retry-After.
        breaker_threshold: Different articles that fail in a row before the circuit opens.
        max_probes: Probes of an open circuit before the run stops. The default delays (1, 2, 4,
            8, 16, 20, 20 s) add up to about a minute, in which a model server can restart.

    Example:
        >>> 0 <= RetryPolicy().backoff(failures=3) <= 2.0
        True
        >>> [RetryPolicy().probe_interval(failed) for failed in range(7)]
        [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
    """

    max_attempts: int = 8
    base_s: float = 0.5
    cap_s: float = 20.0
    max_invalid_responses: int = 4
    min_reasks: int = 20
    reask_share: float = 0.25
    no_answer_timeout_s: float = 900.0
    rate_limit_base_s: float = 0.1
    breaker_threshold: int = 10
    max_probes: int = 7

    def backoff(self, failures: int, retry_after: float | None = None) -> float:
        """Return the delay after the n-th failure in a row (n from 1), in seconds."""
        return max(random.uniform(0, self._bound(self.base_s, failures)), retry_after or 0.0)

    def rate_limit_backoff(self, rate_limits: int, retry_after: float | None = None) -> float:
        """Return the shared cooldown after the n-th 429 in a row (n from 1), in seconds."""
        base_s = self.rate_limit_base_s if retry_after is None else self.base_s
        delay = random.uniform(0, self._bound(base_s, rate_limits))
        # At least the backoff: a server that asks to wait 0 s would otherwise be hammered.
        return max(delay, retry_after or 0.0)

    def probe_interval(self, failed_probes: int, retry_after: float | None = None) -> float:
        """Return the seconds before the next probe of an open circuit."""
        return max(self._bound(self.base_s, failed_probes + 2), retry_after or 0.0)

    def _bound(self, base_s: float, failures: int) -> float:
        # Bounded, because 2.0 ** 1024 is an OverflowError and rate limits may last long.
        return min(self.cap_s, base_s * 2.0 ** min(failures - 1, 64))
