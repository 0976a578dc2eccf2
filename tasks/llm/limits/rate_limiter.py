"""When the next request may be sent, by the limits per minute that are told or learned.

Requests and tokens have a schedule each. Together they also heed what no header tells: a 429 that
comes although there should be room, and a provider that keeps what was reserved but not used.
"""

from __future__ import annotations

from math import inf
from typing import Final

from article_flows.tasks.llm.limits.token_bucket import TokenBucket
from article_flows.tasks.llm.protocol.rate_headers import RateHeaders

# A 429 while pacing: each slows down by half its share of the requests, a tenth a second at most.
_CUT_SHARE: Final = 0.5
_MOST_CUT: Final = 0.1
_LEAST_FACTOR: Final = 0.5
# Recovery a second: up to just below where the last 429 came, and beyond.
_RECOVERY: Final = 0.01
_SLOW_RECOVERY: Final = 0.001
_BELOW_CEILING: Final = 0.98
# A review looks at so many requests, and at so many seconds, at least.
_REVIEW_S: Final = 1.0
_REVIEW_SENT: Final = 10
# A provider that keeps reservations rejects far more than a 429 now and then.
_REFUND_DOUBT: Final = 0.1
_LEAST_REFUND: Final = 0.2


class RateLimiter:
    """Paces requests by what is allowed in a minute. Times are monotonic seconds.

    Args:
        rpm: requests a minute as told by the user, or None.
        tpm: tokens a minute (prompt and answer together) as told by the user, or None.
    """

    def __init__(self, rpm: float | None = None, tpm: float | None = None) -> None:
        self._told = (rpm, tpm)
        self._requests = TokenBucket(rpm)
        self._tokens = TokenBucket(tpm)
        self._factor = self._ceiling = 1.0
        self._cut_left = _MOST_CUT
        self._refund = 1.0
        self._refunded = False
        self._sent = self._rejected = 0
        self._sent_per_s = 0.0
        self._reviewed_at = self._review_at = -inf

    @property
    def known(self) -> bool:
        """Whether any limit is told or learned."""
        return self._requests.known or self._tokens.known

    @property
    def largest(self) -> float | None:
        """Tokens of the largest request that can ever pass; None if there is no such limit."""
        return self._tokens.largest

    def ready_in(self, tokens: float, now: float) -> float:
        """Tell the seconds until a request that reserves so many tokens may go; 0.0 is now."""
        wait = self._requests.ready_in(1.0, now)
        if self._tokens.known:
            return max(wait, self._tokens.ready_in(tokens, now))
        return wait

    def take(self, tokens: float, now: float) -> None:
        """Count a request that is sent now, with the tokens that it reserves."""
        self._requests.take(1.0, now)
        if self._tokens.known:
            self._tokens.take(tokens, now)
        self._sent += 1
        if now >= self._review_at:
            self._review(now)

    def settle(self, reserved: float, used: float, now: float) -> None:
        """Give back what a request reserved and did not use, or charge what it used beyond."""
        unused = reserved - used
        if not unused or not self._tokens.known:
            return
        if unused > 0:
            self._refunded = True
            unused *= self._refund
        self._tokens.give_back(unused, now)

    def learn(self, headers: RateHeaders, now: float) -> None:
        """Take in what an answer, or a 429, says about the limits."""
        if headers.requests:
            self._requests.learn(headers.requests, now)
        if headers.tokens:
            self._tokens.learn(headers.tokens, now)

    def words(self) -> str:
        """For people: the pace that is kept; empty without a limit."""
        paces = (("requests", self._requests), ("tokens", self._tokens))
        kept = [f"{each.pace * 60:,.0f} {unit}" for unit, each in paces if each.known]
        return f"paced at {' and '.join(kept)} a minute" if kept else ""

    def forget(self) -> None:
        """Go by what was told alone: the provider no longer says anything."""
        rpm, tpm = self._told
        self._requests, self._tokens = TokenBucket(rpm), TokenBucket(tpm)
        self._factor = self._ceiling = 1.0

    def limited(self, now: float) -> None:
        """Slow down a little: a 429 came although there should have been room."""
        self._rejected += 1
        if not self.known or self._cut_left <= 0:
            return
        if self._rejected == 1:
            self._ceiling = self._factor
        cut = min(self._cut_left, _CUT_SHARE / max(_REVIEW_SENT, self._sent_per_s))
        self._cut_left -= cut
        self._set_factor(max(_LEAST_FACTOR, self._factor * (1 - cut)), now)

    def _review(self, now: float) -> None:
        """Once a second: forgive, and see whether the provider keeps what was not used."""
        if self._sent < _REVIEW_SENT:
            return
        past_s = min(now - self._reviewed_at, 60.0)
        if self._refunded and self._rejected > _REFUND_DOUBT * self._sent:
            self._refund = 0.0 if self._refund < 2 * _LEAST_REFUND else self._refund / 2
        if self._factor < 1.0:
            known_good = self._factor < self._ceiling * _BELOW_CEILING
            growth = (_RECOVERY if known_good else _SLOW_RECOVERY) * past_s
            self._set_factor(min(1.0, self._factor + growth), now)
        self._sent_per_s = self._sent / max(past_s, _REVIEW_S)
        self._cut_left = _MOST_CUT
        self._sent = self._rejected = 0
        self._refunded = False
        self._reviewed_at, self._review_at = now, now + _REVIEW_S

    def _set_factor(self, factor: float, now: float) -> None:
        self._factor = factor
        self._requests.slow_down(factor, now)
        self._tokens.slow_down(factor, now)
