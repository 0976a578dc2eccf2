"""Progress of a job: settled articles, rate, cost, and time left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from article_flows.tasks.common.text_safety import format_duration
from article_flows.tasks.orchestration.progress_display import display_progress
from article_flows.tasks.summarize.job import Job
from article_flows.tasks.summarize.planner import Planner


class SummarizeProgress:
    """The progress of a job, as a percentage and as a line of text."""

    def __init__(self, job: Job, planner: Planner) -> None:
        self._job = job
        self._planner = planner
        self._started = time.monotonic()

    @property
    def percent(self) -> float:
        """The percentage of the articles to request that are settled, 0 to 100."""
        total = self._planner.max_to_request
        return min(100.0, 100.0 * self._job.settled / total) if total else 100.0

    def line(self) -> str:
        """Return settled of total, rate, limiting factor, cost in US dollars, and time left."""
        gateway, settled, total = self._job.gateway, self._job.settled, self._planner.max_to_request
        totals = gateway.totals
        if gateway.stopped:
            in_flight = f"{totals.in_flight:,} requests in flight"
            return f"stopping: waiting for {in_flight}; Ctrl-C to stop at once"
        rate = settled / max(time.monotonic() - self._started, 1e-9)
        failed = f" ({self._job.failed:,} failed)" if self._job.failed else ""
        fields = [
            *(f"{settled:,} of {total:,} articles{failed}", f"{rate:,.1f}/s"),
            gateway.describe_state(),
        ]
        if gateway.price is not None:
            fields.append(f"${totals.cost_usd:,.4f}{self._budget_text()}")
            if 0 < settled < total:
                fields.append(f"about ${totals.cost_usd / settled * total:,.4f} in total")
        if 0 < settled < total:
            fields.append(f"{format_duration((total - settled) / rate)} left")
        limited = totals.errors["rate_limited"]
        if limited:
            fields.append(f"{limited:,} requests rate-limited")
        if faults := totals.errors.total() - limited:
            fields.append(f"{faults:,} requests failed")
        return " · ".join(fields)

    def _budget_text(self) -> str:
        budget = self._job.gateway.limits.budget
        return f" of ${budget.limit_usd:,.4f}" if budget else ""


@contextmanager
def show_progress(job: Job, planner: Planner) -> Iterator[None]:
    """Show the progress of a job until the block ends, if it has requests to send."""
    if planner.max_to_request:
        with display_progress(SummarizeProgress(job, planner), "article-flows-progress"):
            yield
    else:
        yield
