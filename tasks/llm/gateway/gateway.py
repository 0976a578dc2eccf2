"""The gateway: every call of a run goes through it, and it alone decides when and how often.

A fixed crew of lanes, as many as may be in flight, each takes the next article, sends its
request, hands the result over and goes on: no task, timer or lock for each article. What rests
after a fault or waits for a limit holds no lane; one shared timer wakes the gateway for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import time
from collections.abc import Callable, Sequence

from article_flows.tasks.llm.gateway.hedging import Hedging
from article_flows.tasks.llm.gateway.queue import RequestQueue
from article_flows.tasks.llm.gateway.request_runner import RequestRunner
from article_flows.tasks.llm.gateway.timer import Timer
from article_flows.tasks.llm.limits.budget import Budget
from article_flows.tasks.llm.limits.limits import Limits, Reservation
from article_flows.tasks.llm.limits.retry_policy import RetryPolicy
from article_flows.tasks.llm.protocol.errors import LLMError
from article_flows.tasks.llm.protocol.prices import Price
from article_flows.tasks.llm.protocol.request import Request
from article_flows.tasks.llm.protocol.results import Totals
from article_flows.tasks.llm.transports.base import Transport

_PROBES = 3
_LEAST_WAITING = 64


class Gateway:
    """All calls of one run to one endpoint, on one event loop.

    Args:
        transport: how a request travels.
        max_in_flight: requests under way at once, over all batches; fewer where the endpoint
            shows that it has no room for more.
        price: the model's price; None if unknown (costs are then None).
        retry: bounds for trying again.
        rpm, tpm: requests and tokens a minute; None: learned from the endpoint's headers.
        budget_usd: US dollars that the calls may cost together; None: no bound.
        hedge: whether a second copy may be sent of the last calls, if they take long.

    Raises:
        ValueError: a budget without a price.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        max_in_flight: int,
        price: Price | None,
        retry: RetryPolicy | None = None,
        rpm: float | None = None,
        tpm: float | None = None,
        budget_usd: float | None = None,
        hedge: bool = False,
    ) -> None:
        if budget_usd is not None and price is None:
            raise ValueError("a budget needs a price")
        self.totals = Totals()
        self.price = price
        self.waiting = RequestQueue(self._wanted)
        self.budget_spent = False
        self.transport = transport
        self._retry = retry or RetryPolicy()
        self.limits = Limits(
            max_in_flight=max_in_flight,
            rpm=rpm,
            tpm=tpm,
            budget=Budget(budget_usd, price) if budget_usd is not None and price else None,
            retry=self._retry,
            totals=self.totals,
        )
        # With the article and the reservation of those that have not begun yet.
        self._lanes: dict[asyncio.Task[None], tuple[Request, Reservation] | None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm = Timer(self._fill)
        self._calls = RequestRunner(
            transport, price, self.limits, self.waiting, self.totals, self.stop
        )
        self._hedging = (
            Hedging(self._hedge, self.limits.concurrency, self.totals) if hedge else None
        )

    @property
    def stopped(self) -> str | None:
        """Why the run has to stop, or None."""
        return self._calls.stopped

    def stop(self, reason: str) -> None:
        """Send nothing more; calls under way are still taken in. May be called in any thread."""
        self._calls.stopped = self._calls.stopped or reason
        self.call_soon(self._dismiss)

    def call_soon(self, function: Callable[[], None]) -> None:
        """Have a function called on the gateway's event loop, from any thread.

        It is not called if nothing was ever submitted, or if the loop is closed by now.
        """
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function)

    def state_words(self) -> str:
        """For people: how many requests are under way, and what keeps more from being sent."""
        held = self.limits.words(time.monotonic())
        return f"{self.totals.in_flight:,} in flight" + (f" ({held})" if held else "")

    async def probe(self) -> None:
        """See with one free call whether the endpoint is there and takes the key."""
        for failures in range(1, _PROBES + 1):
            try:
                return await self.transport.probe()
            except LLMError as error:
                # A name server's hiccup must not end a nightly run before it began.
                if error.error_class != "connection" or failures == _PROBES or self._calls.stopped:
                    return self.stop(error.message)
            await asyncio.sleep(self._retry.pause(failures))
        return None

    async def close(self) -> None:
        """Give up what is under way, and the connections back."""
        self._alarm.stop()
        if self._hedging is not None:
            self._hedging.stop()
        lanes = list(self._lanes)
        for lane in lanes:
            lane.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)
        self._dismiss()
        await self.transport.close()

    def submit(self, askings: Sequence[Request]) -> None:
        """Queue articles; each one's receiver gets its result. Only on the event loop."""
        self._loop = asyncio.get_running_loop()
        self.waiting.add(askings)
        if self._calls.stopped:
            self._dismiss()
        self._fill()

    def no_more(self) -> None:
        """All articles have been submitted: the last ones may be hedged. On the event loop."""
        if self._hedging is not None:
            self._hedging.watch(self._last_under_way)

    def _last_under_way(self) -> list[Request]:
        return list(self._calls.under_way) if self.waiting.exhausted else []

    def _hedge(self, asking: Request) -> bool:
        """Send a second copy of a request; False if a limit forbids it."""
        now = time.monotonic()
        if self._calls.stopped or self._crew_is_full() or self.limits.wait(asking, now) > 0:
            return False
        self.totals.hedges += 1
        asking.hedge_lane = self._start_lane(asking, now)
        return True

    def _wanted(self) -> float:
        """How many articles may wait: enough for the lanes until the next are read."""
        if self._calls.stopped:
            return math.inf  # they are told at once that nothing is sent
        return max(self.limits.concurrency.limit, _LEAST_WAITING)

    def _crew_is_full(self) -> bool:
        return len(self._lanes) >= self.limits.concurrency.limit

    def _fill(self) -> None:
        """Start lanes for the articles that wait, as far as the limits allow."""
        now = time.monotonic()
        while not self._crew_is_full() and (asking := self._next(now)):
            self._start_lane(asking, now)

    def _start_lane(self, asking: Request, now: float) -> asyncio.Task[None]:
        held = self.limits.take(asking, now)
        coroutine = self._lane(asking, held)
        # In a context of its own: a lane outlives the task run that happened to start it.
        lane = asyncio.get_running_loop().create_task(coroutine, context=contextvars.Context())
        self._lanes[lane] = (asking, held)
        lane.add_done_callback(self._lane_ended)
        return lane

    def _lane_ended(self, lane: asyncio.Task[None]) -> None:
        if not_begun := self._lanes.pop(lane):
            asking, held = not_begun
            self.limits.unused(held, asking, time.monotonic())
            if not asking.out:
                self._calls.leave(asking)
        self._fill()

    async def _lane(self, asking: Request | None, held: Reservation) -> None:
        """Send one article's request after the other while there is room for this lane."""
        me: asyncio.Task[None] = asyncio.current_task()  # type: ignore[assignment]  # in a task
        self._lanes[me] = None
        while asking is not None:
            if asking.settled:  # by the request that this was to be the second copy of
                self.limits.unused(held, asking, time.monotonic())
            else:
                if asking.out == 0:
                    asking.lane = me
                await self._calls.send(asking, held)
            if len(self._lanes) > self.limits.concurrency.limit:
                return
            now = time.monotonic()
            asking = self._next(now)
            if asking is not None:
                held = self.limits.take(asking, now)
                if not self._crew_is_full():
                    self._fill()

    def _next(self, now: float) -> Request | None:
        """Take out the article whose turn it is, if every limit lets it go now."""
        waiting = self.waiting
        if self._calls.stopped:
            # Those who wait are about to be told, or this came before anybody waited.
            self._dismiss()
            return None
        while asking := waiting.first(now):
            if self.limits.pacer.known and (error := self.limits.refuse(asking)):
                waiting.take_first()
                self._calls.settle(asking, self._calls.unanswered(error, asking))
                continue
            wait = self.limits.wait(asking, now)
            if wait > 0:
                self._hold_back(wait)
                return None
            waiting.take_first()
            return asking
        if (due := waiting.next_rest_ends) is not None:
            self._alarm.ring_in(due - now)
        return None

    def _hold_back(self, wait: float) -> None:
        """A limit says no: come again when it may say yes, or see that it never will."""
        budget = self.limits.budget
        if self._retry.patience_s < wait < math.inf and not self.totals.in_flight:
            self.stop(
                f"the endpoint's quota leaves no room for {wait / 60:,.0f} minutes "
                "(by its x-ratelimit headers, or by --rpm and --tpm); run again then"
            )
        elif wait < math.inf:
            self._alarm.ring_in(wait)
        elif budget is not None and not budget.under_way and not self.limits.breaker.probing:
            # What is under way has been settled, so no more than this is ever free again.
            if self.waiting.bring_forward(budget.fits):
                self._alarm.ring_in(0)
            else:
                self.budget_spent = True
                worst = [budget.worst_case(one.template, one.user) for one in self.waiting]
                self.stop(budget.spent_words(min(worst)))

    def _dismiss(self) -> None:
        """Tell all who wait that nothing more is sent."""
        for asking in self.waiting.clear():
            self._calls.leave(asking)
