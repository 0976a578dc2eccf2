"""Send single requests and process how they end: a bill, a result or a retry."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from math import inf

from article_flows.tasks.llm.gateway.queue import RequestQueue
from article_flows.tasks.llm.limits.error_policy import Fail, Retry, StopRun
from article_flows.tasks.llm.limits.limits import NO_RESERVATION, Limits, Reservation
from article_flows.tasks.llm.protocol.chat import NO_USAGE, Completion, Usage
from article_flows.tasks.llm.protocol.errors import LLMError
from article_flows.tasks.llm.protocol.prices import Price
from article_flows.tasks.llm.protocol.request import Request, Result
from article_flows.tasks.llm.protocol.results import Answer, RequestFailed, RunStopped, Totals
from article_flows.tasks.llm.transports.base import Transport

logger = logging.getLogger(__name__)

_STALL_LATENCY_RATIO, _MIN_STALL_TIMEOUT_S = 12.0, 5.0
"""A request is cancelled after 12 times the median latency without a byte, and at least 5 s: more
than the slowest percent of requests take even if those are ten times slower. This happens to an
article at most twice: its second request gets twice the time, its third the whole timeout."""
_ANSWERS_PER_STALL_UPDATE = 64
_STALLS_TO_LIFT_TIMEOUT = 12


class RequestRunner:
    """A runner of single requests, which processes how they end.

    Args:
        transport: Sends a single request.
        price: The model's price; None if unknown.
        limits: Notified of how every request ends.
        queue: Where retries are added.
        totals: The gateway's counts.
        stop: Called with the reason when no request can succeed any more.

    Attributes:
        stopped: Why no more requests are sent, or None.
        in_flight: The articles with a request in flight.
    """

    def __init__(
        self,
        transport: Transport,
        price: Price | None,
        limits: Limits,
        queue: RequestQueue,
        totals: Totals,
        stop: Callable[[str], None],
    ) -> None:
        self.stopped: str | None = None
        self.in_flight: set[Request] = set()
        self.price = price
        self._transport = transport
        self._limits = limits
        self._queue = queue
        self._totals = totals
        self._stop = stop
        self._answers_to_stall_update = _ANSWERS_PER_STALL_UPDATE
        self._consecutive_stalls = 0

    async def send(self, request: Request, reservation: Reservation) -> None:
        """Send a request once and process how it ends."""
        totals = self._totals
        request.attempts += 1
        request.in_flight += 1
        totals.attempts += 1
        totals.calls += request.attempts == 1
        totals.in_flight += 1
        self.in_flight.add(request)
        started = request.sent_at = time.monotonic()
        if totals.first_sent_at is None:
            totals.first_sent_at = started
        outcome: Completion | LLMError
        try:
            outcome = await self._transport.complete(
                request.template, request.user, stall_timeout_factor=request.stall_timeout_factor
            )
        except LLMError as error:
            outcome = error
        except asyncio.CancelledError:
            self._limits.record_cancelled(reservation, request)
            if not request.settled and request.in_flight == 1:
                self.leave_unanswered(request)
            raise
        except Exception as error:
            self._limits.record_cancelled(reservation, request)
            self._on_unexpected_error(error, request)
            return
        finally:
            self._mark_ended(request)
        now = time.monotonic()
        try:
            if isinstance(outcome, LLMError):
                self._on_error(outcome, request, reservation, now)
            else:
                self._on_answer(outcome, request, reservation, now - started, now)
        except Exception as error:
            self._on_unexpected_error(error, request)

    def settle(self, request: Request, result: Result) -> None:
        """Pass the result of a request to its receiver, unless it already has one."""
        if request.settled:
            return
        request.settled = True
        try:
            request.receiver.receive(request, result)
        except Exception:
            # A worker serves all articles, so it must survive a failing receiver.
            logger.exception("could not deliver the result of a request")

    def leave_unanswered(self, request: Request) -> None:
        """Settle a request that will not be sent: the article stays to do for a later run."""
        self.settle(request, RunStopped(self.stopped or "the run has ended"))

    def failure(self, error: LLMError, request: Request) -> RequestFailed:
        """Return the failure of a request, with the cost of all its attempts."""
        cost = request.cost_usd if self.price else None
        return RequestFailed(error, request.attempts, request.usage, cost)

    def _mark_ended(self, request: Request) -> None:
        request.in_flight -= 1
        self._totals.in_flight -= 1
        if not request.in_flight:
            self.in_flight.discard(request)

    def _on_answer(
        self,
        completion: Completion,
        request: Request,
        reservation: Reservation,
        latency_s: float,
        now: float,
    ) -> None:
        cost = self._bill(completion.usage, request)
        self._limits.record_answer(reservation, completion, cost, latency_s, now)
        self._update_stall_timeout()
        if request.settled:
            return
        try:
            fields = request.parse(completion)
        except LLMError as error:
            # Already billed, and not the endpoint's failure.
            error.usage = NO_USAGE
            self._on_error(error, request, NO_RESERVATION, now)
            return
        if other := request.other_worker():
            # The endpoint may bill a request that is cancelled in flight, so count its cost.
            self._bill(completion.usage, request)
            other.cancel()
        self._totals.answered += 1
        answer = Answer(
            fields=fields,
            finish_reason=completion.finish_reason,
            model=completion.model or request.template.model,
            usage=request.usage,
            cost_usd=request.cost_usd if self.price else None,
            attempts=request.attempts,
            latency_s=latency_s,
        )
        self.settle(request, answer)

    def _on_error(
        self, error: LLMError, request: Request, reservation: Reservation, now: float
    ) -> None:
        if error.error_class == "timeout" and self._transport.stall_timeout_s is not None:
            error.stalled = request.stall_timeout_factor < inf
            self._record_stall()
        cost = self._bill(error.usage, request) if error.usage != NO_USAGE else 0.0
        self._totals.errors[error.error_class] += 1
        action = self._limits.record_error(reservation, error, cost, request, now)
        if isinstance(action, StopRun):
            self._stop(action.reason)
        if request.settled or request.in_flight:
            return  # Nobody waits for it any more, or its copy may still be answered.
        if self.stopped and not isinstance(action, Fail):
            self.leave_unanswered(request)
        elif isinstance(action, Retry) and action.delay_s:
            self._queue.delay_retry(request, now + action.delay_s)
        elif isinstance(action, Retry):
            self._queue.add_retry(request)
        elif isinstance(action, Fail):
            self.settle(request, self.failure(action.error, request))

    def _on_unexpected_error(self, error: Exception, request: Request) -> None:
        """Fail one article, and not the run, on a bug or an unforeseen response."""
        logger.exception("unexpected error while processing a request")
        # The error's own text may contain anything, including the key.
        message = f"{type(error).__name__}; see the log for details"
        self.settle(request, self.failure(LLMError("unexpected", message), request))

    def _update_stall_timeout(self) -> None:
        self._consecutive_stalls = 0
        self._answers_to_stall_update -= 1
        if self._answers_to_stall_update <= 0:
            self._answers_to_stall_update = _ANSWERS_PER_STALL_UPDATE
            if median_latency_s := self._limits.concurrency.median_latency_s:
                self._transport.stall_timeout_s = max(
                    _STALL_LATENCY_RATIO * median_latency_s, _MIN_STALL_TIMEOUT_S
                )

    def _record_stall(self) -> None:
        """Lift the stall timeout if requests only stall: the endpoint has become slow."""
        self._consecutive_stalls += 1
        if self._consecutive_stalls >= _STALLS_TO_LIFT_TIMEOUT:
            self._transport.stall_timeout_s = None
            self._answers_to_stall_update = _ANSWERS_PER_STALL_UPDATE

    def _bill(self, usage: Usage, request: Request) -> float:
        """Add a request to the bill of its article and of the run; return US dollars."""
        # Per request, because the price of a token may depend on the length of the prompt.
        cost = self.price.cost(usage) if self.price else 0.0
        request.usage = usage if request.usage is NO_USAGE else request.usage + usage
        request.cost_usd += cost
        self._totals.bill(usage, cost)
        return cost
