"""Progress as text, and a progress artifact that does not overload an API that is down."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.orchestration import progress_display
from article_flows.tasks.summarize.job import Job
from article_flows.tasks.summarize.open_job import open_job
from article_flows.tasks.summarize.planner import Planner
from article_flows.tasks.summarize.progress import SummarizeProgress, show_progress
from tests.tasks.summarize.job_support import summarize_settings

URL = "http://127.0.0.1:1/v1"


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    settings = summarize_settings(Lake(tmp_path / "lake"), URL, price_in=1.0, price_out=1.0)
    with open_job(settings, "run-id") as job:
        yield job


def to_request(job: Job, articles: int) -> Planner:
    """Return a planner that has found this many articles to request."""
    planner = Planner(job.table, recovered=set())
    planner.plan.to_request = articles
    return planner


def test_the_line_shows_count_rate_cost_and_time_left(job: Job) -> None:
    progress = SummarizeProgress(job, to_request(job, 2_000))
    assert progress.percent == 0
    assert re.fullmatch(r"0 of 2,000 articles · 0\.0/s · 0 in flight · \$0\.0000", progress.line())
    job.settled = 500
    job.gateway.totals.cost_usd = 0.25
    job.gateway.totals.errors["server_error"] = 3
    assert progress.percent == 25
    assert re.fullmatch(
        r"500 of 2,000 articles · [\d,.]+/s · 0 in flight · \$0\.2500"
        r" · about \$1\.0000 in total · [\d a-z]+ left · 3 requests failed",
        progress.line(),
    )
    job.settled = 2_000
    assert progress.percent == 100
    assert "left" not in progress.line()
    assert "in total" not in progress.line()


def test_the_line_has_no_cost_if_the_price_is_unknown(job: Job) -> None:
    job.gateway.price = None
    job.settled = 1
    assert "$" not in SummarizeProgress(job, to_request(job, 2)).line()


def test_without_requests_progress_is_complete_and_not_displayed(job: Job) -> None:
    assert SummarizeProgress(job, to_request(job, 0)).percent == 100
    before = threading.active_count()
    with show_progress(job, to_request(job, 0)):
        assert threading.active_count() == before


def test_the_artifact_is_retried_at_intervals_while_the_api_is_down(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def fail(*args: object, **options: object) -> None:
        tried.append(args)
        raise ConnectionError("the API is down")

    monkeypatch.setattr(progress_display, "create_progress_artifact", fail)
    intervals: list[float | None] = []

    class SetAtFourthWait(threading.Event):
        """Is set at the fourth wait, and never blocks."""

        def wait(self, timeout: float | None = None) -> bool:
            intervals.append(timeout)
            return len(intervals) == 4

    progress = SummarizeProgress(job, to_request(job, 2))
    progress_display._update_artifact(progress, "progress", SetAtFourthWait())
    assert len(tried) == 4
    assert intervals[0] == 0
    assert all(interval == 5 for interval in intervals[1:])
