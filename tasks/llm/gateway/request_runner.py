"""One request of an article, and what follows from its end: a bill, a result, or another try."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from math import inf

from article_flows.tasks.llm.gateway.queue import RequestQueue
from article_flows.tasks.llm.limits.error_policy import GiveUp, Stop, TryAgain
from article_flows.tasks.llm.limits.limits import NO_RESERVATION, Limits, Reservation
from article_flows.tasks.llm.protocol.chat import NO_USAGE, Completion, Usage
from article_flows.tasks.llm.protocol.errors import LLMError
from article_flows.tasks.llm.protocol.prices import Price
from article_flows.tasks.llm.protocol.request import Request, Result
from article_flows.tasks.llm.protocol.results import Answer, RequestFailed, RunStopped, Totals
from article_flows.tasks.llm.transports.base import Transport

logger = logging.getLogger(__name__)

_STALL_FACTOR, _SHORTEST_STALL_S = 12.0, 5.0
"""A call is given up after 12 times the usual latency without a byte, and not before 5 s: longer
than the slowest call in a hundred takes where that is ten times the usual. An article is given up
so twice at most: its second request gets twice as long, the third the whole timeout."""
_STALL_CHECK_EVERY = 64
_SILENT_BEFORE_DOUBT = 12


class RequestRunner:
    """Sends requests and deals with their ends.

    Args:
        transport: how a request travels.
        price: the model's price; None if unknown.
        limits: told of every end.
        waiting: where an article goes that is tried again.
        totals: the gateway's counts.
        stop: called with the reason when no article can succeed any more.

    Attributes:
        stopped: why nothing more is sent, or None.
        under_way: the articles with a request under way.
    """

    def __init__(
        self,
        transport: Transport,
        price: Price | None,
        limits: Limits,
        waiting: RequestQueue,
        totals: Totals,
        stop: Callable[[str], None],
    ) -> None:
        self.stopped: str | None = None
        self.under_way: set[Request] = set()
        self.price = price
        self._transport = transport
        self._limits = limits
        self._waiting = waiting
        self._totals = totals
        self._stop = stop
        self._until_stall_check = _STALL_CHECK_EVERY
        self._silent_in_a_row = 0

    async def send(self, asking: Request, held: Reservation) -> None:
        """One request of an article, and what follows from its end."""
        totals = self._totals
        asking.attempts += 1
        asking.out += 1
        totals.attempts += 1
        totals.calls += asking.attempts == 1
        totals.in_flight += 1
        self.under_way.add(asking)
        started = asking.sent_at = time.monotonic()
        if totals.first_sent_at is None:
            totals.first_sent_at = started
        ended: Completion | LLMError
        try:
            ended = await self._transport.complete(
                asking.template, asking.user, patience=asking.patience
            )
        except LLMError as error:
            ended = error
        except asyncio.CancelledError:
            self._limits.given_up(held, asking)
            if not asking.settled and asking.out == 1:
                self.leave(asking)
            raise
        except Exception as error:
            self._limits.given_up(held, asking)
            self._unexpected(error, asking)
            return
        finally:
            self._has_ended(asking)
        now = time.monotonic()
        try:
            if isinstance(ended, LLMError):
                self._failed(ended, asking, held, now)
            else:
                self._answered(ended, asking, held, now - started, now)
        except Exception as error:
            self._unexpected(error, asking)

    def _has_ended(self, asking: Request) -> None:
        asking.out -= 1
        self._totals.in_flight -= 1
        if not asking.out:
            self.under_way.discard(asking)

    def _answered(
        self,
        completion: Completion,
        asking: Request,
        held: Reservation,
        latency_s: float,
        now: float,
    ) -> None:
        cost = self._bill(completion.usage, asking)
        self._limits.answered(held, completion, cost, latency_s, now)
        self._learn_stall()
        if asking.settled:
            return
        try:
            fields = asking.parse(completion)
        except LLMError as error:
            # It is billed already, and the endpoint has done its part.
            error.usage = NO_USAGE
            self._failed(error, asking, NO_RESERVATION, now)
            return
        if other := asking.other_lane():
            # Whether the endpoint bills a call that is hung up on is its affair: count it.
            self._bill(completion.usage, asking)
            other.cancel()
        self._totals.answered += 1
        answer = Answer(
            fields=fields,
            finish_reason=completion.finish_reason,
            model=completion.model or asking.template.model,
            usage=asking.usage,
            cost_usd=asking.cost_usd if self.price else None,
            attempts=asking.attempts,
            latency_s=latency_s,
        )
        self.settle(asking, answer)

    def _failed(self, error: LLMError, asking: Request, held: Reservation, now: float) -> None:
        if error.error_class == "timeout" and self._transport.stall_s is not None:
            error.stalled = asking.patience < inf
            self._doubt_the_stall()
        cost = self._bill(error.usage, asking) if error.usage != NO_USAGE else 0.0
        self._totals.errors[error.error_class] += 1
        verdict = self._limits.failed(held, error, cost, asking, now)
        if isinstance(verdict, Stop):
            self._stop(verdict.reason)
        if asking.settled or asking.out:
            return  # nobody waits for it, or its hedge may still be answered
        if self.stopped and not isinstance(verdict, GiveUp):
            self.leave(asking)
        elif isinstance(verdict, TryAgain) and verdict.rest_s:
            self._waiting.rest(asking, now + verdict.rest_s)
        elif isinstance(verdict, TryAgain):
            self._waiting.again(asking)
        elif isinstance(verdict, GiveUp):
            self.settle(asking, self.unanswered(verdict.error, asking))

    def _unexpected(self, error: Exception, asking: Request) -> None:
        """A bug, or an endpoint beyond all expectation: it costs one article and not the run."""
        logger.exception("an article met what nobody thought of")
        # Its text may hold anything, the key too.
        message = f"{type(error).__name__}; the log has the whole of it"
        self.settle(asking, self.unanswered(LLMError("unexpected", message), asking))

    def settle(self, asking: Request, result: Result) -> None:
        """Hand an article's result over, unless it has one."""
        if asking.settled:
            return
        asking.settled = True
        try:
            asking.receiver.receive(asking, result)
        except Exception:
            # A lane serves all articles: it must outlive what one receiver does.
            logger.exception("a result could not be handed over")

    def _learn_stall(self) -> None:
        """Now and then, bring the time without a byte after which a call is cut up to date."""
        self._silent_in_a_row = 0
        self._until_stall_check -= 1
        if self._until_stall_check <= 0:
            self._until_stall_check = _STALL_CHECK_EVERY
            if usual_s := self._limits.concurrency.usual_s:
                self._transport.stall_s = max(_STALL_FACTOR * usual_s, _SHORTEST_STALL_S)

    def leave(self, asking: Request) -> None:
        """Tell whoever asked that nothing more is sent: the article is left to do."""
        self.settle(asking, RunStopped(self.stopped or "the run has ended"))

    def _doubt_the_stall(self) -> None:
        """If only silent calls end, the endpoint has become slow: wait as long as it takes."""
        self._silent_in_a_row += 1
        if self._silent_in_a_row >= _SILENT_BEFORE_DOUBT:
            self._transport.stall_s = None
            self._until_stall_check = _STALL_CHECK_EVERY

    def unanswered(self, error: LLMError, asking: Request) -> RequestFailed:
        """The failure of an article, with what its attempts cost."""
        cost = asking.cost_usd if self.price else None
        return RequestFailed(error, asking.attempts, asking.usage, cost)

    def _bill(self, usage: Usage, asking: Request) -> float:
        """Put a request on the bill of the article and of the run; gives its US dollars."""
        # Call by call: the price of a token may go by the length of the prompt.
        cost = self.price.cost(usage) if self.price else 0.0
        asking.usage = usage if asking.usage is NO_USAGE else asking.usage + usage
        asking.cost_usd += cost
        self._totals.bill(usage, cost)
        return cost
