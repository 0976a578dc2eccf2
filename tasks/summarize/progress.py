"""How far a job is: articles settled, rate, cost, time left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from article_flows.tasks.common.text_safety import clock
from article_flows.tasks.orchestration.progress_display import shown
from article_flows.tasks.summarize.job import Job
from article_flows.tasks.summarize.planner import Planner


class SummarizeProgress:
    """Where a job is: rate, cost and time left, as one line of text."""

    def __init__(self, job: Job, planner: Planner) -> None:
        self._job = job
        self._planner = planner
        self._started = time.monotonic()

    @property
    def percent(self) -> float:
        """Share of the articles to ask about that are settled, 0 to 100."""
        total = self._planner.most_to_ask
        return min(100.0, 100.0 * self._job.settled / total) if total else 100.0

    def line(self) -> str:
        """For people: settled of total, rate, what holds it, US dollars so far, time left."""
        gateway, settled, total = self._job.gateway, self._job.settled, self._planner.most_to_ask
        totals = gateway.totals
        if gateway.stopped:
            return f"stopping: {totals.in_flight:,} in flight are taken in; Ctrl-C ends it at once"
        rate = settled / max(time.monotonic() - self._started, 1e-9)
        failed = f" ({self._job.failed:,} failed)" if self._job.failed else ""
        words = [
            *(f"{settled:,} of {total:,} articles{failed}", f"{rate:,.1f}/s"),
            gateway.state_words(),
        ]
        if gateway.price is not None:
            words.append(f"${totals.cost_usd:,.4f}{self._budget_words()}")
            if 0 < settled < total:
                words.append(f"about ${totals.cost_usd / settled * total:,.4f} in all")
        if 0 < settled < total:
            words.append(f"{clock((total - settled) / rate)} left")
        limited = totals.errors["rate_limited"]
        if limited:
            words.append(f"{limited:,} requests turned away")
        if faults := totals.errors.total() - limited:
            words.append(f"{faults:,} requests failed")
        return " · ".join(words)

    def _budget_words(self) -> str:
        budget = self._job.gateway.limits.budget
        return f" of ${budget.limit_usd:,.4f}" if budget else ""


@contextmanager
def shown_progress(job: Job, planner: Planner) -> Iterator[None]:
    """Show a job's progress until the block ends."""
    if planner.most_to_ask:
        with shown(SummarizeProgress(job, planner), "article-flows-progress"):
            yield
    else:
        yield
