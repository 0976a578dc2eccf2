"""Summarize runs with the real flow, real HTTP and a real Prefect server."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from article_flows.flows.ingest import ingest_articles
from article_flows.flows.summarize import summarize_articles
from article_flows.tasks.common.errors import StoppedRun, UserError
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.mock_endpoint.faults import Faults
from article_flows.tasks.settings import IngestSettings, SummarizeSettings
from article_flows.tasks.summarize.report import SummarizeReport
from benchmarks.servers.endpoints import MockEndpoint
from tests.support import read_rows, write_articles

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def filled_lake(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with 120 articles, which tests copy."""
    folder = tmp_path_factory.mktemp("filled")
    source = write_articles(folder / "articles.jsonl", 120)
    ingest_articles(IngestSettings(lake=str(folder / "lake"), sources=[str(source)]))
    return folder / "lake"


@pytest.fixture
def lake(filled_lake: Path, tmp_path: Path) -> str:
    """A copy of the lake with 120 articles."""
    shutil.copytree(filled_lake, tmp_path / "lake")
    return str(tmp_path / "lake")


def summarize(lake: str, endpoint: MockEndpoint, **others: Any) -> SummarizeReport:
    settings = SummarizeSettings(lake=lake, base_url=endpoint.base_url, model="m", **others)
    return summarize_articles(settings)


def test_every_article_is_answered_exactly_once(lake: str) -> None:
    with MockEndpoint() as endpoint:
        first = summarize(lake, endpoint, recipe="digest")
        second = summarize(lake, endpoint, recipe="digest")
        stats = endpoint.stats()

    table = read_rows(first.table)
    assert (first.articles, first.answered, first.calls) == (120, 120, 120)
    assert (second.answered, second.reused, second.calls) == (0, 120, 0)
    assert stats["answered"] == 120
    assert stats["answered_twice"] == 0
    assert table["article_id"].nunique() == len(table) == 120
    assert table[["summary", "keywords", "category", "language"]].notna().all().all()
    assert table["flow_run_id"].nunique() == 1
    assert table["prompt_tokens"].sum() == first.usage.prompt == stats["billed_prompt_tokens"]


def test_faults_lose_no_article_and_pay_for_none_twice(lake: str) -> None:
    faults = Faults(
        http_500=0.05, reset=0.05, http_429=0.05, truncated=0.05, invalid_json=0.05, seed=7
    )
    with MockEndpoint(faults) as endpoint:
        report = summarize(lake, endpoint, recipe="digest")
        stats = endpoint.stats()

    assert report.answered == 120
    assert report.failures_total == 0
    assert stats["answered_twice"] == 0
    assert set(stats["by_fault"]) == {"http_500", "reset", "http_429", "truncated", "invalid_json"}
    assert read_rows(report.table)["article_id"].nunique() == 120
    assert report.attempts == stats["calls"] > 120


def test_permanent_failures_are_recorded_and_not_retried(lake: str, tmp_path: Path) -> None:
    poisoned = write_articles(tmp_path / "poisoned.jsonl", 2, start=900)
    poisoned.write_text(poisoned.read_text().replace("council", "POISON council"))
    ingest_articles(IngestSettings(lake=lake, sources=[str(poisoned)]))

    with MockEndpoint(Faults(poison="POISON")) as endpoint:
        first = summarize(lake, endpoint)
        calls = endpoint.stats()["calls"]
        second = summarize(lake, endpoint)
        assert endpoint.stats()["calls"] == calls

    failures = read_rows(first.failures)
    assert first.failed == second.failed == {"content_filter": 2}
    assert (first.answered, second.reused) == (120, 120)
    assert sorted(failures["article_id"]) == ["a900", "a901"]
    assert failures["message"].str.len().gt(0).all()


def test_an_exhausted_quota_stops_the_run_and_the_next_run_continues(lake: str) -> None:
    with MockEndpoint(Faults(quota_after=50)) as endpoint:
        with pytest.raises(StoppedRun) as stopped:
            summarize(lake, endpoint, max_in_flight=4)
        report = stopped.value.report
    assert "quota" in str(stopped.value)
    assert 50 <= report.answered <= 54
    assert report.articles == report.answered + report.left == 120
    assert len(read_rows(report.table)) == report.answered

    with MockEndpoint() as endpoint:
        rest = summarize(lake, endpoint)
    assert (rest.reused, rest.answered) == (report.answered, report.left)
    assert read_rows(rest.table)["article_id"].nunique() == 120


def test_a_spent_budget_is_no_failure_and_the_next_run_continues(lake: str) -> None:
    prices: dict[str, Any] = {"price_in": 1.0, "price_out": 2.0}
    with MockEndpoint() as endpoint:
        settings = SummarizeSettings(
            lake=lake, base_url=endpoint.base_url, model="another", **prices
        )
        cost = summarize_articles(settings).cost_usd
        assert cost is not None
        endpoint.reset_stats()
        settings = settings.model_copy(update={"model": "m", "budget_usd": cost / 2})
        state = summarize_articles(settings, return_state=True)
        report = state.result()
        stats = endpoint.stats()
        rest = summarize(lake, endpoint, budget_usd=10 * cost, **prices)
    billed = stats["billed_prompt_tokens"] + 2 * stats["billed_completion_tokens"]
    assert (state.type.value, state.name) == ("COMPLETED", "BudgetSpent")
    assert "budget" in str(state.message)
    assert report.budget_spent
    assert 0 < report.answered < 120
    assert report.articles == report.answered + report.left == 120
    assert billed / 1e6 <= cost / 2
    assert (rest.reused, rest.answered) == (report.answered, report.left)


def test_a_given_quota_is_respected(lake: str) -> None:
    with MockEndpoint(Faults(rpm=1_200, burst=5)) as endpoint:
        report = summarize(lake, endpoint, rpm=1_200, tpm=10_000_000, limit=30)
        assert report.answered == 30
        assert endpoint.stats()["calls_per_status"] == {"200": 30}


def test_a_request_larger_than_the_quota_fails_without_waiting(tmp_path: Path) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 3)
    long = source.read_text().replace("The council met on day 1.", "The council met. " * 4_000)
    source.write_text(long)
    lake = str(tmp_path / "lake")
    ingest_articles(IngestSettings(lake=lake, sources=[str(source)]))
    with MockEndpoint() as endpoint:
        report = summarize(lake, endpoint, tpm=12_000)
    assert (report.answered, report.failed) == (2, {"over_quota": 1})
    (failure,) = read_rows(report.failures).to_dict("records")
    assert "more than the quota" in failure["message"]
    assert "--tpm" in failure["message"]


def test_a_bad_key_stops_the_run_before_any_answer(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-wrong")
    with MockEndpoint(api_key="right") as endpoint:
        with pytest.raises(StoppedRun, match="401") as stopped:
            summarize(lake, endpoint)
        assert endpoint.stats()["answered"] == 0
    assert "sk-secret-wrong" not in str(stopped.value)


def test_equal_text_under_two_ids_is_paid_for_once(tmp_path: Path) -> None:
    one = write_articles(tmp_path / "one.jsonl", 30)
    two = tmp_path / "two.jsonl"
    two.write_text(one.read_text().replace('"id":"a', '"id":"b'))
    lake = str(tmp_path / "lake")
    ingest_articles(IngestSettings(lake=lake, sources=[str(one), str(two)]))

    with MockEndpoint() as endpoint:
        report = summarize(lake, endpoint)
        assert endpoint.stats()["answered"] == 30

    table = read_rows(report.table)
    assert (report.articles, report.answered, report.reused) == (60, 30, 30)
    assert table["article_id"].nunique() == 60
    assert table.groupby("content_hash")["summary"].nunique().eq(1).all()


def test_a_limit_leaves_the_rest_for_the_next_run(lake: str) -> None:
    with MockEndpoint() as endpoint:
        first = summarize(lake, endpoint, limit=35)
        second = summarize(lake, endpoint)
    assert (first.answered, first.left) == (35, 85)
    assert (second.answered, second.reused) == (85, 35)


def test_another_model_gets_its_own_table(lake: str) -> None:
    with MockEndpoint() as endpoint:
        first = summarize(lake, endpoint, limit=5)
        other = summarize_articles(
            SummarizeSettings(lake=lake, base_url=endpoint.base_url, model="n", limit=5)
        )
    assert first.table != other.table
    assert len(read_rows(first.table)) == len(read_rows(other.table)) == 5


def test_max_in_flight_is_never_exceeded(lake: str) -> None:
    with MockEndpoint(Faults.parse(["latency=fixed:0.02"])) as endpoint:
        summarize(lake, endpoint, max_in_flight=7, batch_size=10)
        assert endpoint.stats()["max_concurrent_seen"] == 7


def test_concurrent_runs_on_one_table_exclude_each_other(lake: str) -> None:
    with MockEndpoint() as endpoint:
        first = summarize(lake, endpoint, limit=1)
        recipe, table_id = Path(first.table).parts[-2:]
        with Lake(lake).locked(f"{recipe}-{table_id}"), pytest.raises(UserError, match="run again"):
            summarize(lake, endpoint, wait_s=0)


def test_the_official_client_gives_the_same_result(lake: str) -> None:
    with MockEndpoint(Faults(http_500=0.1, seed=1)) as endpoint:
        report = summarize(lake, endpoint, client="openai")
        assert endpoint.stats()["answered_twice"] == 0
    assert report.answered == 120


def test_an_empty_lake_makes_no_calls(tmp_path: Path) -> None:
    report = summarize_articles(SummarizeSettings(lake=str(tmp_path / "lake")))
    assert (report.articles, report.calls, report.stopped) == (0, 0, None)


def test_counts_add_up_after_failed_articles_were_removed(lake: str, tmp_path: Path) -> None:
    with MockEndpoint(Faults(poison="council")) as endpoint:
        assert summarize(lake, endpoint).failed == {"content_filter": 120}
    for part in (Path(lake) / "articles").glob("*.parquet"):
        part.unlink()
    source = write_articles(tmp_path / "other.jsonl", 3, start=500)
    ingest_articles(IngestSettings(lake=lake, sources=[str(source)]))

    with MockEndpoint() as endpoint:
        report = summarize(lake, endpoint)
    assert (report.articles, report.answered, report.failed, report.left) == (3, 3, {}, 0)


def test_a_duplicated_part_is_not_answered_twice(lake: str) -> None:
    (part,) = (Path(lake) / "articles").glob("*.parquet")
    part.with_name(f"copy-of-{part.name}").write_bytes(part.read_bytes())

    with MockEndpoint() as endpoint:
        report = summarize(lake, endpoint)
        assert endpoint.stats()["answered"] == 120
    assert (report.articles, report.answered, report.reused) == (240, 120, 120)
    assert len(read_rows(report.table)) == 120


def test_a_damaged_part_is_named(lake: str) -> None:
    (part,) = (Path(lake) / "articles").glob("*.parquet")
    part.write_bytes(b"")
    with MockEndpoint() as endpoint, pytest.raises(Exception, match=f"{part.name}.*damaged"):
        summarize(lake, endpoint)
