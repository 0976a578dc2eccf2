"""Who holds a lock is told without getting in anybody's way."""

import os
from pathlib import Path

import pytest

from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.locks.holders import LockWatch, held_locks
from article_flows.tasks.locks.lock import locked
from article_flows.tasks.locks.waiting import Timing
from article_flows.tasks.storage.object_store import ObjectStorage
from tests.object_store import ObjectStoreServer
from tests.tasks.locks.lease_support import leave_lock

QUICK = Timing(heartbeat_s=0.05, expiry_s=0.6, poll_s=(0.01, 0.05))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    (tmp_path / "lake").mkdir()
    return Lake(tmp_path / "lake")


def test_only_a_lock_that_is_held_alone_is_told(lake: Lake) -> None:
    assert held_locks(lake.storage) == {}
    with lake.locked("table", label="brave-fox"), lake.locked("parts", shared=True):
        held = held_locks(lake.storage)
        assert list(held) == ["table"]
        assert "flow run brave-fox, process" in str(held["table"])
    assert held_locks(lake.storage) == {}


def test_a_killed_run_holds_nothing(lake: Lake) -> None:
    child = os.fork()
    if child == 0:
        with lake.locked("table"):
            os._exit(0)
    os.waitpid(child, 0)
    note = Path(lake.location("_staging/locks/table.lock")).read_bytes()
    assert note
    assert held_locks(lake.storage) == {}


def test_a_lock_that_is_free_is_not_touched(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run that takes it in that moment would find us in its way, and fail."""
    with lake.locked("table"):
        pass

    def nobody_may(*given: object) -> None:
        pytest.fail("the kernel was asked for a lock")

    monkeypatch.setattr("fcntl.flock", nobody_may)
    assert held_locks(lake.storage) == {}


def test_a_lock_that_was_held_at_the_beginning_counts(lake: Lake) -> None:
    with lake.locked("table"):
        watch = LockWatch(lake.storage)
    with lake.locked("other"):
        held, stale = watch.end()
    assert (sorted(held), stale) == (["other", "table"], [])


@pytest.mark.slow
def test_leases_of_the_dead_are_told_from_those_of_the_living(
    object_store: ObjectStoreServer,
) -> None:
    lake = Lake(object_store.uri("holders"))
    storage = ObjectStorage(object_store.uri("holders"))
    leave_lock(storage, "dead")
    leave_lock(storage, "read", shared=True)
    storage.write("_staging/locks/old/write-abc-000003.json", b"{}")  # of an earlier version
    held = held_locks(lake.storage)
    assert {name: str(each) for name, each in held.items()} == {
        "dead": "flow run lost-owl, process 7 on elsewhere, since today"
    }
    with locked(lake.storage, "alive", label="brave-fox", timing=QUICK):
        watch = LockWatch(lake.storage, QUICK)
        held, stale = watch.end()
    assert sorted(held) == ["alive"]
    # A reader stops no run: its lease goes with the next that wants the lock alone.
    assert [each.name for each in stale] == ["dead"]
