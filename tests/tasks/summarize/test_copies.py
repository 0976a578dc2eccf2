"""A text under several ids is paid for once, and each id gets its outcome."""

from pathlib import Path

import pytest

from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.summarize.copies import copy_outcomes
from article_flows.tasks.summarize.open_job import open_job, open_table
from benchmarks.servers.endpoints import MockEndpoint
from tests.tasks.summarize.job_support import (
    POISON,
    article,
    count_duplicate_answers,
    endpoint,
    fill,
    ids_of,
    plan_job,
    rows_of,
    run,
    summarize_settings,
)

TEXT = "A text that several papers print. It is the same in each of them."
POISONED = f"A text that is {POISON}. It is printed all the same."


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def server() -> MockEndpoint:
    return endpoint()


def test_one_text_under_many_ids_is_paid_for_once(lake: Lake, server: MockEndpoint) -> None:
    """Within one source and across two, including ids that differ only in other columns."""
    fill(lake, [article("a1", TEXT, language="en"), article("a2", TEXT, language="de")])
    fill(lake, [article("a3", TEXT), article("b1")])
    prices = {"price_in": 1.0, "price_out": 2.0}
    ran = run(summarize_settings(lake, server.base_url, recipe="digest", batch_size=1, **prices))
    assert (ran.plan.to_request, ran.plan.to_copy) == (2, 2)
    assert (ran.counts.answered, ran.counts.copied, ran.totals.calls) == (2, 2, 2)
    assert server.stats()["calls"] == 2
    table, _ = open_table(summarize_settings(lake, server.base_url, recipe="digest"))
    first, *copies, other = rows_of(table.lake, table.folder)
    assert [row["article_id"] for row in (first, *copies, other)] == ["a1", "a2", "a3", "b1"]
    assert [row["article_language"] for row in (first, *copies)] == ["en", "de", None]
    for copy in copies:
        same = ("summary", "keywords", "category", "language", "model", "answered_at")
        assert {name: copy[name] for name in same} == {name: first[name] for name in same}
        assert (copy["cost_usd"], copy["prompt_tokens"], copy["attempts"]) == (0, 0, 0)
    assert first["cost_usd"] + other["cost_usd"] == pytest.approx(ran.totals.cost_usd)


def test_a_text_that_is_loaded_again_later_is_not_requested_again(
    lake: Lake, server: MockEndpoint
) -> None:
    fill(lake, [article("a1", TEXT)])
    run(summarize_settings(lake, server.base_url))
    fill(lake, [article("a2", TEXT)])
    again = run(summarize_settings(lake, server.base_url))
    assert (again.plan.reused, again.counts.copied, again.totals.calls) == (1, 1, 0)
    table, _ = open_table(summarize_settings(lake, server.base_url))
    assert ids_of(table.lake, table.folder) == ["a1", "a2"]


def test_a_permanent_failure_of_a_text_is_listed_under_each_id(
    lake: Lake, server: MockEndpoint
) -> None:
    fill(lake, [article("a1", POISONED), article("a2", POISONED)])
    ran = run(summarize_settings(lake, server.base_url))
    assert ran.counts.failed == {"content_filter": 2}
    fill(lake, [article("a3", POISONED)])
    again = run(summarize_settings(lake, server.base_url))
    assert (again.plan.failed, again.plan.to_copy, again.totals.calls) == (2, 1, 0)
    assert again.failures["article_id"].to_pylist().count("a3") == 1
    assert sorted(again.failures["article_id"].to_pylist()) == ["a1", "a2", "a3"]
    assert server.stats()["calls"] == 1
    third = run(summarize_settings(lake, server.base_url))
    assert (third.plan.failed, third.plan.to_copy) == (3, 0)
    retried = run(summarize_settings(lake, server.base_url, retry_failed=True))
    assert (retried.plan.to_request, retried.plan.to_copy, retried.failures.num_rows) == (1, 2, 3)


def test_a_text_with_a_transient_failure_is_requested_once_more_and_copied(lake: Lake) -> None:
    fill(lake, [article("a1", TEXT), article("a2", TEXT)])
    ran = run(summarize_settings(lake, endpoint(empty=1.0).base_url))
    assert ran.counts.failed == {"empty": 2}
    well = endpoint()
    again = run(summarize_settings(lake, well.base_url))
    assert (again.counts.answered, again.counts.copied) == (1, 1)
    assert (again.failures.num_rows, well.stats()["calls"]) == (0, 1)


def test_repeated_copies_replace_the_first_and_rows_without_an_outcome_are_left(
    lake: Lake, server: MockEndpoint
) -> None:
    fill(lake, [article("a1", TEXT), article("a2", TEXT), article("b1"), article("b2", "b")])
    fill(lake, [article("b3", "b")])
    run(summarize_settings(lake, server.base_url, limit=1))
    settings = summarize_settings(lake, server.base_url)
    table, _ = open_table(settings)
    # The text of b2 and b3 has no outcome to copy, because it has not been requested.
    with open_job(settings, "run-id") as job:
        plan = plan_job(job, settings)
        (batch,) = plan.copies
        for _ in range(2):
            counts = copy_outcomes(batch, job)
            assert (counts.copied, counts.left) == (0, 1)
    assert ids_of(table.lake, table.folder) == ["a1", "a2"]
    assert run(settings).counts.copied == 1
    assert ids_of(table.lake, table.folder) == ["a1", "a2", "b1", "b2", "b3"]
    assert count_duplicate_answers(server) == 0
