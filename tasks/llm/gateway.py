"""The gateway: every call of a run goes through it, and it alone decides when and how often.

It owns the in-flight gate, the shared cooldown, the retries and the bill. It answers with an
Answer or raises Unanswered (this article has failed) or RunStopped (no article can succeed).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from tasks.llm.answers import Answer, Parse, RunStopped, Totals, Unanswered
from tasks.llm.chat import NO_USAGE, ChatTemplate, Completion, Usage
from tasks.llm.errors import EndpointRefused, LLMError, RateLimited, Transient, UnusableAnswer
from tasks.llm.prices import Price
from tasks.llm.retry import RetryPolicy
from tasks.llm.transport import Transport

_BAD_REQUESTS_BEFORE_STOP = 10
_DOWN_AFTER_S = 60.0
_PROBES = 3
# How late a waiting call may notice that the run has stopped; stop() may be called in any thread.
_TICK_S = 1.0


@dataclass
class _Asking:
    """One article on its way: what was tried and spent so far."""

    attempts: int = 0
    faults: int = 0
    asks: int = 0
    doubled: bool = False
    usage: Usage = NO_USAGE
    cost_usd: float = 0.0


class Gateway:
    """All calls of one process to one endpoint, on one event loop.

    Args:
        transport: how a request travels.
        max_in_flight: requests under way at once, over all batches.
        price: the model's price; None if unknown (costs are then None).
        retry: bounds for trying again.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        max_in_flight: int,
        price: Price | None,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.totals = Totals()
        self.price = price
        self._transport = transport
        self._retry = retry or RetryPolicy()
        self._gate = asyncio.Semaphore(max_in_flight)
        self._cooldown_until = 0.0
        self._limited_in_a_row = 0
        self._trouble_since: float | None = None
        self._stopped: str | None = None

    @property
    def stopped(self) -> str | None:
        """Why the run has to stop, or None."""
        return self._stopped

    def stop(self, reason: str) -> None:
        """Send nothing more; calls under way are still taken in."""
        self._stopped = self._stopped or reason

    async def probe(self) -> None:
        """See with one free call whether the endpoint is there and takes the key."""
        for failures in range(1, _PROBES + 1):
            try:
                return await self._transport.probe()
            except LLMError as error:
                # A name server's hiccup must not end a nightly run before it began.
                if error.error_class != "connection" or failures == _PROBES:
                    return self.stop(error.message)
            await self._rest(self._retry.pause(failures))
        return None

    async def close(self) -> None:
        """Give the connections back."""
        await self._transport.close()

    async def ask(self, template: ChatTemplate, user: str, parse: Parse) -> Answer:
        """One article's answer.

        Raises:
            Unanswered: this article has failed.
            RunStopped: nothing more is sent; the article is left to do.
        """
        asking = _Asking()
        while True:
            try:
                completion, latency_s = await self._send(template, user, asking)
                fields = parse(completion)
            except LLMError as error:
                template = await self._after(error, template, asking)
            else:
                self.totals.answered += 1
                return Answer(
                    fields=fields,
                    finish_reason=completion.finish_reason,
                    model=completion.model or template.model,
                    usage=asking.usage,
                    cost_usd=self._cost(asking),
                    attempts=asking.attempts,
                    latency_s=latency_s,
                )

    async def _send(
        self, template: ChatTemplate, user: str, asking: _Asking
    ) -> tuple[Completion, float]:
        async with self._gate:
            await self._cool_down()
            if self._stopped:
                raise RunStopped(self._stopped)
            asking.attempts += 1
            self.totals.attempts += 1
            self.totals.calls += asking.attempts == 1
            self.totals.in_flight += 1
            started = time.monotonic()
            try:
                completion = await self._transport.complete(template, user)
            except LLMError as error:
                if error.usage != NO_USAGE:
                    self._bill(error.usage, asking)
                raise
            finally:
                self.totals.in_flight -= 1
        self._bill(completion.usage, asking)
        self._trouble_since = None
        self._limited_in_a_row = 0
        return completion, time.monotonic() - started

    async def _cool_down(self) -> None:
        """Wait until the shared cooldown is over; others may have made it longer meanwhile."""
        while (left := self._cooldown_until - time.monotonic()) > 0 and not self._stopped:
            await asyncio.sleep(min(left, _TICK_S))

    async def _rest(self, seconds: float) -> None:
        """Wait outside the gate, but no longer than until the run stops."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stopped:
            await asyncio.sleep(min(left, _TICK_S))

    async def _after(
        self, error: LLMError, template: ChatTemplate, asking: _Asking
    ) -> ChatTemplate:
        """Wait as the error demands, then say with which template to try again, or raise."""
        self.totals.errors[error.error_class] += 1
        match error:
            case EndpointRefused():
                self.stop(error.message)
                raise RunStopped(self._stopped)
            case RateLimited():
                self._slow_down(error)
                return template
            case Transient():
                await self._back_off(error, asking)
                return template
            case UnusableAnswer() if self._may_ask_again(error, asking):
                if error.error_class != "cut_off":
                    return template
                asking.doubled = True
                return template.with_limit(2 * template.max_output_tokens)
            case _:
                self._trouble_since = None
                self._doubt_if_all_are_refused(error)
                raise self._unanswered(error, asking)

    def _slow_down(self, error: RateLimited) -> None:
        """One cooldown for everyone; a limit that lasts for ever ends the run."""
        if self._silent_s() + (error.retry_after or 0.0) > self._retry.patience_s:
            minutes = self._retry.patience_s / 60
            self.stop(
                f"rate limited, and no answer in sight for {minutes:.0f} minutes "
                f"({error.message}); run again later or raise the limit"
            )
        now = time.monotonic()
        if self._cooldown_until < now:
            self._limited_in_a_row += 1
            # Never shorter than the backoff: a server that asks to wait 0 s would be hammered.
            pause = self._retry.pause(self._limited_in_a_row, error.retry_after)
            self._cooldown_until = now + pause
        elif error.retry_after is not None:
            self._cooldown_until = max(self._cooldown_until, now + error.retry_after)

    async def _back_off(self, error: Transient, asking: _Asking) -> None:
        asking.faults += 1
        silent_s = self._silent_s()
        out_of_attempts = asking.faults >= self._retry.attempts
        down = not self.totals.answered or silent_s > _DOWN_AFTER_S
        hopeless = silent_s + (error.retry_after or 0.0) > self._retry.patience_s
        if hopeless or (out_of_attempts and down):
            self.stop(f"the endpoint does not answer: {error.message}; run again when it does")
            raise RunStopped(self._stopped)
        if out_of_attempts:
            raise self._unanswered(error, asking)
        await self._rest(self._retry.pause(asking.faults, error.retry_after))

    def _silent_s(self) -> float:
        """Seconds since the first fault or rate limit that no answer has followed."""
        now = time.monotonic()
        self._trouble_since = now if self._trouble_since is None else self._trouble_since
        return now - self._trouble_since

    def _may_ask_again(self, error: UnusableAnswer, asking: _Asking) -> bool:
        asking.asks += 1
        if error.error_class == "cut_off" and asking.doubled:
            # The same cap would most likely cut the same answer off again.
            return False
        budget = self._retry.reask_floor + self._retry.reask_share * self.totals.answered
        if asking.asks >= self._retry.asks or self.totals.reasks >= budget:
            return False
        self.totals.reasks += 1
        return True

    def _doubt_if_all_are_refused(self, error: LLMError) -> None:
        """A request that no article gets through is wrong in itself, and no article's fault."""
        if error.error_class != "bad_request" or self.totals.answered:
            return
        error.error_class = "request_refused"
        if self.totals.errors["bad_request"] >= _BAD_REQUESTS_BEFORE_STOP:
            self.stop(f"the endpoint refuses every request: {error.message}; check the recipe")

    def _unanswered(self, error: LLMError, asking: _Asking) -> Unanswered:
        return Unanswered(error, asking.attempts, asking.usage, self._cost(asking))

    def _bill(self, usage: Usage, asking: _Asking) -> None:
        # Call by call: the price of a token may go by the length of the prompt.
        cost = self.price.cost(usage) if self.price else 0.0
        asking.usage += usage
        asking.cost_usd += cost
        self.totals.usage += usage
        self.totals.cost_usd += cost

    def _cost(self, asking: _Asking) -> float | None:
        return asking.cost_usd if self.price else None
