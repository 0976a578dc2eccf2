"""What a run did, as data for programs and as Markdown for people."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from typing import Any, Self

from tasks.errors import BudgetSpent, InterruptedRun, StoppedRun
from tasks.llm.chat import NO_USAGE, Usage
from tasks.profiles import Profile
from tasks.reading.sources import Skipped
from tasks.source_report import SourceReport

_SKIPPED_LISTED = 100
"""Files that were passed over and are named in ``--json``; all are counted."""

COUNTS = ("rows_in", "stored", "duplicates", "already_there", "rejected")
"""Rows of a load by what became of them."""


@dataclass
class IngestReport:
    """Counts of an ingest run; ``rows_in`` = stored + duplicates + already_there + rejected.

    Rows are counted as in `SourceReport`, for all sources together. ``superseded`` rows of earlier
    loads are current no longer. ``profile`` is of what was stored.
    """

    sources: list[SourceReport]
    skipped: list[Skipped]
    articles: str
    rejects: str
    seconds: float
    superseded: int = 0
    superseded_articles: str = ""
    profile: Profile = field(default_factory=Profile)
    rows_in: int = field(init=False)
    stored: int = field(init=False)
    changed: int = field(init=False)
    repeated_ids: int = field(init=False)
    duplicates: int = field(init=False)
    already_there: int = field(init=False)
    rejected: int = field(init=False)

    def __post_init__(self) -> None:
        for name in (*COUNTS, "changed", "repeated_ids"):
            setattr(self, name, sum(getattr(source, name) for source in self.sources))

    @property
    def broken(self) -> list[SourceReport]:
        """Sources that could not be read, or not to their end."""
        return [source for source in self.sources if source.error]

    @property
    def passed_over(self) -> dict[str, Any]:
        """What was not read, as no data: how many files, and the first of them."""
        first = [f"{each.name}: {each.reason}" for each in self.skipped[:_SKIPPED_LISTED]]
        return {"skipped_count": len(self.skipped), "skipped": first}

    @classmethod
    def nothing(cls) -> Self:
        """The report of a load that was not made."""
        return cls([], [], "", "", 0.0)

    def counts(self) -> dict[str, int]:
        """Rows by what became of them."""
        return {name: getattr(self, name) for name in COUNTS}

    def line(self) -> str:
        """In one line, for a log."""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.counts().items())
        return f"{counts}; {len(self.broken)} sources not read; {self.articles}"

    def as_json(self) -> dict[str, Any]:
        """The line that ``--json`` ends with."""
        return {
            **self.counts(),
            "changed": self.changed,
            "repeated_ids": self.repeated_ids,
            "superseded": self.superseded,
            "seconds": round(self.seconds, 3),
            "articles_table": self.articles,
            "rejects": self.rejects,
            "not_read": [source.error for source in self.broken],
            **self.passed_over,
            **self.profile.as_json(),
        }


class Stopwatch:
    """Laps in seconds by name; laps of one name add up."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._lap_started = time.monotonic()

    def lap(self, name: str) -> None:
        """End the lap that is running and begin another."""
        now = time.monotonic()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._lap_started
        self._lap_started = now


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


def run_as_json(
    ingest: IngestReport | None, summarize: SummarizeReport, seconds: float
) -> dict[str, Any]:
    """The line that ``--json`` ends with; ``seconds`` is the whole run's."""
    return {
        **(ingest or IngestReport.nothing()).counts(),
        "articles": summarize.articles,
        "answered": summarize.answered,
        "reused": summarize.reused,
        "failed": summarize.failures_total,
        "left": summarize.left,
        "calls": summarize.calls,
        "attempts": summarize.attempts,
        "hedges": summarize.hedges,
        "prompt_tokens": summarize.usage.prompt,
        "cached_tokens": summarize.usage.cached,
        "completion_tokens": summarize.usage.completion,
        "cost_usd": None if summarize.cost_usd is None else round(summarize.cost_usd, 9),
        "seconds": round(seconds, 3),
        "asking_seconds": round(summarize.asking_seconds, 4),
        "articles_per_second": round(summarize.articles_per_second, 2),
        "failed_by_class": summarize.failed,
        "failed_requests": summarize.errors,
        "recipe": summarize.recipe,
        "model": summarize.model,
        "table": summarize.table,
        "failures": summarize.failures,
        "rejects": ingest.rejects if ingest else None,
        "not_read": [source.error for source in ingest.broken] if ingest else [],
        **(ingest or IngestReport.nothing()).passed_over,
        "stopped": summarize.stopped,
    }
