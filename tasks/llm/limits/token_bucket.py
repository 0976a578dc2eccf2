"""The schedule of one quota: how soon so many units of it (requests, or tokens) may be spent."""

from __future__ import annotations

from math import inf
from typing import Final

from article_flows.tasks.llm.protocol.rate_headers import RateWindow

_MINUTE_S: Final = 60.0
# A hair below what is allowed, so that clocks that differ a little never add up to a 429.
_OF_TOLD: Final = 0.995
_OF_LEARNED: Final = 0.99
# Credit for a timer that fires late. With one request more it stays within the smallest bucket
# that providers are known to enforce with (a handful of requests, at 100 a second).
_LATE_S: Final = 0.035
# Refunds come in clumps; credit for them, in seconds.
_GIVEN_BACK_S: Final = 1.0
# With so little left of a bucket that fills steadily, others are spending it too: share it.
_SCARCE_S: Final = 1.0
# Whole seconds are as exact as some providers are.
_RESET_ERROR_S: Final = 1.0
_RESET_ERROR: Final = 0.05
# A reset further off cannot be that of a limit per minute (Groq's limit on requests is per day).
_LONGER_THAN_A_MINUTE_S: Final = 66.0
_SHORTEST_RESET_S: Final = 0.01
# Rounding must not ask for a wait so short that the clock does not move.
_INSTANT_S: Final = 1e-6


class TokenBucket:
    """Spends a quota evenly: credit grows at the pace, and may be overdrawn by one large request.

    In any t seconds at most ``pace * t + burst`` units pass, and one request more where it alone
    is larger than the burst. Times are monotonic seconds, and do not go back.

    Args:
        told: units a minute as told by the user, or None.
    """

    def __init__(self, told: float | None = None) -> None:
        self.largest: float | None = told
        self._told = told
        self._window = 0.0
        self._factor = 1.0
        self._pace = self._normal = 0.0
        self._burst = self._credit = 0.0
        self._at = -inf
        self._slow_until = self._reset_at = inf
        self._level = inf
        self._refill = 0.0
        self._set_normal()

    @property
    def known(self) -> bool:
        """Whether there is a limit."""
        return self._normal > 0

    @property
    def pace(self) -> float:
        """Units a second, as of the last call; 0 without a limit."""
        return self._pace

    def ready_in(self, amount: float, now: float) -> float:
        """Tell the seconds until so much may be spent; 0.0 is now."""
        if not self._normal:
            return 0.0
        self._advance(now)
        wait = 0.0
        missing = min(amount, self._burst) - self._credit
        if missing > 0:
            wait = missing / self._pace
            if wait > self._slow_until - now:
                slow_s = self._slow_until - now
                wait = slow_s + (missing - slow_s * self._pace) / self._normal
        if self._level < amount:
            wait = max(wait, self._until_level(amount, now))
        return wait if wait > _INSTANT_S else 0.0

    def take(self, amount: float, now: float) -> None:
        """Spend so much, ready or not."""
        if self._normal:
            self._advance(now)
            self._credit -= amount
            self._level -= amount

    def give_back(self, amount: float, now: float) -> None:
        """Return what was spent in vain; a negative amount is a charge.

        What comes back may be spent at once, beyond the burst, but no more than a second's worth.
        """
        if self._normal:
            self._advance(now)
            most = max(self._credit, self._burst + self._normal * _GIVEN_BACK_S)
            self._credit = min(most, self._credit + amount)

    def slow_down(self, factor: float, now: float) -> None:
        """Keep to this share (more than 0, at most 1) of the limit."""
        if self._normal:
            self._advance(now)
        self._factor = factor
        self._set_normal()

    def learn(self, window: RateWindow, now: float) -> None:
        """Take in what the provider says: its limit, and how far it is used up."""
        if window.limit != self._window:
            self._window = window.limit
            self.largest = min(window.limit, self._told or inf)
            self._set_normal()
        self._advance(now)
        remaining = window.remaining
        if remaining is None:
            return
        per_s = window.limit / _MINUTE_S
        used = window.limit - remaining
        reset_s = window.reset_s
        self._level = remaining
        self._reset_at = inf
        if reset_s is None or abs(reset_s - used / per_s) <= max(
            _RESET_ERROR_S, _RESET_ERROR * reset_s
        ):
            # A bucket that gains steadily and holds a minute's worth, such as OpenAI's.
            self._refill = per_s
            self._go(max(remaining, 1.0) / _SCARCE_S, now + _SCARCE_S)
            return
        left = max(remaining, 1.0) / max(reset_s, _SHORTEST_RESET_S)
        self._reset_at = now + reset_s
        self._refill = 0.0
        if reset_s > _LONGER_THAN_A_MINUTE_S:
            # What is left of a day may be spent before the day is over, and refills as it says.
            self._refill = used / reset_s
            left = self._normal
        self._go(left, self._reset_at)

    def _go(self, pace: float, until: float) -> None:
        """Keep to the pace until then, if it is slower than normal."""
        if pace < self._normal:
            self._pace, self._slow_until = pace, until
        else:
            self._pace, self._slow_until = self._normal, inf

    def _set_normal(self) -> None:
        limits = [
            limit * share
            for limit, share in ((self._told or 0.0, _OF_TOLD), (self._window, _OF_LEARNED))
            if limit > 0
        ]
        if not limits:
            return
        first = not self._normal
        self._normal = self._factor * min(limits) / _MINUTE_S
        self._burst = 1.0 + self._normal * _LATE_S
        self._credit = self._burst if first else min(self._credit, self._burst)
        if self._slow_until == inf or self._pace > self._normal:
            self._pace = self._normal

    def _advance(self, now: float) -> None:
        since_s = now - self._at
        if since_s <= 0:
            return
        credit = self._credit + since_s * self._pace
        if now > self._slow_until:
            credit += (now - max(self._at, self._slow_until)) * (self._normal - self._pace)
            self._pace, self._slow_until = self._normal, inf
        self._credit = max(self._credit, min(credit, self._burst))
        self._at = now
        if self._level != inf:
            if now >= self._reset_at:
                self._level, self._reset_at = inf, inf
            else:
                self._level = min(self._level + since_s * self._refill, self._window)

    def _until_level(self, amount: float, now: float) -> float:
        """Tell the seconds until as much is left at the provider, or all that ever is."""
        missing = min(amount, self._window) - self._level
        refilled_s = missing / self._refill if self._refill else inf
        return max(0.0, min(refilled_s, self._reset_at - now))
