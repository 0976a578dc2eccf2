"""The result of a summarize run: articles, requests, tokens, cost and time."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any, Self

from article_flows.tasks.common.errors import BudgetSpent, InterruptedRun, StoppedRun
from article_flows.tasks.llm.protocol.chat import NO_USAGE, Usage


@dataclass
class SummarizeReport:
    """The result of a summarize run.

    ``articles`` is the sum of ``answered``, ``reused``, ``failed`` and ``left``.

    Attributes:
        endpoint: The model and the endpoint in words.
        table: The location of the answers.
        failures: The location of the failures.
        answered: Articles answered in this run, including those recovered from a journal.
        reused: Articles whose text already had an answer.
        failed: Articles without an answer, by error class.
        left: Articles left for the next run: beyond the limit, or because the run stopped.
        calls: Articles that were sent to the endpoint.
        attempts: Requests sent, including retries and hedges.
        hedges: Duplicates of slow requests.
        usage: Tokens of all requests, including failed ones.
        cost_usd: US dollars of all requests, including failed ones; None if the price is unknown.
        errors: Failed requests by error class.
        asking_seconds: Seconds from the first request to the last commit.
        seconds: Seconds of each phase of the run.
        samples: A few rows; see `sample_rows`.
        stopped: Why the run stopped early; None if it did not.
        budget_spent: Whether the run stopped because the budget was spent.
        interrupted_by: The signal that stopped the run, if any.
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
        """Number of articles without an answer."""
        return sum(self.failed.values())

    @property
    def articles_per_second(self) -> float:
        """Answered articles per second, from the first request to the last commit."""
        return self.answered / self.asking_seconds if self.asking_seconds else 0.0

    def line(self) -> str:
        """Return the report as one line for a log."""
        cost = "price unknown" if self.cost_usd is None else f"${self.cost_usd:,.4f}"
        return (
            f"{self.articles:,} articles: {self.answered:,} answered, {self.reused:,} reused, "
            f"{self.failures_total:,} failed, {self.left:,} left; {cost}; {self.table}"
        )

    def mark_interrupted(self, by: signal.Signals | None) -> Self:
        """Mark the run as stopped by a signal if ``by`` is not None, and return this report."""
        if by is not None:
            self.interrupted_by = by
            self.stopped = (
                f"interrupted by {by.name}: {self.answered:,} answered, {self.left:,} left; "
                "run again to continue"
            )
        return self

    def or_raise(self) -> Self:
        """Return this report.

        Raises:
            InterruptedRun: A signal stopped the run.
            BudgetSpent: The budget was spent.
            StoppedRun: The run stopped for another reason.
        """
        if self.interrupted_by is not None:
            raise InterruptedRun(self.stopped or "interrupted", self, self.interrupted_by)
        if self.budget_spent:
            raise BudgetSpent(self.stopped or "the budget is spent", self)
        if self.stopped:
            raise StoppedRun(self.stopped, self)
        return self
