"""A real disk that fills up during a run: the next run has every answer that was paid for."""

import asyncio
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from article_flows.tasks.common.errors import StorageUnavailable, UserError
from article_flows.tasks.journal.file_journal import FileJournal
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.settings import SummarizeSettings
from article_flows.tasks.summarize.job import Job, OutcomeCounts
from article_flows.tasks.summarize.open_job import open_job
from tests.tasks.summarize.job_support import (
    article,
    count_duplicate_answers,
    endpoint,
    fill,
    ids_of,
    plan_job,
    run,
    summarize_settings,
)

ARTICLES = 120
IN_FLIGHT = 16
_MOUNT = 'mount -t tmpfs -o size=4m full-disk "$1" && shift && exec "$@"'
_CHILD = "from tests.tasks.journal.test_full_disk import _child; _child()"


@cache
def _unshare() -> list[str] | None:
    """Return a command prefix that creates a mount namespace, or None if that is not allowed."""
    for options in (["--mount"], ["--user", "--map-root-user", "--mount"]):
        command = ["unshare", *options, "sh", "-c", _MOUNT, "sh"]
        try:
            if subprocess.run([*command, "/mnt", "true"], capture_output=True).returncode == 0:
                return command
        except FileNotFoundError:
            return None
    return None


def on_a_small_disk(disk: Path, scenario: str, base_url: str) -> dict[str, Any]:
    """Run a scenario in a process with its own 4 MB disk mounted at a folder."""
    if (unshare := _unshare()) is None:
        pytest.skip("a small disk needs mount namespaces (unshare --mount), which are not allowed")
    disk.mkdir()
    command = [*unshare, str(disk), sys.executable, "-c", _CHILD, scenario, str(disk), base_url]
    child = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert child.returncode == 0, child.stderr
    outcome: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return outcome


@pytest.mark.slow
@pytest.mark.parametrize("parts_have_room", [True, False])
def test_no_paid_answer_is_lost_when_the_disk_fills_up(
    tmp_path: Path, parts_have_room: bool
) -> None:
    mock = endpoint(latency="fixed:0.02")
    scenario = "full" if parts_have_room else "fuller"
    outcome = on_a_small_disk(tmp_path / "disk", scenario, mock.base_url)
    first, second = outcome["first"], outcome["second"]
    assert "the disk is full; free some space, then run again" in first["stopped"]
    assert first["reserve"] == 1 << 20
    assert 0 < first["calls"] < ARTICLES
    if parts_have_room:
        assert (first["answered"], first["broken"]) == (first["calls"], 0)
        assert second["recovered"] == 0
    else:
        assert (first["answered"], first["broken"]) == (0, 1)
        assert second["recovered"] == first["calls"]
    # Nothing that was paid for is lost, and nothing is paid for twice.
    assert second["ids"] == sorted(f"a{n}" for n in range(ARTICLES))
    assert first["calls"] + second["calls"] == mock.stats()["calls"] == ARTICLES
    assert count_duplicate_answers(mock) == 0
    assert second["staged"] == []


@pytest.mark.slow
def test_a_full_disk_is_reported_before_anything_is_paid_for(tmp_path: Path) -> None:
    mock = endpoint()
    outcome = on_a_small_disk(tmp_path / "disk", "full before", mock.base_url)
    assert "the disk is full; free some space, then run again" in outcome["error"]
    assert outcome["answered"] == ARTICLES
    assert mock.stats()["calls"] == ARTICLES


def _child() -> None:
    scenario, disk, base_url = sys.argv[1:]
    lake = Lake(f"{disk}/lake")
    fill(lake, [article(f"a{n}") for n in range(ARTICLES)])
    batch_size = 500 if scenario == "fuller" else 50
    settings = summarize_settings(lake, base_url, max_in_flight=IN_FLIGHT, batch_size=batch_size)
    scenarios = {"full": _fills_up, "fuller": _fills_up, "full before": _full_before}
    print(json.dumps(scenarios[scenario](settings, Path(disk), scenario)))


def _fills_up(settings: SummarizeSettings, disk: Path, scenario: str) -> dict[str, Any]:
    append, commit = FileJournal.append, Job.commit
    appended = 0

    def filling_append(self: FileJournal, *payloads: bytes) -> None:
        nonlocal appended
        appended += 1
        if appended == 3:
            _fill_up(disk)
        append(self, *payloads)

    def filling_commit(self: Job, *args: Any, **options: Any) -> OutcomeCounts:
        _fill_up(disk)
        return commit(self, *args, **options)

    FileJournal.append = filling_append  # type: ignore[method-assign]  # fills the disk first
    if scenario == "fuller":
        Job.commit = filling_commit  # type: ignore[method-assign]  # fills the disk again
    with open_job(settings, "first") as job:
        (reserve,) = disk.rglob("reserve")
        size = reserve.stat().st_size
        results = asyncio.run(_all(job, settings))
        first = {
            "stopped": job.gateway.stopped,
            "reserve": size,
            "calls": job.gateway.totals.calls,
            "answered": sum(each.answered for each in results if isinstance(each, OutcomeCounts)),
            "broken": sum(isinstance(each, StorageUnavailable) for each in results),
        }
    FileJournal.append, Job.commit = append, commit  # type: ignore[method-assign]  # restores both
    _free(disk)
    ran = run(settings)
    second = {
        "recovered": ran.plan.recovered,
        "calls": ran.totals.calls,
        "ids": ids_of(job.table.lake, job.table.folder),
        "staged": [str(path) for path in disk.rglob("journals/*/*")],
    }
    return {"first": first, "second": second}


async def _all(job: Job, settings: SummarizeSettings) -> list[OutcomeCounts | BaseException]:
    batches = plan_job(job, settings).batches
    results = await asyncio.gather(*map(job.run_batch, batches), return_exceptions=True)
    await job.gateway.close()
    return results


def _full_before(settings: SummarizeSettings, disk: Path, _: str) -> dict[str, Any]:
    _fill_up(disk)
    try:
        run(settings)
    except UserError as error:
        _free(disk)
        return {"error": str(error), "answered": run(settings).counts.answered}
    raise AssertionError("it ran")


def _fill_up(disk: Path) -> None:
    number = len(list(disk.glob("ballast*")))
    try:
        with (disk / f"ballast{number}").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
    except OSError:
        pass


def _free(disk: Path) -> None:
    for ballast in disk.glob("ballast*"):
        ballast.unlink()
