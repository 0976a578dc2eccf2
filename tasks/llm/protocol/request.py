"""One article's request to the model: its state on the way to an answer, and its receiver."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from article_flows.tasks.llm.protocol.chat import NO_USAGE, ChatTemplate, Usage
from article_flows.tasks.llm.protocol.results import Answer, Parse, RequestFailed, RunStopped
from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens

Result = Answer | RequestFailed | RunStopped
"""How a request ends; RunStopped leaves the article to do for a later run."""


class Receiver(Protocol):
    """A receiver of each request's result, once, on the gateway's event loop."""

    def receive(self, request: Request, result: Result) -> None:
        """Process the result; must not block."""
        ...


@dataclass(slots=True, eq=False)
class Request:
    """The request for one article, with the state that the gateway keeps for it.

    Attributes:
        template: The part of the request that all articles share.
        user: The user message.
        parse: Turns the completion into the recipe's fields.
        receiver: Gets the result.
        row: Identifies the article to the receiver.
        attempts: Requests sent.
        faults: Attempts that ended in a transient fault.
        invalid_responses: Attempts that ended in an invalid response.
        rate_limits: Attempts that ended in a 429.
        output_limit_doubled: Whether the limit on output tokens was doubled.
        stall_timeout_factor: Factor on the stall timeout for the next attempt.
        usage: Tokens billed, over all attempts.
        cost_usd: US dollars billed, over all attempts.
        sent_at: When the last attempt was sent, in monotonic seconds.
        in_flight: Requests in flight: 0, 1, or 2 if one is a hedge.
        worker: The task that sent the last attempt.
        hedge_worker: The task that sent the hedge, if any.
        settled: Whether the receiver has the result.
    """

    template: ChatTemplate
    user: str
    parse: Parse
    receiver: Receiver
    row: int = 0
    attempts: int = 0
    faults: int = 0
    invalid_responses: int = 0
    rate_limits: int = 0
    output_limit_doubled: bool = False
    stall_timeout_factor: float = 1.0
    usage: Usage = NO_USAGE
    cost_usd: float = 0.0
    sent_at: float = 0.0
    in_flight: int = 0
    worker: asyncio.Task[None] | None = None
    hedge_worker: asyncio.Task[None] | None = None
    settled: bool = False
    _estimated_tokens: int = 0

    def estimated_tokens(self) -> int:
        """Estimate the tokens that a quota charges: the prompt plus the output limit."""
        if not self._estimated_tokens:
            prompt = self.template.constant_tokens + estimate_tokens(self.user)
            self._estimated_tokens = prompt + self.template.max_output_tokens
        return self._estimated_tokens

    def double_output_limit(self) -> None:
        """Double the limit on output tokens for all further attempts."""
        self.output_limit_doubled = True
        self.template = self.template.with_output_limit(2 * self.template.max_output_tokens)
        self._estimated_tokens = 0

    def other_worker(self) -> asyncio.Task[None] | None:
        """Return the worker of the other copy of a hedged request, if that is still in flight."""
        if self.hedge_worker is None or not self.in_flight:
            return None
        return self.worker if asyncio.current_task() is self.hedge_worker else self.hedge_worker
