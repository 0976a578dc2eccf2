"""One article on its way to an answer: what was tried and spent so far, and who waits for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from article_flows.tasks.llm.protocol.chat import NO_USAGE, ChatTemplate, Usage
from article_flows.tasks.llm.protocol.results import Answer, Parse, RequestFailed, RunStopped
from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens

Result = Answer | RequestFailed | RunStopped
"""What becomes of an article: RunStopped leaves it to do."""


class Receiver(Protocol):
    """Whoever asked: gets each article's result once, on the gateway's event loop."""

    def receive(self, asking: Request, result: Result) -> None:
        """Take the result; must not block."""
        ...


@dataclass(slots=True, eq=False)
class Request:
    """One article to ask about; the gateway keeps its state here.

    Attributes:
        template, user, parse: the request, and how its completion becomes fields.
        receiver: gets the result; ``row`` tells it which article it is.
        attempts: requests sent; ``faults`` of them ended in a transient fault, ``asks`` in an
            unusable answer; ``limits`` were answered 429.
        doubled: whether the cap on the answer's tokens was doubled.
        patience: how many times as long as usual its next request may go without a byte.
        usage, cost_usd: of all attempts.
        tokens: an estimate of prompt and cap, where a limit needs it; else 0.
        sent_at: monotonic seconds of the last request.
        out: requests under way: 1, or 2 where one is a hedge; ``lane`` and
            ``hedge_lane`` are the tasks that sent them.
        settled: whether the receiver has its result.
    """

    template: ChatTemplate
    user: str
    parse: Parse
    receiver: Receiver
    row: int = 0
    attempts: int = 0
    faults: int = 0
    asks: int = 0
    doubled: bool = False
    patience: float = 1.0
    limits: int = 0
    usage: Usage = NO_USAGE
    cost_usd: float = 0.0
    tokens: int = 0
    sent_at: float = 0.0
    out: int = 0
    lane: asyncio.Task[None] | None = None
    hedge_lane: asyncio.Task[None] | None = None
    settled: bool = False

    def weigh(self) -> int:
        """Estimate the tokens that a quota charges: the prompt and the cap on the answer."""
        if not self.tokens:
            prompt = self.template.constant_tokens + estimate_tokens(self.user)
            self.tokens = prompt + self.template.max_output_tokens
        return self.tokens

    def other_lane(self) -> asyncio.Task[None] | None:
        """The lane of the other copy of a hedged request, which is still under way."""
        if self.hedge_lane is None or not self.out:
            return None
        return self.lane if asyncio.current_task() is self.hedge_lane else self.hedge_lane
