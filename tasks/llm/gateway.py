"""The gateway: every call of a run goes through it, and it alone decides when and how often.

It owns the in-flight gate, the shared cooldown, the retries and the bill. It answers with an
Answer or raises Unanswered (this article has failed) or RunStopped (no article can succeed).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tasks.llm.chat import NO_USAGE, ChatTemplate, Completion, Usage
from tasks.llm.errors import (
    EndpointRefused,
    LLMError,
    RateLimited,
    Transient,
    UnusableAnswer,
)
from tasks.llm.prices import Price
from tasks.llm.retry import RetryPolicy
from tasks.llm.transport import Transport

Parse = Callable[[Completion], dict[str, Any]]
"""From a completion to the recipe's fields; raises UnusableAnswer."""

_BAD_REQUESTS_BEFORE_STOP = 10
_DOWN_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A usable answer and what all the calls for it cost.

    Tokens and ``cost_usd`` (US dollars, None if the model's price is unknown) include the
    failed attempts; ``latency_s`` is the seconds of the call that succeeded.
    """

    fields: dict[str, Any]
    finish_reason: str
    model: str
    usage: Usage
    cost_usd: float | None
    attempts: int
    latency_s: float


class Unanswered(Exception):
    """An article that has failed: the last error, and what the attempts cost."""

    def __init__(
        self, error: LLMError, attempts: int, usage: Usage, cost_usd: float | None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.attempts = attempts
        self.usage = usage
        self.cost_usd = cost_usd


class RunStopped(Exception):
    """No call can succeed until somebody acts; the message says what to do."""


@dataclass
class Totals:
    """Running counts of a gateway; tokens and US dollars include failed attempts.

    ``calls`` counts articles that were asked about, ``attempts`` the requests sent for them.
    """

    calls: int = 0
    attempts: int = 0
    answered: int = 0
    reasks: int = 0
    in_flight: int = 0
    usage: Usage = NO_USAGE
    cost_usd: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)


@dataclass
class _Asking:
    """One article on its way: what was tried and spent so far."""

    attempts: int = 0
    faults: int = 0
    asks: int = 0
    usage: Usage = NO_USAGE


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
        self._last_sign_of_life = time.monotonic()
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
        try:
            await self._transport.probe()
        except LLMError as error:
            self.stop(error.message)

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
                    cost_usd=self._cost(asking.usage),
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
                self._bill(error.usage, asking)
                raise
            finally:
                self.totals.in_flight -= 1
        self._bill(completion.usage, asking)
        self._last_sign_of_life = time.monotonic()
        self._limited_in_a_row = 0
        return completion, self._last_sign_of_life - started

    async def _cool_down(self) -> None:
        """Wait until the shared cooldown is over; others may have made it longer meanwhile."""
        while (left := self._cooldown_until - time.monotonic()) > 0 and not self._stopped:
            await asyncio.sleep(min(left, 1.0))

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
            case UnusableAnswer() if self._may_ask_again(asking):
                # The same cap would most likely cut the same answer off again.
                longer = error.error_class == "cut_off" and asking.asks == 1
                return template.with_limit(2 * template.max_output_tokens) if longer else template
            case _:
                self._stop_if_all_are_refused(error)
                raise self._unanswered(error, asking)

    def _slow_down(self, error: RateLimited) -> None:
        """One cooldown for everyone; a limit that lasts for ever ends the run."""
        now = time.monotonic()
        if now - self._last_sign_of_life > self._retry.patience_s:
            self.stop(
                f"rate limited for {self._retry.patience_s / 60:.0f} minutes without one answer "
                f"({error.message}); run again later or raise the limit"
            )
        if self._cooldown_until < now:
            self._limited_in_a_row += 1
            pause = self._retry.pause(self._limited_in_a_row)
            self._cooldown_until = now + (pause if error.retry_after is None else error.retry_after)
        elif error.retry_after is not None:
            self._cooldown_until = max(self._cooldown_until, now + error.retry_after)

    async def _back_off(self, error: Transient, asking: _Asking) -> None:
        asking.faults += 1
        if asking.faults >= self._retry.attempts:
            silent_s = time.monotonic() - self._last_sign_of_life
            if not self.totals.answered or silent_s > _DOWN_AFTER_S:
                self.stop(
                    f"the endpoint does not answer ({error.message}); "
                    "then run again"
                )
                raise RunStopped(self._stopped)
            raise self._unanswered(error, asking)
        await asyncio.sleep(self._retry.pause(asking.faults, error.retry_after))

    def _may_ask_again(self, asking: _Asking) -> bool:
        asking.asks += 1
        budget = self._retry.reask_floor + self._retry.reask_share * self.totals.answered
        if asking.asks >= self._retry.asks or self.totals.reasks >= budget:
            return False
        self.totals.reasks += 1
        return True

    def _stop_if_all_are_refused(self, error: LLMError) -> None:
        """A request that no article gets through is wrong in itself."""
        if (
            error.error_class == "bad_request"
            and not self.totals.answered
            and self.totals.errors["bad_request"] >= _BAD_REQUESTS_BEFORE_STOP
        ):
            self.stop(f"the endpoint refuses every request ({error.message}); check the recipe")

    def _unanswered(self, error: LLMError, asking: _Asking) -> Unanswered:
        return Unanswered(error, asking.attempts, asking.usage, self._cost(asking.usage))

    def _bill(self, usage: Usage, asking: _Asking) -> None:
        asking.usage += usage
        self.totals.usage += usage
        self.totals.cost_usd += self.price.cost(usage) if self.price else 0.0

    def _cost(self, usage: Usage) -> float | None:
        return self.price.cost(usage) if self.price else None
