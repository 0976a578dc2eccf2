"""A failing batch loses no answer, writes no row twice, and fails no other rows."""

import asyncio
import logging
import os
from pathlib import Path

import pyarrow as pa
import pytest

from article_flows.tasks.journal.file_journal import FileJournal
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parquet_parts import Part
from article_flows.tasks.summarize.open_job import open_job
from benchmarks.servers.endpoints import MockEndpoint
from tests.tasks.summarize.job_support import (
    POISON,
    article,
    at,
    count_duplicate_answers,
    endpoint,
    fill,
    ids_of,
    plan_job,
    rows_of,
    run,
    run_open,
    summarize_settings,
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    fill(lake, [article(f"a{n}") for n in range(6)] + [article("bad", f"It is {POISON}.")])
    return lake


@pytest.fixture
def server() -> MockEndpoint:
    return endpoint()


def failing_once(monkeypatch: pytest.MonkeyPatch, folder: str, failures: list[OSError]) -> None:
    """Make the next writes of parts below a folder of the lake fail with these errors."""
    write_part = Lake.write_part

    def write(self: Lake, where: str, name: str, table: pa.Table) -> Part:
        if failures and where.startswith(f"{folder}/"):
            raise failures.pop()
        return write_part(self, where, name, table)

    monkeypatch.setattr(Lake, "write_part", write)


def test_a_run_answers_every_article_and_lists_the_failures(
    lake: Lake, server: MockEndpoint
) -> None:
    ran = run(summarize_settings(lake, server.base_url, batch_size=3))
    assert (ran.counts.answered, ran.counts.failed) == (6, {"content_filter": 1})
    with open_job(summarize_settings(lake, server.base_url), "x") as job:
        assert ids_of(job.table.lake, job.table.folder) == [f"a{n}" for n in range(6)]
        assert ids_of(job.table.lake, job.table.failures) == ["bad"]
        rows = rows_of(job.table.lake, job.table.folder)
    assert all(row["summary"] for row in rows)
    assert {row["flow_run_id"] for row in rows} == {"run-id"}
    assert ran.totals.calls == 7
    assert list(at(lake, "_staging").rglob("*.journal")) == []


@pytest.mark.parametrize("folder", ["summaries", "failures"])
def test_a_batch_retried_after_a_partial_commit_writes_no_row_twice(
    lake: Lake, server: MockEndpoint, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    failing_once(monkeypatch, folder, [OSError(28, "No space left on device")])
    settings = summarize_settings(lake, server.base_url)
    with open_job(settings, "run-id") as job:
        (batch,) = plan_job(job, settings).batches

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
    assert count_duplicate_answers(server) == 0


def test_uncommitted_outcomes_are_kept_until_a_run_can_commit_them(
    lake: Lake, server: MockEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the run that recovered them from a journal cannot commit them either."""
    settings = summarize_settings(lake, server.base_url)
    for _ in range(2):
        with monkeypatch.context() as patch, open_job(settings, "run-id") as job:
            failing_once(patch, "summaries", [OSError("full"), OSError("full")])
            (batch,) = plan_job(job, settings).batches
            with pytest.raises(OSError, match="full"):
                asyncio.run(job.run_batch(batch))
    ran = run(settings)
    assert ran.plan.recovered == 7
    assert (ran.counts.recovered, ran.counts.failed) == (6, {"content_filter": 1})
    assert ran.totals.calls == 0
    assert server.stats()["calls"] == 7
    assert list(at(lake, "_staging").rglob("*.journal")) == []


def test_an_unexpected_exception_fails_one_row_and_not_the_batch(
    lake: Lake, server: MockEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    settings = summarize_settings(lake, server.base_url)
    with open_job(settings, "run-id") as job:
        parse, answers = job.parse, iter(range(100))

        def parse_all_but_the_first(completion: object) -> dict[str, object]:
            if next(answers) == 0:
                raise TypeError("a list has no strip")
            return parse(completion)  # type: ignore[arg-type]  # passed on unchanged

        job.parse = parse_all_but_the_first
        with caplog.at_level(logging.ERROR):
            ran = run_open(job, settings)
    assert ran.counts.answered == 5
    assert ran.counts.failed == {"content_filter": 1, "unexpected": 1}
    (odd,) = [row for row in ran.failures.to_pylist() if row["error_class"] == "unexpected"]
    assert odd["message"].startswith("TypeError")
    assert "a list has no strip" in caplog.text
    again = run(settings)
    assert (again.plan.to_request, again.counts.answered, again.failures.num_rows) == (1, 1, 1)


@pytest.mark.parametrize("early", [False, True])
def test_the_number_of_batches_can_be_set_from_any_thread(
    lake: Lake, server: MockEndpoint, early: bool
) -> None:
    settings = summarize_settings(lake, server.base_url, batch_size=3, hedge=True)
    with open_job(settings, "run-id") as job:
        batches = plan_job(job, settings).batches

        async def run_batches() -> None:
            notified = asyncio.create_task(asyncio.to_thread(job.expect_batches, len(batches)))
            if early:
                await notified
            await asyncio.gather(*map(job.run_batch, batches))
            await notified
            await job.gateway.close()

        asyncio.run(run_batches())
        assert job.settled == 7


def test_a_stopped_run_commits_its_answers_and_leaves_the_rest(lake: Lake) -> None:
    exhausted = endpoint(quota_after=3)
    ran = run(summarize_settings(lake, exhausted.base_url, max_in_flight=1))
    assert (ran.counts.answered, ran.counts.left) == (3, 4)
    again = run(summarize_settings(lake, endpoint().base_url))
    assert (again.plan.reused, again.counts.answered) == (3, 3)
    assert again.counts.failed == {"content_filter": 1}


def test_a_full_disk_stops_new_requests_and_keeps_received_answers(
    lake: Lake, server: MockEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = FileJournal.append
    left = [True, True]

    def append_twice(self: FileJournal, *payloads: bytes) -> None:
        if not left:
            raise OSError(28, os.strerror(28))
        left.pop()
        append(self, *payloads)

    monkeypatch.setattr(FileJournal, "append", append_twice)
    settings = summarize_settings(lake, server.base_url, max_in_flight=1)
    with open_job(settings, "run-id") as job:
        ran = run_open(job, settings)
        assert "free disk space" in str(job.gateway.stopped)
    # Two in the journal, one that could not be written, and one that was in flight.
    assert ran.counts.answered + ran.counts.failed.total() == 4
    assert ran.counts.left == 3
    assert len(ids_of(job.table.lake, job.table.folder)) == ran.counts.answered


def test_an_interrupted_run_waits_only_for_its_running_batches(
    lake: Lake, server: MockEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = summarize_settings(lake, server.base_url)
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
