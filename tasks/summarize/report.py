"""What a summarize run did: counts of articles, tokens, cost and time."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any, Self

from article_flows.tasks.common.errors import BudgetSpent, InterruptedRun, StoppedRun
from article_flows.tasks.llm.protocol.chat import NO_USAGE, Usage


@dataclass
class SummarizeReport:
    """Counts of a summarise run.

    ``articles`` = answered + reused + failed + left. Tokens and ``cost_usd`` (US dollars; None
    if the price is unknown) are those of all calls of this run, failed ones included.

    Attributes:
        answered: articles answered in this run, those taken in from a journal included.
        reused: articles whose answer, or that of the same text, was there and was not paid again.
        failed: articles without an answer, by error class; ``failures`` lists them.
        left: articles left to do, beyond the limit or because the run had to stop.
        calls: articles that were asked about; ``attempts`` are the requests sent for them.
        hedges: second copies of requests that took long; ``attempts`` counts them, too.
        asking_seconds: seconds from the first request to the last commit.
        seconds: seconds in each part of the run.
        samples: a few rows: title, article, answer.
        stopped: why the run had to end before its end; ``budget_spent`` if it was the budget,
            ``interrupted_by`` if it was a signal.
    """

    recipe: str
    model: str
    endpoint: str
    table: str
    failures: str
    articles: int = 0
    answered: int = 0
    reused: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    left: int = 0
    calls: int = 0
    attempts: int = 0
    hedges: int = 0
    usage: Usage = NO_USAGE
    cost_usd: float | None = None
    errors: dict[str, int] = field(default_factory=dict)
    asking_seconds: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    stopped: str | None = None
    budget_spent: bool = False
    interrupted_by: signal.Signals | None = None

    @property
    def failures_total(self) -> int:
        """Articles without an answer."""
        return sum(self.failed.values())

    @property
    def articles_per_second(self) -> float:
        """Articles answered for each second of asking."""
        return self.answered / self.asking_seconds if self.asking_seconds else 0.0

    def line(self) -> str:
        """In one line, for a log."""
        cost = "price unknown" if self.cost_usd is None else f"${self.cost_usd:,.4f}"
        return (
            f"{self.articles:,} articles: {self.answered:,} answered, {self.reused:,} reused, "
            f"{self.failures_total:,} failed, {self.left:,} left; {cost}; {self.table}"
        )

    def interrupted(self, by: signal.Signals | None) -> Self:
        """This report, of a run that was stopped by a signal if ``by`` names one."""
        if by is not None:
            self.interrupted_by = by
            self.stopped = (
                f"interrupted by {by.name}: {self.answered:,} answered, {self.left:,} left; "
                "run again to go on"
            )
        return self

    def or_raise(self) -> Self:
        """This report, or with it StoppedRun (BudgetSpent, InterruptedRun) if the run stopped."""
        if self.interrupted_by is not None:
            raise InterruptedRun(self.stopped or "interrupted", self, self.interrupted_by)
        if self.budget_spent:
            raise BudgetSpent(self.stopped or "the budget is spent", self)
        if self.stopped:
            raise StoppedRun(self.stopped, self)
        return self
