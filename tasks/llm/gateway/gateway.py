"""The gateway: every request of a run goes through it, and only it decides when to send one.

A pool of workers, as many as requests may be in flight, each takes the next article, sends its
request and delivers the result. No article needs a task, timer or lock of its own, and one that
waits for a retry or a limit occupies no worker: a shared timer wakes the gateway for it.
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

_PROBE_ATTEMPTS = 3
_MIN_QUEUE_LENGTH = 64


class Gateway:
    """A gateway to one endpoint, for all requests of a run, on one event loop.

    Args:
        transport: Sends a single request.
        max_in_flight: Upper bound of the requests in flight, over all batches; fewer are sent if
            the endpoint cannot take that many.
        price: The model's price; None if unknown (costs are then None).
        retry: Bounds for retries.
        rpm: Requests per minute; None to learn the limit from the endpoint's headers.
        tpm: Tokens per minute; None to learn the limit from the endpoint's headers.
        budget_usd: What the run may spend, in US dollars; None for no bound.
        hedge: Whether to send a second copy of slow requests at the end of the run.

    Attributes:
        totals: Running counts.
        budget_spent: Whether the run stopped because of its budget.

    Raises:
        ValueError: A budget without a price.
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
        self.queue = RequestQueue(self._target_queue_length)
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
        # The request that each worker starts with; None once it has begun.
        self._workers: dict[asyncio.Task[None], tuple[Request, Reservation] | None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer = Timer(self._start_workers)
        self._runner = RequestRunner(
            transport, price, self.limits, self.queue, self.totals, self.stop
        )
        self._hedging = (
            Hedging(self._send_hedge, self.limits.concurrency, self.totals) if hedge else None
        )

    @property
    def stopped(self) -> str | None:
        """Why the run has stopped, or None."""
        return self._runner.stopped

    def stop(self, reason: str) -> None:
        """Send no more requests; those in flight still complete. Thread-safe."""
        self._runner.stopped = self._runner.stopped or reason
        self.call_soon(self._clear_queue)

    def call_soon(self, function: Callable[[], None]) -> None:
        """Call a function on the gateway's event loop. Thread-safe.

        Does nothing if no request was ever submitted, or if the loop is closed.
        """
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function)

    def describe_state(self) -> str:
        """Return how many requests are in flight and what holds others back, in words."""
        reason = self.limits.describe_wait(time.monotonic())
        return f"{self.totals.in_flight:,} in flight" + (f" ({reason})" if reason else "")

    async def probe(self) -> None:
        """Check with a free call that the endpoint is reachable and accepts the key.

        Stops the run otherwise.
        """
        for failures in range(1, _PROBE_ATTEMPTS + 1):
            try:
                return await self.transport.probe()
            except LLMError as error:
                # A DNS hiccup must not end a nightly run before it begins.
                is_connection = error.error_class == "connection"
                if not is_connection or failures == _PROBE_ATTEMPTS or self._runner.stopped:
                    return self.stop(error.message)
            await asyncio.sleep(self._retry.backoff(failures))
        return None

    async def close(self) -> None:
        """Cancel requests in flight and close the connections."""
        self._timer.cancel()
        if self._hedging is not None:
            self._hedging.stop()
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        self._clear_queue()
        await self.transport.close()

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests; each one's receiver gets its result. Call on the event loop."""
        self._loop = asyncio.get_running_loop()
        self.queue.add(requests)
        if self._runner.stopped:
            self._clear_queue()
        self._start_workers()

    def finish_submitting(self) -> None:
        """Allow hedging: all requests have been submitted. Call on the event loop."""
        if self._hedging is not None:
            self._hedging.start(self._last_in_flight)

    def _last_in_flight(self) -> list[Request]:
        return list(self._runner.in_flight) if self.queue.exhausted else []

    def _send_hedge(self, request: Request) -> bool:
        """Send a second copy of a request; return False if a limit forbids it."""
        now = time.monotonic()
        if (
            self._runner.stopped
            or self._pool_is_full()
            or self.limits.seconds_until_ready(request, now) > 0
        ):
            return False
        self.totals.hedges += 1
        request.hedge_worker = self._start_worker(request, now)
        return True

    def _target_queue_length(self) -> float:
        if self._runner.stopped:
            return math.inf  # Nothing is sent, so requests leave the queue at once.
        return max(self.limits.concurrency.limit, _MIN_QUEUE_LENGTH)

    def _pool_is_full(self) -> bool:
        return len(self._workers) >= self.limits.concurrency.limit

    def _start_workers(self) -> None:
        """Start workers for queued requests, as far as the limits allow."""
        now = time.monotonic()
        while not self._pool_is_full() and (request := self._next_request(now)):
            self._start_worker(request, now)

    def _start_worker(self, request: Request, now: float) -> asyncio.Task[None]:
        reservation = self.limits.reserve(request, now)
        coroutine = self._work(request, reservation)
        # A context of its own, because a worker outlives the task run that happens to start it.
        worker = asyncio.get_running_loop().create_task(coroutine, context=contextvars.Context())
        self._workers[worker] = (request, reservation)
        worker.add_done_callback(self._on_worker_end)
        return worker

    def _on_worker_end(self, worker: asyncio.Task[None]) -> None:
        if not_begun := self._workers.pop(worker):
            request, reservation = not_begun
            self.limits.release(reservation, request, time.monotonic())
            if not request.in_flight:
                self._runner.leave_unanswered(request)
        self._start_workers()

    async def _work(self, request: Request | None, reservation: Reservation) -> None:
        """Send one request after another while the limit has room for this worker."""
        worker: asyncio.Task[None] = asyncio.current_task()  # type: ignore[assignment]  # in a task
        self._workers[worker] = None
        while request is not None:
            if request.settled:  # The request that this one is a copy of was answered first.
                self.limits.release(reservation, request, time.monotonic())
            else:
                if request.in_flight == 0:
                    request.worker = worker
                await self._runner.send(request, reservation)
            if len(self._workers) > self.limits.concurrency.limit:
                return
            now = time.monotonic()
            request = self._next_request(now)
            if request is not None:
                reservation = self.limits.reserve(request, now)
                if not self._pool_is_full():
                    self._start_workers()

    def _next_request(self, now: float) -> Request | None:
        """Take the next request out of the queue if every limit allows it now."""
        queue = self.queue
        if self._runner.stopped:
            self._clear_queue()
            return None
        while request := queue.peek(now):
            if self.limits.rate_limiter.has_limits and (error := self.limits.quota_error(request)):
                queue.pop()
                self._runner.settle(request, self._runner.failure(error, request))
                continue
            wait = self.limits.seconds_until_ready(request, now)
            if wait > 0:
                self._wait_or_stop(wait)
                return None
            queue.pop()
            return request
        if (retry_at := queue.next_retry_at) is not None:
            self._timer.start(retry_at - now)
        return None

    def _wait_or_stop(self, wait: float) -> None:
        """Start the timer for when a limit may allow a request; stop the run if none ever will."""
        budget = self.limits.budget
        if self._retry.no_answer_timeout_s < wait < math.inf and not self.totals.in_flight:
            self.stop(
                f"the endpoint's quota leaves no room for {wait / 60:,.0f} minutes "
                "(by its x-ratelimit headers, or by --rpm and --tpm); run again then"
            )
        elif wait < math.inf:
            self._timer.start(wait)
        elif (
            budget is not None and not budget.in_flight and not self.limits.breaker.probe_in_flight
        ):
            # Nothing is reserved, so the budget will never have more left than now.
            if self.queue.bring_forward(budget.fits):
                self._timer.start(0)
            else:
                self.budget_spent = True
                worst_cases = [
                    budget.worst_case_usd(each.template, each.user) for each in self.queue
                ]
                self.stop(budget.exhausted_message(min(worst_cases)))

    def _clear_queue(self) -> None:
        for request in self.queue.clear():
            self._runner.leave_unanswered(request)
