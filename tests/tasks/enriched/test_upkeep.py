"""Maintenance keeps the enriched table current, and no answer is paid for twice."""

from pathlib import Path

import pyarrow as pa
import pytest

from article_flows.tasks.common.article_schema import content_hash
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.enriched.upkeep import maintain_table
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.tombstones import compact_articles
from article_flows.tasks.settings import SummarizeSettings
from article_flows.tasks.summarize.open_job import open_job, open_table
from benchmarks.servers.endpoints import MockEndpoint
from tests.tasks.summarize.job_support import (
    POISON,
    answer,
    article,
    at,
    count_duplicate_answers,
    endpoint,
    fill,
    ids_of,
    rows_of,
    run,
    summarize_settings,
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def server() -> MockEndpoint:
    return endpoint()


@pytest.fixture
def settings(lake: Lake, server: MockEndpoint) -> SummarizeSettings:
    return summarize_settings(lake, server.base_url)


@pytest.fixture
def table(settings: SummarizeSettings) -> EnrichedTable:
    return open_table(settings)[0]


def bodies(lake: Lake, folder: str) -> list[str]:
    return [row["body"] for row in rows_of(lake, folder)]


def test_a_changed_article_is_requested_again_and_its_old_answer_is_superseded(
    lake: Lake, settings: SummarizeSettings, table: EnrichedTable
) -> None:
    fill(lake, [article("a1"), article("a2")])
    run(settings)
    fill(lake, [article("a1", "Another text altogether. It has two sentences.")])
    again = run(settings)
    assert (again.totals.calls, again.plan.articles, again.plan.reused) == (1, 2, 1)
    assert ids_of(lake, table.folder) == ["a1", "a2"]
    assert bodies(lake, table.folder)[0].startswith("Another text")
    assert bodies(lake, table.superseded) == [article("a1")["body"]]


def test_a_reverted_article_gets_its_old_answer_without_a_request(
    lake: Lake, settings: SummarizeSettings, table: EnrichedTable, server: MockEndpoint
) -> None:
    for text in (None, "Another text altogether. It has two sentences.", None):
        fill(lake, [article("a1", text), article("a2")])
        last = run(settings)
    assert (last.totals.calls, last.plan.to_copy) == (0, 1)
    assert count_duplicate_answers(server) == 0
    (row, other) = rows_of(lake, table.folder)
    assert row["body"] == article("a1")["body"]
    assert row["summary"]
    assert (row["cost_usd"], row["attempts"], other["attempts"]) == (None, 0, 1)


def test_a_removed_article_leaves_the_table_and_returns_without_a_request(
    lake: Lake, settings: SummarizeSettings, table: EnrichedTable
) -> None:
    fill(lake, [article("a1"), article("a2")])
    run(settings)
    mirror = Load(lake)
    mirror.take(rows_as_batch(lake, "a2"))
    assert mirror.finish(mirror=True) == 1
    run(settings)
    assert ids_of(lake, table.folder) == ["a2"]
    assert ids_of(lake, table.superseded) == ["a1"]
    compact_articles(lake)
    fill(lake, [article("a1")])
    assert run(settings).totals.calls == 0
    assert ids_of(lake, table.folder) == ["a1", "a2"]


def test_a_failure_of_a_changed_article_is_superseded(
    lake: Lake, settings: SummarizeSettings, table: EnrichedTable
) -> None:
    fill(lake, [article("bad", f"This is {POISON}. Nobody may read it."), article("a1")])
    assert run(settings).failures.num_rows == 1
    fill(lake, [article("bad", "This is harmless. Anybody may read it.")])
    again = run(settings)
    assert (again.failures.num_rows, again.totals.calls) == (0, 1)
    assert ids_of(lake, table.folder) == ["a1", "bad"]
    assert ids_of(lake, table.superseded_failures) == ["bad"]


def test_many_small_runs_do_not_leave_many_small_parts(
    lake: Lake, settings: SummarizeSettings, table: EnrichedTable, server: MockEndpoint
) -> None:
    for number in range(10):
        fill(lake, [article(f"a{number}")])
        run(settings)
    assert len(lake.parts(table.folder)) < 8
    assert len(ids_of(lake, table.folder)) == 10
    assert count_duplicate_answers(server) == 0
    assert run(settings).totals.calls == 0


def test_an_up_to_date_table_is_not_rewritten(
    lake: Lake, settings: SummarizeSettings, table: EnrichedTable
) -> None:
    fill(lake, [article("a1")])
    run(settings)
    before = {path: path.stat().st_mtime_ns for path in at(lake, table.folder).iterdir()}
    maintain_table(table, all_rows_current=False)
    assert {path: path.stat().st_mtime_ns for path in at(lake, table.folder).iterdir()} == before


def test_an_answer_whose_article_was_removed_meanwhile_is_kept(
    lake: Lake, settings: SummarizeSettings, table: EnrichedTable
) -> None:
    fill(lake, [article("a1"), article("a2")])
    with open_job(settings, "killed") as job:
        waiting = answer(content_hash(None, article("a2")["body"]), summary="Of a2.")
        job.journals.open("000001").append(waiting.encode())
    mirror = Load(lake)
    mirror.take(rows_as_batch(lake, "a1"))
    mirror.finish(mirror=True)
    compact_articles(lake)

    assert run(settings).totals.calls == 1
    assert list(at(lake, "_staging").rglob("*.journal")) == []
    fill(lake, [article("a2")])
    assert run(settings).totals.calls == 0
    assert [row["summary"] for row in rows_of(lake, table.folder)][1] == "Of a2."


def rows_as_batch(lake: Lake, article_id: str) -> pa.RecordBatch:
    (part,) = lake.parts(lake.articles)
    with part.open() as file:
        batch = next(iter(file.iter_batches(10)))
    keep = [value == article_id for value in batch["article_id"].to_pylist()]
    return batch.filter(pa.array(keep))
