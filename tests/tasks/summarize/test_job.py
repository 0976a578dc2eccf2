"""A batch that goes wrong loses no answer, writes no row twice and drags no other row along."""

import asyncio
import logging
import os
from pathlib import Path

import pyarrow as pa
import pytest

from article_flows.tasks.journal.file_journal import Journal
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parts import Part
from article_flows.tasks.summarize.open_job import open_job
from benchmarks.endpoints import MockEndpoint
from tests.tasks.summarize.job_support import (
    POISON,
    article,
    asking,
    at,
    endpoint,
    fill,
    ids_of,
    paid_twice,
    planned,
    rows_of,
    run,
    run_open,
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    fill(lake, [article(f"a{n}") for n in range(6)] + [article("bad", f"It is {POISON}.")])
    return lake


@pytest.fixture
def asked() -> MockEndpoint:
    return endpoint()


def failing_once(monkeypatch: pytest.MonkeyPatch, folder: str, failures: list[OSError]) -> None:
    """Let the next write of a part below a folder of the lake fail, as with a full disk."""
    write_part = Lake.write_part

    def write(self: Lake, where: str, name: str, table: pa.Table) -> Part:
        if failures and where.startswith(f"{folder}/"):
            raise failures.pop()
        return write_part(self, where, name, table)

    monkeypatch.setattr(Lake, "write_part", write)


def test_a_run_answers_every_article_and_lists_the_refused(lake: Lake, asked: MockEndpoint) -> None:
    ran = run(asking(lake, asked.base_url, batch_size=3))
    assert (ran.counts.answered, ran.counts.failed) == (6, {"content_filter": 1})
    with open_job(asking(lake, asked.base_url), "x") as job:
        assert ids_of(job.table.lake, job.table.folder) == [f"a{n}" for n in range(6)]
        assert ids_of(job.table.lake, job.table.failures) == ["bad"]
        rows = rows_of(job.table.lake, job.table.folder)
    assert all(row["summary"] for row in rows)
    assert {row["flow_run_id"] for row in rows} == {"run-id"}
    assert ran.totals.calls == 7
    assert list(at(lake, "_staging").rglob("*.journal")) == []


@pytest.mark.parametrize("folder", ["summaries", "failures"])
def test_a_batch_tried_again_after_a_commit_in_part_writes_no_row_twice(
    lake: Lake, asked: MockEndpoint, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    failing_once(monkeypatch, folder, [OSError(28, "No space left on device")])
    settings = asking(lake, asked.base_url)
    with open_job(settings, "run-id") as job:
        (batch,) = planned(job, settings).batches

        async def twice() -> None:
            with pytest.raises(OSError, match="No space left"):
                await job.run_batch(batch)
            counts = await job.run_batch(batch)
            assert (counts.answered, counts.failed) == (6, {"content_filter": 1})
            await job.gateway.close()

        asyncio.run(twice())
        assert ids_of(job.table.lake, job.table.folder) == [f"a{n}" for n in range(6)]
        assert ids_of(job.table.lake, job.table.failures) == ["bad"]
        assert job.gateway.totals.calls == 7
        assert job.settled == 7
        assert job.uncommitted == {}
    assert paid_twice(asked) == 0


def test_what_a_batch_could_not_commit_is_there_in_the_next_run_and_in_the_one_after(
    lake: Lake, asked: MockEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the run that took it in from a journal cannot commit it either."""
    settings = asking(lake, asked.base_url)
    for _ in range(2):
        with monkeypatch.context() as patch, open_job(settings, "run-id") as job:
            failing_once(patch, "summaries", [OSError("full"), OSError("full")])
            (batch,) = planned(job, settings).batches
            with pytest.raises(OSError, match="full"):
                asyncio.run(job.run_batch(batch))
    ran = run(settings)
    assert ran.plan.recovered == 7
    assert (ran.counts.recovered, ran.counts.failed) == (6, {"content_filter": 1})
    assert ran.totals.calls == 0
    assert asked.stats()["calls"] == 7
    assert list(at(lake, "_staging").rglob("*.journal")) == []


def test_an_exception_that_nobody_thought_of_costs_one_row_and_not_the_batch(
    lake: Lake, asked: MockEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    settings = asking(lake, asked.base_url)
    with open_job(settings, "run-id") as job:
        parse, answers = job.parse, iter(range(100))

        def parse_all_but_the_first(completion: object) -> dict[str, object]:
            if next(answers) == 0:
                raise TypeError("a list has no strip")
            return parse(completion)  # type: ignore[arg-type]  # passed on as it came

        job.parse = parse_all_but_the_first
        with caplog.at_level(logging.ERROR):
            ran = run_open(job, settings)
    assert ran.counts.answered == 5
    assert ran.counts.failed == {"content_filter": 1, "unexpected": 1}
    (odd,) = [row for row in ran.failures.to_pylist() if row["error_class"] == "unexpected"]
    assert odd["message"].startswith("TypeError")
    assert "a list has no strip" in caplog.text
    again = run(settings)
    assert (again.plan.to_ask, again.counts.answered, again.failures.num_rows) == (1, 1, 1)


@pytest.mark.parametrize("early", [False, True])
def test_that_all_batches_are_there_may_be_said_in_any_thread(
    lake: Lake, asked: MockEndpoint, early: bool
) -> None:
    settings = asking(lake, asked.base_url, batch_size=3, hedge=True)
    with open_job(settings, "run-id") as job:
        batches = planned(job, settings).batches

        async def ask() -> None:
            told = asyncio.create_task(asyncio.to_thread(job.expect_batches, len(batches)))
            if early:
                await told
            await asyncio.gather(*map(job.run_batch, batches))
            await told
            await job.gateway.close()

        asyncio.run(ask())
        assert job.settled == 7


def test_a_run_that_has_to_stop_commits_what_it_has_and_leaves_the_rest(lake: Lake) -> None:
    broke = endpoint(quota_after=3)
    ran = run(asking(lake, broke.base_url, max_in_flight=1))
    assert (ran.counts.answered, ran.counts.left) == (3, 4)
    rich = endpoint()
    again = run(asking(lake, rich.base_url))
    assert (again.plan.reused, again.counts.answered) == (3, 3)
    assert again.counts.failed == {"content_filter": 1}


def test_a_journal_that_cannot_be_written_stops_the_buying_and_keeps_what_is_bought(
    lake: Lake, asked: MockEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Journal.append
    left = [True, True]

    def append_twice(self: Journal, *payloads: bytes) -> None:
        if not left:
            raise OSError(28, os.strerror(28))
        left.pop()
        append(self, *payloads)

    monkeypatch.setattr(Journal, "append", append_twice)
    settings = asking(lake, asked.base_url, max_in_flight=1)
    with open_job(settings, "run-id") as job:
        ran = run_open(job, settings)
        assert "free disk space" in str(job.gateway.stopped)
    # Two in the journal, the one that could not be written, and the one sent meanwhile.
    assert ran.counts.answered + ran.counts.failed.total() == 4
    assert ran.counts.left == 3
    assert len(ids_of(job.table.lake, job.table.folder)) == ran.counts.answered


def test_an_interrupted_run_waits_for_its_batches_and_for_nothing_else(
    lake: Lake, asked: MockEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = asking(lake, asked.base_url)
    waits: list[float] = []

    def interrupt(running_batches: int) -> None:
        with open_job(settings, "run-id") as job:
            job.running_batches = running_batches

            def a_batch_ends(seconds: float) -> None:
                assert job.gateway.stopped == "the run was interrupted"
                waits.append(seconds)
                job.running_batches -= 1

            monkeypatch.setattr("article_flows.tasks.summarize.open_job.time.sleep", a_batch_ends)
            raise KeyboardInterrupt

    for running_batches in (0, 2):
        with pytest.raises(KeyboardInterrupt):
            interrupt(running_batches)
        assert len(waits) == running_batches
