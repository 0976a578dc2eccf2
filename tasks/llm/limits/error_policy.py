"""What is done about an error: try again now or later, give the article up, or stop the run."""

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
class TryAgain:
    """Ask again, after so many seconds out of everybody's way."""

    rest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The article has failed."""

    error: LLMError


@dataclass(frozen=True, slots=True)
class Stop:
    """No article can succeed until somebody acts; the article is left to do."""

    reason: str


Verdict = TryAgain | GiveUp | Stop


class ErrorPolicy:
    """Judges errors by the article's history and the run's.

    Args:
        retry: the bounds for trying again.
        totals: the gateway's counts, of which ``reasks`` is kept here.
        breaker: told of every fault.

    Attributes:
        resume_at: monotonic seconds before which nobody sends: the shared cooldown.
    """

    def __init__(self, retry: RetryPolicy, totals: Totals, breaker: CircuitBreaker) -> None:
        self._retry = retry
        self._totals = totals
        self._breaker = breaker
        self.resume_at = 0.0
        self._limits_in_a_row = 0
        self._trouble_since: float | None = None

    def answered(self) -> None:
        """An answer came: the endpoint is well."""
        self._limits_in_a_row = 0
        self._trouble_since = None
        self._breaker.answered()

    def judge(self, error: LLMError, asking: Request, now: float) -> Verdict:
        """What to do about an error of an article's request; ``now`` is in monotonic seconds."""
        match error:
            case RateLimited():
                asking.limits += 1
                return self._limited(error, now)
            case Transient():
                return self._transient(error, asking, now)
        self._breaker.answered()
        self._trouble_since = None
        match error:
            case EndpointUnavailable():
                return Stop(error.message)
            case InvalidResponse() if self._may_ask_again(error, asking):
                if error.error_class == "cut_off":
                    asking.doubled = True
                    cap = 2 * asking.template.max_output_tokens
                    asking.template = asking.template.with_limit(cap)
                    asking.tokens = 0
                return TryAgain()
        return self._doubt_if_all_are_refused(error) or GiveUp(error)

    def _limited(self, error: RateLimited, now: float) -> Verdict:
        """One pause for everyone; a limit that lasts for ever ends the run."""
        # It is there and says so: no circuit to break.
        self._breaker.answered()
        if self._silent_s(now) + (error.retry_after or 0.0) > self._retry.patience_s:
            minutes = self._retry.patience_s / 60
            return Stop(
                f"rate limited, and no answer in sight for {minutes:.0f} minutes "
                f"({error.message}); run again later or raise the limit"
            )
        if self.resume_at <= now:
            self._limits_in_a_row += 1
            pause = self._retry.limit_pause(self._limits_in_a_row, error.retry_after)
            self.resume_at = now + pause
        elif error.retry_after is not None:
            self.resume_at = max(self.resume_at, now + error.retry_after)
        return TryAgain()

    def _transient(self, error: Transient, asking: Request, now: float) -> Verdict:
        probing = self._breaker.open
        if error.error_class == "timeout":
            # It may be slow by nature: once more with double the time, then with all there is.
            asking.patience = 2.0 if asking.patience < 2.0 else inf
        if not error.stalled:  # it was our impatience, perhaps, and not the endpoint's failure
            self._breaker.failed(asking, now, error.retry_after)
        if self._breaker.hopeless or self._silent_s(now) > self._retry.patience_s:
            return self._gone(error, now)
        if (error.retry_after or 0.0) > self._retry.patience_s:
            # Among answers, it is the trouble of this article alone; a later run asks again.
            return GiveUp(error) if self._totals.answered else self._gone(error, now)
        # While the circuit is open, it is the endpoint that fails and not the article.
        asking.faults += not probing
        if asking.faults < self._retry.attempts:
            return TryAgain(self._retry.pause(max(asking.faults, 1), error.retry_after))
        if not self._totals.answered and error.error_class != "server_error":
            return self._gone(error, now)
        return GiveUp(error)

    def _gone(self, error: Transient, now: float) -> Stop:
        silent_s = self._silent_s(now)
        lasted = f" (and nothing else for {silent_s:,.0f} s)" if silent_s >= 1 else ""
        return Stop(
            f"the endpoint does not answer: {error.message}{lasted}; run again when it does"
        )

    def _silent_s(self, now: float) -> float:
        """Seconds since the first fault or rate limit that no answer has followed."""
        self._trouble_since = now if self._trouble_since is None else self._trouble_since
        return now - self._trouble_since

    def _may_ask_again(self, error: InvalidResponse, asking: Request) -> bool:
        asking.asks += 1
        if error.error_class == "cut_off" and asking.doubled:
            # The same cap would most likely cut the same answer off again.
            return False
        budget = self._retry.reask_floor + self._retry.reask_share * self._totals.answered
        if asking.asks >= self._retry.asks or self._totals.reasks >= budget:
            return False
        self._totals.reasks += 1
        return True

    def _doubt_if_all_are_refused(self, error: LLMError) -> Stop | None:
        """A request that no article gets through is wrong in itself, and no article's fault."""
        if error.error_class != "bad_request" or self._totals.answered:
            return None
        error.error_class = "request_refused"
        if self._totals.errors["bad_request"] < _BAD_REQUESTS_BEFORE_STOP:
            return None
        return Stop(f"the endpoint refuses every request: {error.message}; check the recipe")
