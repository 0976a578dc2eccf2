from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from article_flows.flows.cli.app import main as article_flows
from article_flows.tasks.mock_endpoint.faults import Faults
from benchmarks import articles
from benchmarks.servers.endpoints import CannedEndpoint, MockEndpoint
from benchmarks.ways import LABELS, run_way
from benchmarks.work import Done, Work

ROWS = 20
PLAIN_PYTHON = ["plain", "openai-gather", "barrier", "one-by-one"]
ON_PREFECT = ["prefect-gather", "prefect-map"]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[MockEndpoint]:
    with CannedEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def work(endpoint: MockEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    monkeypatch.setattr(articles, "CACHE", tmp_path)
    endpoint.reset_stats()
    return Work(
        articles=str(articles.articles(ROWS)),
        output=str(tmp_path / "enriched.parquet"),
        lake=str(tmp_path / "lake"),
        base_url=endpoint.base_url,
        in_flight=6,
    )


def check_all_answered(done: Done, work: Work, endpoint: MockEndpoint) -> None:
    stats = endpoint.stats()
    assert (done.answered, done.status, done.error) == (ROWS, 0, "")
    assert done.seconds > 0
    assert (stats["distinct"], stats["answered_twice"]) == (ROWS, 0)
    enriched = pd.read_parquet(work.output)
    assert len(enriched) == ROWS
    assert enriched["summary"].str.len().min() > 0


def test_every_way_is_tested() -> None:
    assert {*PLAIN_PYTHON, *ON_PREFECT, "ours"} == set(LABELS)


@pytest.mark.parametrize("way", PLAIN_PYTHON)
def test_a_way_answers_every_row(way: str, work: Work, endpoint: MockEndpoint) -> None:
    check_all_answered(run_way(way, work), work, endpoint)


@pytest.mark.slow
@pytest.mark.parametrize("way", ON_PREFECT)
def test_a_way_on_prefect_answers_every_row(
    way: str, work: Work, endpoint: MockEndpoint, prefect_server: None
) -> None:
    check_all_answered(run_way(way, work), work, endpoint)


@pytest.mark.slow
def test_article_flows_answers_every_row(
    work: Work, endpoint: MockEndpoint, prefect_server: None
) -> None:
    with pytest.raises(SystemExit, match="0"):
        article_flows(["ingest", work.articles, "--lake", work.lake])
    done = run_way("ours", work)
    again = run_way("ours", work)
    assert (done.answered, done.status, done.error) == (ROWS, 0, "")
    assert done.seconds > 0
    assert done.report["answered"] == ROWS
    assert (again.answered, again.report["calls"]) == (ROWS, 0)
    assert endpoint.stats()["calls"] == ROWS


def test_article_flows_reports_why_it_did_not_run(work: Work) -> None:
    done = run_way("ours", work)
    assert (done.answered, done.status) == (0, 1)
    assert "no articles" in done.error


def test_the_plain_loop_loses_rows_with_errors(work: Work) -> None:
    with CannedEndpoint(Faults(http_500=0.5)) as failing:
        done = run_way("plain", Work(**{**vars(work), "base_url": failing.base_url}))
        answered = failing.stats()["calls_per_status"]["200"]
    assert 0 < done.answered == answered < ROWS
