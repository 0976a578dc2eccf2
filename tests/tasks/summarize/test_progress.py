"""Progress in words, and a progress bar that does not hammer an API that is away."""

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
from article_flows.tasks.summarize.progress import SummarizeProgress, shown_progress
from tests.tasks.summarize.job_support import asking

URL = "http://127.0.0.1:1/v1"


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:

    settings = asking(Lake(tmp_path / "lake"), URL, price_in=1.0, price_out=1.0)
    with open_job(settings, "run-id") as job:
        yield job


def to_ask(job: Job, articles: int) -> Planner:
    """A planner that has found so many articles to ask about."""
    planner = Planner(job.table, recovered=set())
    planner.plan.to_ask = articles
    return planner


def test_the_line_tells_count_rate_cost_and_time_left(job: Job) -> None:
    progress = SummarizeProgress(job, to_ask(job, 2_000))
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


def test_the_line_has_no_cost_where_the_price_is_unknown(job: Job) -> None:
    job.gateway.price = None
    job.settled = 1
    assert "$" not in SummarizeProgress(job, to_ask(job, 2)).line()


def test_nothing_to_ask_is_all_done_and_shows_nothing(job: Job) -> None:
    assert SummarizeProgress(job, to_ask(job, 0)).percent == 100
    before = threading.active_count()
    with shown_progress(job, to_ask(job, 0)):
        assert threading.active_count() == before


def test_an_api_that_is_away_is_asked_at_intervals_and_hurts_nothing(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def away(*args: object, **options: object) -> None:
        tried.append(args)
        raise ConnectionError("the API is away")

    monkeypatch.setattr(progress_display, "create_progress_artifact", away)
    pauses: list[float | None] = []

    class Ending(threading.Event):
        """Ends at the fourth wait, and waits for nothing."""

        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout)
            return len(pauses) == 4

    progress = SummarizeProgress(job, to_ask(job, 2))
    progress_display._update_artifact(progress, "progress", Ending())
    assert len(tried) == 4
    assert pauses[0] == 0
    assert all(pause == 5 for pause in pauses[1:])
