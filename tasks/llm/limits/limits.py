"""Everything that can hold a request back: the gateway checks it before sending."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from article_flows.tasks.llm.limits.adaptive_concurrency import AdaptiveConcurrency
from article_flows.tasks.llm.limits.budget import Budget, may_be_billed
from article_flows.tasks.llm.limits.circuit_breaker import CircuitBreaker
from article_flows.tasks.llm.limits.error_policy import ErrorAction, ErrorPolicy
from article_flows.tasks.llm.limits.rate_limiter import RateLimiter
from article_flows.tasks.llm.limits.retry_policy import RetryPolicy
from article_flows.tasks.llm.protocol.chat import NO_USAGE, Completion
from article_flows.tasks.llm.protocol.errors import LLMError, RateLimited, RejectedInput
from article_flows.tasks.llm.protocol.rate_headers import rate_headers
from article_flows.tasks.llm.protocol.request import Request
from article_flows.tasks.llm.protocol.results import Totals


class Reservation(NamedTuple):
    """What a request in flight reserves: tokens of a quota and US dollars of the budget."""

    tokens: int
    usd: float


NO_RESERVATION = Reservation(0, 0.0)
_MAX_CHARGE_FACTOR = 4
_RATE_LIMITS_TO_CONFIRM_QUOTA = 3
_ANSWERS_TO_FORGET_HEADERS = 3
_PAUSE_CHECK_S = 1.0


class Limits:
    """Concurrency, rate limits, budget, shared cooldown and circuit breaker combined.

    All times are monotonic seconds.

    Args:
        max_in_flight: Upper bound of the requests in flight.
        rpm: Requests per minute set by the user; None if they are to be learned.
        tpm: Tokens per minute set by the user; None if they are to be learned.
        budget: What the run may spend; None for no bound.
        retry: Bounds for retries.
        totals: The gateway's counts.

    Attributes:
        pause_reason: Called on the event loop before each request; returns why nothing may be
            sent for now, or an empty string.
    """

    def __init__(
        self,
        *,
        max_in_flight: int,
        rpm: float | None,
        tpm: float | None,
        budget: Budget | None,
        retry: RetryPolicy,
        totals: Totals,
    ) -> None:
        self._totals = totals
        self._configured_tpm = tpm or math.inf
        self._uses_headers = False
        self._answers_without_headers = 0
        self.concurrency = AdaptiveConcurrency(max_in_flight)
        self.rate_limiter = RateLimiter(rpm, tpm)
        self.budget = budget
        self.breaker = CircuitBreaker(retry)
        self.errors = ErrorPolicy(retry, totals, self.breaker)
        self.pause_reason: Callable[[], str] = str

    def seconds_until_ready(self, request: Request, now: float) -> float:
        """Return the seconds until a request may be sent; infinity until another one ends."""
        if self.pause_reason():
            return _PAUSE_CHECK_S
        if self.errors.resume_at > now:
            return self.errors.resume_at - now
        if self.breaker.is_open and (wait := self.breaker.seconds_until_probe(now)) > 0:
            return wait
        if self.budget is not None and not self.budget.fits(request):
            return math.inf
        if not self.rate_limiter.has_limits:
            return 0.0
        return self.rate_limiter.seconds_until_ready(request.estimated_tokens(), now)

    def quota_error(self, request: Request) -> LLMError | None:
        """Return the error of a request that is too large for the quota, however long it waits.

        A reported quota counts only once 429s confirm it, so a garbled header fails no article.
        """
        max_tokens = self.rate_limiter.max_request_tokens
        tokens = request.estimated_tokens()
        if max_tokens is None or tokens <= max_tokens:
            return None
        if tokens <= self._configured_tpm and request.rate_limits < _RATE_LIMITS_TO_CONFIRM_QUOTA:
            return None
        return RejectedInput(
            "over_quota",
            f"about {tokens:,} tokens with the answer, more than the quota's "
            f"{max_tokens:,.0f} a minute; shorten the article or raise the quota (--tpm)",
        )

    def describe_wait(self, now: float) -> str:
        """Return which limit holds requests back now, in words; empty if none does."""
        if reason := self.pause_reason():
            return reason
        if (pause := self.errors.resume_at - now) > 0:
            return f"rate limited, resuming in {pause:.0f} s"
        if self.breaker.is_open:
            return "the endpoint keeps failing; trying one request at a time"
        if self.budget is not None and self.budget.is_blocking:
            return "the rest of the budget is reserved"
        return self.rate_limiter.describe()

    def reserve(self, request: Request, now: float) -> Reservation:
        """Reserve what a request may use; end with `record_answer`, `record_error` or `release`."""
        tokens, usd = 0, 0.0
        if self.rate_limiter.has_limits:
            tokens = request.estimated_tokens()
            self.rate_limiter.reserve(tokens, now)
        if self.breaker.is_open:
            self.breaker.record_sent(request)
        if self.budget is not None:
            usd = self.budget.reserve(request)
        return Reservation(tokens, usd) if tokens or usd else NO_RESERVATION

    def record_answer(
        self,
        reservation: Reservation,
        completion: Completion,
        cost_usd: float,
        latency_s: float,
        now: float,
    ) -> None:
        """Settle the reservation of an answered request, and learn from its headers and latency."""
        self.errors.record_success()
        self.concurrency.record_answer(latency_s, self._totals.in_flight + 1, now)
        if completion.headers and (headers := rate_headers(completion.headers)):
            self.rate_limiter.update(headers, now)
            self._answers_without_headers = 0
            self._uses_headers = True
        elif self._uses_headers:
            self._maybe_forget_headers()
        if reservation.tokens:
            used = completion.usage.prompt + completion.usage.completion
            # An estimate may be off by half; a count many times as high is garbled.
            used = min(used, _MAX_CHARGE_FACTOR * reservation.tokens)
            self.rate_limiter.settle(reservation.tokens, used, now)
        if self.budget is None:
            return
        if completion.usage == NO_USAGE:
            # Without a bill, only the worst case is certain to be enough.
            self.budget.write_off(reservation.usd)
        else:
            self.budget.settle(reservation.usd, cost_usd, completion.usage)

    def _maybe_forget_headers(self) -> None:
        """Drop the reported limits if headers have stopped: one may have come from a proxy."""
        self._answers_without_headers += 1
        if self._answers_without_headers >= _ANSWERS_TO_FORGET_HEADERS:
            self._uses_headers = False
            self.rate_limiter.forget_reported()

    def record_error(
        self,
        reservation: Reservation,
        error: LLMError,
        cost_usd: float,
        request: Request,
        now: float,
    ) -> ErrorAction:
        """Settle the reservation of a failed request and return what follows."""
        if error.headers and (headers := rate_headers(error.headers)):
            self.rate_limiter.update(headers, now)
        if isinstance(error, RateLimited):
            self.concurrency.record_rejection(self._totals.in_flight + 1, now)
            self.rate_limiter.record_rejection(now)
            if reservation.tokens:
                self.rate_limiter.settle(reservation.tokens, 0, now)
        if self.budget is not None:
            if may_be_billed(error) and not cost_usd:
                self.budget.write_off(reservation.usd)
            else:
                self.budget.settle(reservation.usd, cost_usd, error.usage)
        return self.errors.decide(error, request, now)

    def release(self, reservation: Reservation, request: Request, now: float) -> None:
        """Return the reservation of a request that was not sent."""
        self.breaker.release(request)
        if reservation.tokens:
            self.rate_limiter.settle(reservation.tokens, 0, now)
        if self.budget is not None:
            self.budget.settle(reservation.usd, 0.0, NO_USAGE)

    def record_cancelled(self, reservation: Reservation, request: Request) -> None:
        """Write off the reservation of a request cancelled in flight: it may be billed."""
        self.breaker.release(request)
        if self.budget is not None:
            self.budget.write_off(reservation.usd)
