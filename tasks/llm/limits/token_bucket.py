"""A token bucket for one quota: how soon a number of units (requests or tokens) may be spent."""

from __future__ import annotations

from math import inf
from typing import Final

from article_flows.tasks.llm.protocol.rate_headers import RateWindow

_MINUTE_S: Final = 60.0
# Slightly below the limit, so that small differences between clocks never add up to a 429.
_SHARE_OF_CONFIGURED: Final = 0.995
_SHARE_OF_REPORTED: Final = 0.99
# Burst to make up for a timer that fires late. With one more request it stays within the smallest
# bucket that providers are known to enforce (a handful of requests, at 100 per second).
_TIMER_SLACK_S: Final = 0.035
# Refunds arrive in clumps; up to this many seconds' worth may be spent at once.
_MAX_REFUND_S: Final = 1.0
# When little remains of a steadily refilling bucket, other clients use it too: share it.
_SCARCE_S: Final = 1.0
# Some providers round resets to whole seconds.
_RESET_TOLERANCE_S: Final = 1.0
_RESET_TOLERANCE: Final = 0.05
# A later reset cannot be that of a limit per minute (Groq's limit on requests is per day).
_MAX_MINUTE_RESET_S: Final = 66.0
_MIN_RESET_S: Final = 0.01
# Rounding must not produce a wait so short that the clock does not advance.
_MIN_WAIT_S: Final = 1e-6


class TokenBucket:
    """A quota that is spent evenly; a single large request may overdraw it.

    In any t seconds at most ``rate * t + burst`` units pass, plus one request if that request alone
    exceeds the burst. All times are monotonic seconds and must not decrease.

    Args:
        configured: Units per minute set by the user, or None.

    Example:
        >>> bucket = TokenBucket(60)
        >>> bucket.spend(1, now=0.0)
        >>> round(bucket.seconds_until_ready(1, now=0.0), 2)
        0.97
    """

    def __init__(self, configured: float | None = None) -> None:
        self.max_request: float | None = configured
        self._configured = configured
        self._reported = 0.0
        self._rate_factor = 1.0
        self._rate = self._normal_rate = 0.0
        self._burst = self._credit = 0.0
        self._updated_at = -inf
        self._throttled_until = self._reset_at = inf
        self._remaining = inf
        self._refill_rate = 0.0
        self._update_rate()

    @property
    def has_limit(self) -> bool:
        """Whether there is a limit."""
        return self._normal_rate > 0

    @property
    def rate(self) -> float:
        """Units per second as of the last call; 0 without a limit."""
        return self._rate

    def seconds_until_ready(self, amount: float, now: float) -> float:
        """Return the seconds until ``amount`` may be spent; 0.0 means now."""
        if not self._normal_rate:
            return 0.0
        self._advance(now)
        wait = 0.0
        missing = min(amount, self._burst) - self._credit
        if missing > 0:
            wait = missing / self._rate
            if wait > self._throttled_until - now:
                throttled_s = self._throttled_until - now
                wait = throttled_s + (missing - throttled_s * self._rate) / self._normal_rate
        if self._remaining < amount:
            wait = max(wait, self._seconds_until_remaining(amount, now))
        return wait if wait > _MIN_WAIT_S else 0.0

    def spend(self, amount: float, now: float) -> None:
        """Spend ``amount``, ready or not."""
        if self._normal_rate:
            self._advance(now)
            self._credit -= amount
            self._remaining -= amount

    def refund(self, amount: float, now: float) -> None:
        """Return units that were not used; a negative amount is an additional charge.

        Refunds may be spent at once, beyond the burst, up to one second's worth.
        """
        if self._normal_rate:
            self._advance(now)
            max_credit = max(self._credit, self._burst + self._normal_rate * _MAX_REFUND_S)
            self._credit = min(max_credit, self._credit + amount)

    def scale_rate(self, factor: float, now: float) -> None:
        """Use only this share of the limit (more than 0, at most 1)."""
        if self._normal_rate:
            self._advance(now)
        self._rate_factor = factor
        self._update_rate()

    def update(self, window: RateWindow, now: float) -> None:
        """Apply the limit and the remaining quota that the provider reports."""
        if window.limit != self._reported:
            self._reported = window.limit
            self.max_request = min(window.limit, self._configured or inf)
            self._update_rate()
        self._advance(now)
        remaining = window.remaining
        if remaining is None:
            return
        limit_per_s = window.limit / _MINUTE_S
        used = window.limit - remaining
        reset_s = window.reset_s
        self._remaining = remaining
        self._reset_at = inf
        if reset_s is None or abs(reset_s - used / limit_per_s) <= max(
            _RESET_TOLERANCE_S, _RESET_TOLERANCE * reset_s
        ):
            # A bucket that refills steadily and holds a minute's worth, such as OpenAI's.
            self._refill_rate = limit_per_s
            self._throttle(max(remaining, 1.0) / _SCARCE_S, now + _SCARCE_S)
            return
        rate = max(remaining, 1.0) / max(reset_s, _MIN_RESET_S)
        self._reset_at = now + reset_s
        self._refill_rate = 0.0
        if reset_s > _MAX_MINUTE_RESET_S:
            # The rest of a daily quota may be spent before the day ends; it refills as reported.
            self._refill_rate = used / reset_s
            rate = self._normal_rate
        self._throttle(rate, self._reset_at)

    def _throttle(self, rate: float, until: float) -> None:
        """Use ``rate`` until then if it is below the normal rate."""
        if rate < self._normal_rate:
            self._rate, self._throttled_until = rate, until
        else:
            self._rate, self._throttled_until = self._normal_rate, inf

    def _update_rate(self) -> None:
        limits = [
            limit * share
            for limit, share in (
                (self._configured or 0.0, _SHARE_OF_CONFIGURED),
                (self._reported, _SHARE_OF_REPORTED),
            )
            if limit > 0
        ]
        if not limits:
            return
        is_first = not self._normal_rate
        self._normal_rate = self._rate_factor * min(limits) / _MINUTE_S
        self._burst = 1.0 + self._normal_rate * _TIMER_SLACK_S
        self._credit = self._burst if is_first else min(self._credit, self._burst)
        if self._throttled_until == inf or self._rate > self._normal_rate:
            self._rate = self._normal_rate

    def _advance(self, now: float) -> None:
        elapsed_s = now - self._updated_at
        if elapsed_s <= 0:
            return
        credit = self._credit + elapsed_s * self._rate
        if now > self._throttled_until:
            normal_s = now - max(self._updated_at, self._throttled_until)
            credit += normal_s * (self._normal_rate - self._rate)
            self._rate, self._throttled_until = self._normal_rate, inf
        self._credit = max(self._credit, min(credit, self._burst))
        self._updated_at = now
        if self._remaining != inf:
            if now >= self._reset_at:
                self._remaining, self._reset_at = inf, inf
            else:
                refilled = self._remaining + elapsed_s * self._refill_rate
                self._remaining = min(refilled, self._reported)

    def _seconds_until_remaining(self, amount: float, now: float) -> float:
        """Return the seconds until the provider has ``amount`` (or the whole quota) left."""
        missing = min(amount, self._reported) - self._remaining
        refilled_s = missing / self._refill_rate if self._refill_rate else inf
        return max(0.0, min(refilled_s, self._reset_at - now))
