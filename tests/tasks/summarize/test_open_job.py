"""After a crash at any moment, the next run completes the work, and pays for no answer twice."""

import asyncio
import itertools
import os
import random
import resource
import signal
import traceback
from pathlib import Path
from typing import Any

import pytest

from article_flows.tasks.common.errors import UsageError, UserError
from article_flows.tasks.journal.file_journal import FileJournal, FileJournals
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.settings import SummarizeSettings
from article_flows.tasks.summarize.job import Job
from article_flows.tasks.summarize.open_job import allow_connections, open_job, open_table
from benchmarks.servers.endpoints import MockEndpoint
from tests.tasks.journal.journal_support import records_of
from tests.tasks.summarize.job_support import (
    MODEL,
    POISON,
    article,
    at,
    count_duplicate_answers,
    endpoint,
    fill,
    ids_of,
    plan_job,
    run,
    run_open,
    summarize_settings,
)

ARTICLES = 12
IDS = sorted(f"a{n}" for n in range(ARTICLES))
IN_FLIGHT = 2


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    bad = [article("bad1", f"It is {POISON}."), article("bad2", f"So is this: {POISON}.")]
    # The copies have the text of a row that is answered, and of one that is rejected.
    copies = [article("copy", article("a1")["body"]), article("copybad", bad[0]["body"])]
    fill(lake, [*map(article, IDS), *bad, *copies])
    return lake


@pytest.fixture
def server() -> MockEndpoint:
    return endpoint()


def killed_at(moment: str, settings: SummarizeSettings, after: int = 0) -> bool:
    """Run in a child process that kills itself (-9) at a moment; return whether it did."""
    child = os.fork()
    if child == 0:
        try:
            _arm(moment, Lake(settings.lake), after)
            run(settings)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return os.WIFSIGNALED(status)


def _arm(moment: str, lake: Lake, after: int) -> None:
    owner, name, when = {
        "an answer is journaled": (FileJournal, "append", "after"),
        "a batch is about to be committed": (Job, "commit", "before"),
        "a part of the table is written": (Lake, "write_part", "after"),
        "the failures are about to be written": (Lake, "write_part", "failures"),
        "a batch is committed": (Job, "commit", "after"),
        "a journal is removed": (FileJournals, "discard", "after"),
        "the failures are about to be compacted": (Path, "unlink", "failures"),
    }[moment]
    original, left = getattr(owner, name), itertools.count(after, -1)

    def killing(self: Any, *args: Any, **options: Any) -> Any:
        where = args[0] if isinstance(self, Lake) else self
        within = str(where).removeprefix(f"{lake}/")
        matches = when != "failures" or within.startswith(f"{lake.failures}/")
        if when != "after" and matches and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(self, *args, **options)
        if when == "after" and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, killing)


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize(
    "moment",
    [
        "an answer is journaled",
        "a batch is about to be committed",
        "a part of the table is written",
        "the failures are about to be written",
        "a batch is committed",
        "a journal is removed",
        "the failures are about to be compacted",
    ],
)
def test_the_next_run_completes_a_run_killed_at_any_moment(
    lake: Lake, server: MockEndpoint, moment: str, after: int
) -> None:
    options = {"batch_size": 4, "max_in_flight": IN_FLIGHT}
    was_killed = killed_at(moment, summarize_settings(lake, server.base_url, **options), after)
    assert was_killed or after
    assert_completed(lake, server, options)
    # Those in flight, and those that arrived in the interrupted iteration of the event loop.
    assert count_duplicate_answers(server) <= 2 * IN_FLIGHT


def assert_completed(lake: Lake, server: MockEndpoint, options: dict[str, int]) -> None:
    settings = summarize_settings(lake, server.base_url, **options)
    ran = run(settings)
    table, _ = open_table(settings)
    assert ids_of(table.lake, table.folder) == [*IDS, "copy"]
    assert ids_of(table.lake, table.failures) == ["bad1", "bad2", "copybad"]
    assert ran.counts.left == 0
    assert ran.failures.num_rows == 3
    assert list(at(lake, "_staging").rglob("*.journal")) == []
    third = run(settings)
    assert (third.totals.calls, third.plan.batches, third.plan.copies) == (0, [], [])
    assert (third.plan.reused, third.plan.failed) == (len(IDS) + 1, 3)


@pytest.mark.parametrize("seed", range(4))
def test_a_truncated_journal_loses_only_the_truncated_records(
    lake: Lake, server: MockEndpoint, seed: int
) -> None:
    assert killed_at("a batch is about to be committed", summarize_settings(lake, server.base_url))
    (journal,) = at(lake, "_staging").rglob("*.journal")
    whole = journal.read_bytes()
    journal.write_bytes(whole[: random.Random(seed).randrange(len(whole))])
    readable = len(records_of(journal))
    server.reset_stats()
    assert_completed(lake, server, {})
    assert server.stats()["calls"] == len(IDS) + 2 - readable


def test_two_crashes_in_a_row_lose_nothing(lake: Lake, server: MockEndpoint) -> None:
    for _ in range(2):
        assert killed_at(
            "a batch is about to be committed", summarize_settings(lake, server.base_url)
        )
    assert_completed(lake, server, {})
    assert server.stats()["calls"] == len(IDS) + 2


def test_copies_missed_by_an_interrupted_run_are_made_by_the_next(
    lake: Lake, server: MockEndpoint
) -> None:
    settings = summarize_settings(lake, server.base_url)
    with open_job(settings, "run-id") as job:
        for batch in plan_job(job, settings).batches:
            asyncio.run(job.run_batch(batch))
    ran = run(settings)
    # The rejected text has a copy, too; neither needs a request.
    assert (ran.plan.to_copy, ran.counts.copied, ran.totals.calls) == (2, 1, 0)
    assert_completed(lake, server, {})
    assert count_duplicate_answers(server) == 0


def test_only_one_run_at_a_time_can_write_a_table(lake: Lake, server: MockEndpoint) -> None:
    settings = summarize_settings(lake, server.base_url)
    with open_job(settings, "one") as job:
        with pytest.raises(UserError, match="another run is writing summary-"):
            run(settings)
        other = run(summarize_settings(lake, server.base_url, recipe="headline_zh"))
        assert other.counts.answered == len(IDS)
        assert run_open(job, settings).counts.answered == len(IDS)


def test_a_tables_lock_and_journals_have_the_same_name(lake: Lake) -> None:
    table, resolved = open_table(summarize_settings(lake, "http://127.0.0.1:1/v1"))
    assert table.name == f"summary-{table.table_id}"
    assert (table.model, resolved.model) == (MODEL, MODEL)
    assert not at(lake, "_staging/journals").exists()


@pytest.mark.slow
def test_the_mock_endpoint_runs_as_long_as_the_job(lake: Lake) -> None:
    ran = run(summarize_settings(lake, "mock"))
    # It has no faults, so it rejects no word.
    assert (ran.counts.answered, ran.counts.copied) == (len(IDS) + 2, 2)


def test_a_caller_without_a_mock_endpoint_gets_an_error(lake: Lake) -> None:
    with (
        pytest.raises(UsageError, match="no mock endpoint is available"),
        open_job(summarize_settings(lake, "mock"), "run-id"),
    ):
        pass


def test_connections_are_bounded_by_the_limit_on_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert allow_connections(500) == 500
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 700
        assert allow_connections(10) == 10
        assert allow_connections(10_000) == 10_000 or hard < 10_200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
