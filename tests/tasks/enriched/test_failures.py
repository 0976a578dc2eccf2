"""Failures have one row for each article without an answer."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from article_flows.tasks.enriched.failures import compact_failures
from article_flows.tasks.enriched.table import FAILURE_SCHEMA
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.summarize.open_job import open_table
from tests.tasks.summarize.job_support import (
    POISON,
    article,
    at,
    endpoint,
    failure,
    fill,
    ids_of,
    rows_of,
    run,
    summarize_settings,
    write_outcomes,
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    fill(lake, [article("a1"), article("a2"), article("bad", f"It is {POISON}.")])
    return lake


def test_a_later_answer_removes_the_failure(lake: Lake) -> None:
    ran = run(summarize_settings(lake, endpoint(empty=1.0).base_url))
    assert ran.counts.failed == {"empty": 2, "content_filter": 1}
    again = run(summarize_settings(lake, endpoint().base_url))
    assert (again.plan.to_request, again.plan.failed, again.counts.answered) == (2, 1, 2)
    table, _ = open_table(summarize_settings(lake, endpoint().base_url))
    assert ids_of(table.lake, table.folder) == ["a1", "a2"]
    assert ids_of(table.lake, table.failures) == ["bad"]


def test_repeated_failures_leave_one_row_with_the_latest_error(lake: Lake) -> None:
    runs = [run(summarize_settings(lake, endpoint(empty=1.0).base_url)) for _ in range(3)]
    assert [ran.plan.to_request for ran in runs] == [3, 2, 2]
    table, _ = open_table(summarize_settings(lake, endpoint().base_url))
    assert ids_of(table.lake, table.failures) == ["a1", "a2", "bad"]
    assert len(lake.parts(table.failures)) == 1
    before = {row["article_id"]: row["failed_at"] for row in runs[0].failures.to_pylist()}
    after = {row["article_id"]: row["failed_at"] for row in rows_of(table.lake, table.failures)}
    assert after["a1"] > before["a1"]
    assert after["bad"] == before["bad"]


def test_permanent_failures_are_retried_only_with_retry_failed(lake: Lake) -> None:
    server = endpoint()
    run(summarize_settings(lake, server.base_url))
    assert run(summarize_settings(lake, server.base_url)).totals.calls == 0
    retried = run(summarize_settings(lake, server.base_url, retry_failed=True))
    assert (retried.totals.calls, retried.failures.num_rows) == (1, 1)
    lenient = endpoint(poison="another word")
    answered = run(summarize_settings(lake, lenient.base_url, retry_failed=True))
    assert (answered.counts.answered, answered.failures.num_rows) == (1, 0)
    table, _ = open_table(summarize_settings(lake, server.base_url))
    assert lake.parts(table.failures) == []
    assert ids_of(table.lake, table.folder) == ["a1", "a2", "bad"]


def test_duplicate_failures_after_a_crash_are_compacted_once(
    lake: Lake,
) -> None:
    table, _ = open_table(summarize_settings(lake, "http://127.0.0.1:1/v1"))
    assert compact_failures(table).equals(FAILURE_SCHEMA.empty_table())
    articles = pq.read_table(at(lake, lake.articles))
    outcomes = [failure(text, "too_long") for text in articles["content_hash"].to_pylist()]
    for name in ("1", "2"):
        write_outcomes(table, articles, outcomes, name)
    assert compact_failures(table).num_rows == 3
    (part,) = lake.parts(table.failures)
    assert compact_failures(table).num_rows == 3
    assert lake.parts(table.failures) == [part]
    assert pq.read_schema(str(part)).equals(FAILURE_SCHEMA)
