"""All that may hold a request back, asked in one place before it is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from article_flows.tasks.llm.limits.budget import Budget, may_be_billed
from article_flows.tasks.llm.limits.circuit_breaker import CircuitBreaker
from article_flows.tasks.llm.limits.concurrency import Concurrency
from article_flows.tasks.llm.limits.error_policy import ErrorPolicy, Verdict
from article_flows.tasks.llm.limits.rate_limiter import RateLimiter
from article_flows.tasks.llm.limits.retry_policy import RetryPolicy
from article_flows.tasks.llm.protocol.chat import NO_USAGE, Completion
from article_flows.tasks.llm.protocol.errors import LLMError, RateLimited, RejectedInput
from article_flows.tasks.llm.protocol.rate_headers import rate_headers
from article_flows.tasks.llm.protocol.request import Request
from article_flows.tasks.llm.protocol.results import Totals


class Reservation(NamedTuple):
    """What is reserved for a request under way: tokens of a quota, US dollars of the budget."""

    tokens: int
    usd: float


NO_RESERVATION = Reservation(0, 0.0)
_MOST_CHARGED = 4
_TIMES_LIMITED = 3
_ANSWERS_TO_FORGET = 3
_LOOK_AGAIN_S = 1.0


class Limits:
    """The in-flight gate, the quotas, the money, the shared cooldown and the circuit breaker.

    Args:
        max_in_flight: requests under way at once, at most.
        rpm, tpm: requests and tokens a minute that the user names; None leaves them to be learned.
        budget: US dollars that may be spent; None for no bound.
        retry: bounds for trying again.
        totals: the gateway's counts.

    Attributes:
        paused: gives, on the event loop, why nothing is sent for the time being; empty: go on.
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
        self._tpm = tpm or math.inf
        self._learned = False
        self._without_headers = 0
        self.concurrency = Concurrency(max_in_flight)
        self.pacer = RateLimiter(rpm, tpm)
        self.budget = budget
        self.breaker = CircuitBreaker(retry)
        self.errors = ErrorPolicy(retry, totals, self.breaker)
        self.paused: Callable[[], str] = str

    def wait(self, asking: Request, now: float) -> float:
        """Seconds until the article's request may be sent; infinite until another one ends."""
        if self.paused():
            return _LOOK_AGAIN_S
        if self.errors.resume_at > now:
            return self.errors.resume_at - now
        if self.breaker.open and (wait := self.breaker.wait(now)) > 0:
            return wait
        if self.budget is not None and not self.budget.fits(asking):
            return math.inf
        return self.pacer.ready_in(asking.weigh(), now) if self.pacer.known else 0.0

    def _perhaps_forget(self) -> None:
        """One odd header, from a proxy perhaps, must not slow down a run to its end."""
        self._without_headers += 1
        if self._without_headers >= _ANSWERS_TO_FORGET:
            self._learned = False
            self.pacer.forget()

    def refuse(self, asking: Request) -> LLMError | None:
        """The error for a request that no wait makes room for, if it is one.

        What a header says has to be borne out by rate limits: one garbled header fails nobody.
        """
        largest = self.pacer.largest
        if largest is None or asking.weigh() <= largest:
            return None
        if asking.weigh() <= self._tpm and asking.limits < _TIMES_LIMITED:
            return None
        return RejectedInput(
            "over_quota",
            f"about {asking.tokens:,} tokens with the answer, more than the quota's "
            f"{largest:,.0f} a minute; shorten the article or raise the quota (--tpm)",
        )

    def words(self, now: float) -> str:
        """For people: which limit holds requests back just now; empty if none does."""
        if words := self.paused():
            return words
        if (pause := self.errors.resume_at - now) > 0:
            return f"rate limited, going on in {pause:.0f} s"
        if self.breaker.open:
            return "the endpoint only fails; trying one at a time"
        if self.budget is not None and self.budget.holds_back:
            return "the rest of the budget is reserved"
        return self.pacer.words()

    def take(self, asking: Request, now: float) -> Reservation:
        """A request goes out; gives what is reserved for it until ``answered`` or ``failed``."""
        tokens, usd = 0, 0.0
        if self.pacer.known:
            tokens = asking.weigh()
            self.pacer.take(tokens, now)
        if self.breaker.open:
            self.breaker.sent(asking)
        if self.budget is not None:
            usd = self.budget.hold(asking)
        return Reservation(tokens, usd) if tokens or usd else NO_RESERVATION

    def answered(
        self,
        held: Reservation,
        completion: Completion,
        cost_usd: float,
        latency_s: float,
        now: float,
    ) -> None:
        """A request was answered, at this cost in US dollars."""
        self.errors.answered()
        self.concurrency.answered(latency_s, self._totals.in_flight + 1, now)
        if completion.headers and (headers := rate_headers(completion.headers)):
            self.pacer.learn(headers, now)
            self._without_headers = 0
            self._learned = True
        elif self._learned:
            self._perhaps_forget()
        if held.tokens:
            used = completion.usage.prompt + completion.usage.completion
            # An estimate may be wrong by half; a count that is many times as high is garbled.
            self.pacer.settle(held.tokens, min(used, _MOST_CHARGED * held.tokens), now)
        if self.budget is None:
            return
        if completion.usage == NO_USAGE:
            # It does not say what it bills, so only the worst case is sure to be enough.
            self.budget.lose(held.usd)
        else:
            self.budget.settle(held.usd, cost_usd, completion.usage)

    def failed(
        self, held: Reservation, error: LLMError, cost_usd: float, asking: Request, now: float
    ) -> Verdict:
        """A request ended in an error; gives what to do about it."""
        if error.headers and (headers := rate_headers(error.headers)):
            self.pacer.learn(headers, now)
        if isinstance(error, RateLimited):
            self.concurrency.limited(self._totals.in_flight + 1, now)
            self.pacer.limited(now)
            if held.tokens:
                self.pacer.settle(held.tokens, 0, now)
        if self.budget is not None:
            if may_be_billed(error) and not cost_usd:
                self.budget.lose(held.usd)
            else:
                self.budget.settle(held.usd, cost_usd, error.usage)
        return self.errors.judge(error, asking, now)

    def unused(self, held: Reservation, asking: Request, now: float) -> None:
        """A request was not sent after all."""
        self.breaker.given_up(asking)
        if held.tokens:
            self.pacer.settle(held.tokens, 0, now)
        if self.budget is not None:
            self.budget.settle(held.usd, 0.0, NO_USAGE)

    def given_up(self, held: Reservation, asking: Request) -> None:
        """A request was abandoned: its caller has gone, or its hedge came first."""
        self.breaker.given_up(asking)
        if self.budget is not None:
            self.budget.lose(held.usd)
