"""Decide what follows an error: a retry, a failed article, or the end of the run."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from article_flows.tasks.llm.limits.circuit_breaker import CircuitBreaker
from article_flows.tasks.llm.limits.retry_policy import RetryPolicy
from article_flows.tasks.llm.protocol.errors import (
    EndpointUnavailable,
    InvalidResponse,
    LLMError,
    RateLimited,
    Transient,
)
from article_flows.tasks.llm.protocol.request import Request
from article_flows.tasks.llm.protocol.results import Totals

_BAD_REQUESTS_BEFORE_STOP = 10


@dataclass(frozen=True, slots=True)
class Retry:
    """Send the request again, after ``delay_s`` seconds outside the queue."""

    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Fail:
    """The article has failed."""

    error: LLMError


@dataclass(frozen=True, slots=True)
class StopRun:
    """No request can succeed until the user acts; the article stays to do for a later run."""

    reason: str


ErrorAction = Retry | Fail | StopRun


class ErrorPolicy:
    """The reaction to errors, by the history of the article and of the run.

    Args:
        policy: The bounds for retries.
        totals: The gateway's counts; ``reasks`` is updated here.
        breaker: Notified of every fault.

    Attributes:
        resume_at: Monotonic seconds until which no request is sent (the shared cooldown).
    """

    def __init__(self, policy: RetryPolicy, totals: Totals, breaker: CircuitBreaker) -> None:
        self._policy = policy
        self._totals = totals
        self._breaker = breaker
        self.resume_at = 0.0
        self._consecutive_rate_limits = 0
        self._failing_since: float | None = None

    def record_success(self) -> None:
        """Reset the history of the run after an answer."""
        self._consecutive_rate_limits = 0
        self._failing_since = None
        self._breaker.record_success()

    def decide(self, error: LLMError, request: Request, now: float) -> ErrorAction:
        """Return what follows the error of a request; ``now`` is in monotonic seconds."""
        match error:
            case RateLimited():
                request.rate_limits += 1
                return self._after_rate_limit(error, now)
            case Transient():
                return self._after_fault(error, request, now)
        self._breaker.record_success()
        self._failing_since = None
        match error:
            case EndpointUnavailable():
                return StopRun(error.message)
            case InvalidResponse() if self._may_ask_again(error, request):
                if error.error_class == "cut_off":
                    request.double_output_limit()
                return Retry()
        return self._stop_if_all_are_rejected(error) or Fail(error)

    def _after_rate_limit(self, error: RateLimited, now: float) -> ErrorAction:
        """Pause all requests; stop the run if the limit has lasted too long."""
        # The endpoint responds, so the circuit stays closed.
        self._breaker.record_success()
        timeout_s = self._policy.no_answer_timeout_s
        if self._seconds_failing(now) + (error.retry_after or 0.0) > timeout_s:
            return StopRun(
                f"rate limited for more than {timeout_s / 60:.0f} minutes "
                f"({error.message}); run again later or raise the limit"
            )
        if self.resume_at <= now:
            self._consecutive_rate_limits += 1
            pause = self._policy.rate_limit_backoff(
                self._consecutive_rate_limits, error.retry_after
            )
            self.resume_at = now + pause
        elif error.retry_after is not None:
            self.resume_at = max(self.resume_at, now + error.retry_after)
        return Retry()

    def _after_fault(self, error: Transient, request: Request, now: float) -> ErrorAction:
        circuit_was_open = self._breaker.is_open
        if error.error_class == "timeout":
            # The request may simply be slow: retry with twice the stall timeout, then without it.
            request.stall_timeout_factor = 2.0 if request.stall_timeout_factor < 2.0 else inf
        if not error.stalled:  # A stall timeout of ours need not be a failure of the endpoint.
            self._breaker.record_failure(request, now, error.retry_after)
        timeout_s = self._policy.no_answer_timeout_s
        if self._breaker.exhausted or self._seconds_failing(now) > timeout_s:
            return self._endpoint_down(error, now)
        if (error.retry_after or 0.0) > timeout_s:
            # If others are answered, only this article is affected; a later run retries it.
            return Fail(error) if self._totals.answered else self._endpoint_down(error, now)
        # While the circuit is open, the endpoint is at fault and not the article.
        request.faults += not circuit_was_open
        if request.faults < self._policy.max_attempts:
            return Retry(self._policy.backoff(max(request.faults, 1), error.retry_after))
        if not self._totals.answered and error.error_class != "server_error":
            return self._endpoint_down(error, now)
        return Fail(error)

    def _endpoint_down(self, error: Transient, now: float) -> StopRun:
        failing_s = self._seconds_failing(now)
        duration = f" (and nothing else for {failing_s:,.0f} s)" if failing_s >= 1 else ""
        return StopRun(
            f"the endpoint does not answer: {error.message}{duration}; run again when it does"
        )

    def _seconds_failing(self, now: float) -> float:
        """Return the seconds since the first fault or rate limit after the last answer."""
        self._failing_since = now if self._failing_since is None else self._failing_since
        return now - self._failing_since

    def _may_ask_again(self, error: InvalidResponse, request: Request) -> bool:
        request.invalid_responses += 1
        if error.error_class == "cut_off" and request.output_limit_doubled:
            # The same limit would most likely cut the same answer off again.
            return False
        budget = self._policy.min_reasks + self._policy.reask_share * self._totals.answered
        if (
            request.invalid_responses >= self._policy.max_invalid_responses
            or self._totals.reasks >= budget
        ):
            return False
        self._totals.reasks += 1
        return True

    def _stop_if_all_are_rejected(self, error: LLMError) -> StopRun | None:
        """Stop the run if every request so far was a bad one: no single article is to blame."""
        if error.error_class != "bad_request" or self._totals.answered:
            return None
        error.error_class = "request_refused"
        if self._totals.errors["bad_request"] < _BAD_REQUESTS_BEFORE_STOP:
            return None
        return StopRun(f"the endpoint rejects every request: {error.message}; check the recipe")
