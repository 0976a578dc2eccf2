"""The status of a lake matches its tables, also while a run or a load is in progress."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from article_flows.tasks.checks.status import TableStatus, lake_status
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.journal.file_journal import FileJournal
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parquet_parts import part_name
from article_flows.tasks.summarize.open_job import open_job
from tests.object_store import ObjectStoreServer
from tests.tasks.lake.lake_support import (
    ANSWERS,
    ARTICLES,
    UNANSWERED,
    copy_full_lake,
    copy_to_store,
    settings_of,
    table_of,
)
from tests.tasks.summarize.job_support import (
    answer,
    article,
    at,
    endpoint,
    failure,
    fill,
    rows_of,
    run,
    run_open,
    summarize_settings,
    write_outcomes,
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return copy_full_lake(tmp_path / "lake")


@pytest.fixture
def table(lake: Lake) -> EnrichedTable:
    return EnrichedTable(lake, table_of(lake).recipe, table_of(lake).model)


def only_table(lake: Lake) -> TableStatus:
    (status,) = lake_status(lake).tables
    return status


def test_counts_match_the_tables(lake: Lake, table: EnrichedTable) -> None:
    found = lake_status(lake)
    assert (found.articles, found.superseded, found.rejects) == (ARTICLES, 1, 0)
    assert found.parts == len(lake.parts("articles"))
    assert found.size == sum(at(lake, part.name).stat().st_size for part in lake.parts("articles"))
    assert found.not_read == []
    (status,) = found.tables
    assert (status.recipe, status.model, status.table_id, status.newest) == (
        *("digest", "extractive-v1", table.table_id),
        True,
    )
    assert (status.answered, status.outdated, status.left, status.waiting) == (ANSWERS, 0, 1, 0)
    assert status.failed_for_good == {"content_filter": 1}
    assert status.asked_again == {}
    last = max(row["answered_at"] for row in rows_of(lake, table.folder))
    assert status.last_answered_at == last


def test_cost_includes_superseded_answers_and_failures(lake: Lake, table: EnrichedTable) -> None:
    paid = [
        row["cost_usd"]
        for folder in (table.folder, table.superseded, table.failures)
        for row in rows_of(lake, folder)
    ]
    assert len(paid) == ANSWERS + 2
    known = [cost for cost in paid if cost is not None]
    status = only_table(lake)
    assert sum(known) > 0
    assert status.cost_usd == pytest.approx(sum(known))
    assert status.unpriced == len(paid) - len(known)


def test_failures_are_counted_by_whether_they_are_retried(lake: Lake, table: EnrichedTable) -> None:
    """The newest failure of an article counts, unless the article has an answer."""
    fill(lake, [article("t1"), article("t2")])
    articles = pq.read_table(at(lake, lake.parts("articles")[-1].name))
    hashes = articles["content_hash"].to_pylist()
    first, second = (part_name().removesuffix(".parquet") for _ in range(2))
    write_outcomes(table, articles, [failure(text, "server_error") for text in hashes], first)
    write_outcomes(table, articles.slice(0, 1), [failure(hashes[0], "too_long")], second)
    status = only_table(lake)
    assert status.failed_for_good == {"content_filter": 1, "too_long": 1}
    assert status.asked_again == {"server_error": 1}
    assert (status.failed, status.left) == (3, 1)
    assert status.answered + status.failed + status.left == ARTICLES + 2
    write_outcomes(
        table,
        articles.slice(0, 1),
        [answer(hashes[0], summary="s", keywords=["k"], category="other", language="en")],
        "later",
    )
    assert only_table(lake).failed_for_good == {"content_filter": 1}


def test_answers_to_changed_articles_are_outdated(lake: Lake) -> None:
    fill(lake, [article("a2", "A new text. It has two sentences.")])
    found = lake_status(lake)
    assert (found.articles, found.superseded) == (ARTICLES, 2)
    (status,) = found.tables
    assert (status.answered, status.outdated, status.left) == (ANSWERS - 1, 1, 2)


def test_answers_in_a_journal_are_counted_as_waiting(lake: Lake, table: EnrichedTable) -> None:
    (committed, *_) = rows_of(lake, table.folder)
    path = at(lake, f"_staging/journals/{table.name}/run-1.journal")
    path.parent.mkdir(parents=True, exist_ok=True)
    journal = FileJournal(path)
    texts = [committed["content_hash"], "0" * 32, "1" * 32, "1" * 32]
    journal.append(*(answer(text, summary="s").encode() for text in texts))
    journal.append(failure("2" * 32, "too_long").encode(), b"{}")
    journal.close()
    assert only_table(lake).waiting == 2


def test_lock_holders_are_named(lake: Lake, table: EnrichedTable) -> None:
    with (
        lake.locked(table.name, label="brave-fox"),
        lake.locked("articles", label="quick-hen"),
    ):
        found = lake_status(lake)
    assert "flow run brave-fox, process" in str(found.tables[0].held_by)
    assert "flow run quick-hen, process" in str(found.loading)
    after = lake_status(lake)
    assert (after.tables[0].held_by, after.loading) == (None, None)


def test_status_works_during_a_run(lake: Lake) -> None:
    options = settings_of(lake)
    with open_job(options, "run-id") as job:
        assert only_table(lake).answered == ANSWERS
        run_open(job, options)
        during = only_table(lake)
        assert (during.answered, during.left) == (ANSWERS + 1, 0)
        assert during.held_by is not None
    assert only_table(lake).held_by is None
    assert UNANSWERED in {row["article_id"] for row in rows_of(lake, "summaries")}


def test_the_newest_table_of_a_recipe_is_marked(lake: Lake) -> None:
    other = summarize_settings(
        lake, endpoint().base_url, recipe="digest", model="other-v1", limit=2
    )
    run(other)
    first, second = lake_status(lake).tables
    assert [each.recipe for each in (first, second)] == ["digest", "digest"]
    assert (first.model, first.newest) == ("extractive-v1", False)
    assert (second.model, second.newest) == ("other-v1", True)
    assert (second.answered, second.left) == (2, ARTICLES - 2)


def test_an_unreadable_table_is_named(lake: Lake, table: EnrichedTable) -> None:
    (at(lake, table.folder) / "_recipe.json").unlink()
    found = lake_status(lake)
    assert found.tables == []
    assert "_recipe.json: is missing" in found.not_read[0]


def test_a_damaged_part_is_a_user_error(lake: Lake, table: EnrichedTable) -> None:
    part = at(lake, lake.parts(table.folder)[0].name)
    part.write_bytes(part.read_bytes()[:-5])
    with pytest.raises(UserError, match="damaged"):
        lake_status(lake)


def test_a_missing_lake_is_a_user_error_and_not_created(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        lake_status(Lake(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def objects(store: ObjectStoreServer) -> list[str]:
    """Return the objects of the lake, except locks, which remain after their release."""
    return [key for key in store.keys("status") if "/_staging/locks/" not in key]


@pytest.mark.slow
def test_status_works_on_an_object_store(
    lake: Lake, object_store: ObjectStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTICLE_FLOWS_SPOOL", str(tmp_path / "spool"))
    there = copy_to_store(lake, object_store.uri("status"))
    table = table_of(lake).name
    before = objects(object_store)
    with there.locked(table, label="brave-fox"):
        (during,) = lake_status(there).tables
    (after,) = lake_status(there).tables
    assert "flow run brave-fox" in str(during.held_by)
    assert after.held_by is None
    local = only_table(lake)
    local.table = after.table
    assert after == local
    assert objects(object_store) == before
