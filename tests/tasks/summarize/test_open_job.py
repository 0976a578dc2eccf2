"""After a crash at any moment a re-run answers everything, writes no row twice, pays none twice."""

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
from article_flows.tasks.journal.file_journal import Journal, JournalFolder
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.settings import SummarizeSettings
from article_flows.tasks.summarize.job import Job
from article_flows.tasks.summarize.open_job import allow_connections, open_job, open_table
from benchmarks.endpoints import MockEndpoint
from tests.tasks.journal.journal_support import records_of
from tests.tasks.summarize.job_support import (
    MODEL,
    POISON,
    article,
    asking,
    at,
    endpoint,
    fill,
    ids_of,
    paid_twice,
    planned,
    run,
    run_open,
)

ARTICLES = 12
IDS = sorted(f"a{n}" for n in range(ARTICLES))
IN_FLIGHT = 2


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    bad = [article("bad1", f"It is {POISON}."), article("bad2", f"So is this: {POISON}.")]
    # The copies share their text with a row that is answered and with one that is refused.
    copies = [article("copy", article("a1")["body"]), article("copybad", bad[0]["body"])]
    fill(lake, [*map(article, IDS), *bad, *copies])
    return lake


@pytest.fixture
def asked() -> MockEndpoint:
    return endpoint()


def killed_at(moment: str, settings: SummarizeSettings, after: int = 0) -> bool:
    """Run in a child process that kills itself (-9) at a moment; False if that never came."""
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
        "an answer is journalled": (Journal, "append", "after"),
        "a batch is to be committed": (Job, "commit", "before"),
        "a part of the table is there": (Lake, "write_part", "after"),
        "the part of the failures is to be written": (Lake, "write_part", "failures"),
        "a batch is committed": (Job, "commit", "after"),
        "a journal is removed": (JournalFolder, "discard", "after"),
        "the failures are to be settled": (Path, "unlink", "failures"),
    }[moment]
    original, left = getattr(owner, name), itertools.count(after, -1)

    def killing(self: Any, *args: Any, **options: Any) -> Any:
        where = args[0] if isinstance(self, Lake) else self
        within = str(where).removeprefix(f"{lake}/")
        strikes = when != "failures" or within.startswith(f"{lake.failures}/")
        if when != "after" and strikes and next(left) == 0:
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
        "an answer is journalled",
        "a batch is to be committed",
        "a part of the table is there",
        "the part of the failures is to be written",
        "a batch is committed",
        "a journal is removed",
        "the failures are to be settled",
    ],
)
def test_killed_at_any_moment_a_run_is_made_good_by_the_next(
    lake: Lake, asked: MockEndpoint, moment: str, after: int
) -> None:
    options = {"batch_size": 4, "max_in_flight": IN_FLIGHT}
    was_killed = killed_at(moment, asking(lake, asked.base_url, **options), after)
    assert was_killed or after
    assert_made_good(lake, asked, options)
    # Those in flight, and those that arrived in the turn of the loop that was cut short.
    assert paid_twice(asked) <= 2 * IN_FLIGHT


def assert_made_good(lake: Lake, asked: MockEndpoint, options: dict[str, int]) -> None:
    settings = asking(lake, asked.base_url, **options)
    ran = run(settings)
    table, _ = open_table(settings)
    assert ids_of(table.lake, table.folder) == [*IDS, "copy"]
    assert ids_of(table.lake, table.failures) == ["bad1", "bad2", "copybad"]
    assert ran.counts.left == 0
    assert ran.failures.num_rows == 3
    assert list(at(lake, "_staging").rglob("*.journal")) == []
    third = run(settings)
    assert (third.totals.calls, third.plan.batches, third.plan.copies) == (0, [], [])
    assert (third.plan.reused, third.plan.refused) == (len(IDS) + 1, 3)


@pytest.mark.parametrize("seed", range(4))
def test_a_journal_that_was_cut_costs_what_was_cut_off_and_no_more(
    lake: Lake, asked: MockEndpoint, seed: int
) -> None:
    assert killed_at("a batch is to be committed", asking(lake, asked.base_url))
    (journal,) = at(lake, "_staging").rglob("*.journal")
    whole = journal.read_bytes()
    journal.write_bytes(whole[: random.Random(seed).randrange(len(whole))])
    readable = len(records_of(journal))
    asked.reset_stats()
    assert_made_good(lake, asked, {})
    assert asked.stats()["calls"] == len(IDS) + 2 - readable


def test_two_crashes_in_a_row_lose_nothing(lake: Lake, asked: MockEndpoint) -> None:
    for _ in range(2):
        assert killed_at("a batch is to be committed", asking(lake, asked.base_url))
    assert_made_good(lake, asked, {})
    assert asked.stats()["calls"] == len(IDS) + 2


def test_a_run_that_ends_between_an_answer_and_its_copies_copies_next_time(
    lake: Lake, asked: MockEndpoint
) -> None:
    settings = asking(lake, asked.base_url)
    with open_job(settings, "run-id") as job:
        for batch in planned(job, settings).batches:
            asyncio.run(job.run_batch(batch))
    ran = run(settings)
    # The refused text has its copy to come, too; both without a call.
    assert (ran.plan.to_copy, ran.counts.copied, ran.totals.calls) == (2, 1, 0)
    assert_made_good(lake, asked, {})
    assert paid_twice(asked) == 0


def test_only_one_run_at_a_time_writes_a_table(lake: Lake, asked: MockEndpoint) -> None:
    settings = asking(lake, asked.base_url)
    with open_job(settings, "one") as job:
        with pytest.raises(UserError, match="another run is writing summary-"):
            run(settings)
        other = run(asking(lake, asked.base_url, recipe="headline_zh"))
        assert other.counts.answered == len(IDS)
        assert run_open(job, settings).counts.answered == len(IDS)


def test_a_table_has_one_name_for_its_lock_and_its_journals(lake: Lake) -> None:
    table, resolved = open_table(asking(lake, "http://127.0.0.1:1/v1"))
    assert table.name == f"summary-{table.table_id}"
    assert (table.model, resolved.model) == (MODEL, MODEL)
    assert not at(lake, "_staging/journals").exists()


@pytest.mark.slow
def test_the_mock_endpoint_is_there_for_as_long_as_the_job(lake: Lake) -> None:
    ran = run(asking(lake, "mock"))
    # It is an endpoint without faults: it refuses no word.
    assert (ran.counts.answered, ran.counts.copied) == (len(IDS) + 2, 2)


def test_a_caller_that_brings_no_mock_endpoint_is_told_so(lake: Lake) -> None:
    with (
        pytest.raises(UsageError, match="no mock endpoint is available"),
        open_job(asking(lake, "mock"), "run-id"),
    ):
        pass


def test_connections_are_bounded_by_the_files_that_may_be_open() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert allow_connections(500) == 500
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 700
        assert allow_connections(10) == 10
        assert allow_connections(10_000) == 10_000 or hard < 10_200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
