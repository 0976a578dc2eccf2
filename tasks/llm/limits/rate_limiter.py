"""Pace requests by limits per minute, set by the user or learned from headers.

There is a token bucket for requests and one for tokens. Both slow down together for what no header
reports: 429s within the quota, and providers that do not refund unused reservations.
"""

from __future__ import annotations

from math import inf
from typing import Final

from article_flows.tasks.llm.limits.token_bucket import TokenBucket
from article_flows.tasks.llm.protocol.rate_headers import RateHeaders

# Each 429 slows down by half its share of the requests per second, at most a tenth per second.
_CUT_SHARE: Final = 0.5
_MAX_CUT_PER_S: Final = 0.1
_MIN_RATE_FACTOR: Final = 0.5
# Recovery per second: up to just below the rate of the last 429, and beyond.
_RECOVERY_PER_S: Final = 0.01
_SLOW_RECOVERY_PER_S: Final = 0.001
_BELOW_CEILING: Final = 0.98
# A review covers at least this many seconds and requests.
_REVIEW_INTERVAL_S: Final = 1.0
_MIN_REVIEW_REQUESTS: Final = 10
# A provider that does not refund reservations rejects far more than an occasional request.
_NO_REFUND_REJECTED_SHARE: Final = 0.1
_MIN_REFUND_SHARE: Final = 0.2


class RateLimiter:
    """A limiter of requests and tokens per minute. All times are monotonic seconds.

    Args:
        rpm: Requests per minute set by the user, or None.
        tpm: Tokens per minute (prompt and completion) set by the user, or None.

    Example:
        >>> limiter = RateLimiter(rpm=600)
        >>> limiter.describe()
        'paced at 597 requests a minute'
    """

    def __init__(self, rpm: float | None = None, tpm: float | None = None) -> None:
        self._configured = (rpm, tpm)
        self._requests = TokenBucket(rpm)
        self._tokens = TokenBucket(tpm)
        self._rate_factor = self._ceiling = 1.0
        self._cut_left = _MAX_CUT_PER_S
        self._refund_share = 1.0
        self._refunded = False
        self._sent = self._rejected = 0
        self._sent_per_s = 0.0
        self._reviewed_at = self._next_review_at = -inf

    @property
    def has_limits(self) -> bool:
        """Whether any limit is configured or learned."""
        return self._requests.has_limit or self._tokens.has_limit

    @property
    def max_request_tokens(self) -> float | None:
        """Tokens of the largest request that can ever pass; None without a token limit."""
        return self._tokens.max_request

    def seconds_until_ready(self, tokens: float, now: float) -> float:
        """Return the seconds until a request that reserves ``tokens`` may be sent."""
        wait = self._requests.seconds_until_ready(1.0, now)
        if self._tokens.has_limit:
            return max(wait, self._tokens.seconds_until_ready(tokens, now))
        return wait

    def reserve(self, tokens: float, now: float) -> None:
        """Count a request that is being sent, with the tokens it reserves."""
        self._requests.spend(1.0, now)
        if self._tokens.has_limit:
            self._tokens.spend(tokens, now)
        self._sent += 1
        if now >= self._next_review_at:
            self._review(now)

    def settle(self, reserved: float, used: float, now: float) -> None:
        """Refund the unused tokens of a request, or charge those beyond its reservation."""
        unused = reserved - used
        if not unused or not self._tokens.has_limit:
            return
        if unused > 0:
            self._refunded = True
            unused *= self._refund_share
        self._tokens.refund(unused, now)

    def update(self, headers: RateHeaders, now: float) -> None:
        """Apply the limits that an answer or a 429 reports."""
        if headers.requests:
            self._requests.update(headers.requests, now)
        if headers.tokens:
            self._tokens.update(headers.tokens, now)

    def describe(self) -> str:
        """Return the current rate in words; empty without a limit."""
        buckets = (("requests", self._requests), ("tokens", self._tokens))
        rates = [f"{each.rate * 60:,.0f} {unit}" for unit, each in buckets if each.has_limit]
        return f"paced at {' and '.join(rates)} a minute" if rates else ""

    def forget_reported(self) -> None:
        """Return to the configured limits after the provider has stopped reporting any."""
        rpm, tpm = self._configured
        self._requests, self._tokens = TokenBucket(rpm), TokenBucket(tpm)
        self._rate_factor = self._ceiling = 1.0

    def record_rejection(self, now: float) -> None:
        """Slow down slightly after a 429 within the quota."""
        self._rejected += 1
        if not self.has_limits or self._cut_left <= 0:
            return
        if self._rejected == 1:
            self._ceiling = self._rate_factor
        cut = min(self._cut_left, _CUT_SHARE / max(_MIN_REVIEW_REQUESTS, self._sent_per_s))
        self._cut_left -= cut
        self._scale_rate(max(_MIN_RATE_FACTOR, self._rate_factor * (1 - cut)), now)

    def _review(self, now: float) -> None:
        """Recover some of the rate, and check whether the provider refunds reservations."""
        if self._sent < _MIN_REVIEW_REQUESTS:
            return
        elapsed_s = min(now - self._reviewed_at, 60.0)
        if self._refunded and self._rejected > _NO_REFUND_REJECTED_SHARE * self._sent:
            halved = self._refund_share / 2
            self._refund_share = 0.0 if halved < _MIN_REFUND_SHARE else halved
        if self._rate_factor < 1.0:
            below_ceiling = self._rate_factor < self._ceiling * _BELOW_CEILING
            recovery = (_RECOVERY_PER_S if below_ceiling else _SLOW_RECOVERY_PER_S) * elapsed_s
            self._scale_rate(min(1.0, self._rate_factor + recovery), now)
        self._sent_per_s = self._sent / max(elapsed_s, _REVIEW_INTERVAL_S)
        self._cut_left = _MAX_CUT_PER_S
        self._sent = self._rejected = 0
        self._refunded = False
        self._reviewed_at, self._next_review_at = now, now + _REVIEW_INTERVAL_S

    def _scale_rate(self, factor: float, now: float) -> None:
        self._rate_factor = factor
        self._requests.scale_rate(factor, now)
        self._tokens.scale_rate(factor, now)
