"""`held_locks` and `LockWatch` find the holders without disturbing any run."""

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


def test_only_exclusive_locks_are_reported(lake: Lake) -> None:
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


def test_a_free_lock_is_not_probed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe could make a run fail that acquires the lock at that moment."""
    with lake.locked("table"):
        pass

    def unexpected(*given: object) -> None:
        pytest.fail("flock was called")

    monkeypatch.setattr("fcntl.flock", unexpected)
    assert held_locks(lake.storage) == {}


def test_a_lock_held_at_the_start_is_reported(lake: Lake) -> None:
    with lake.locked("table"):
        watch = LockWatch(lake.storage)
    with lake.locked("other"):
        held, stale = watch.end()
    assert (sorted(held), stale) == (["other", "table"], [])


@pytest.mark.slow
def test_stale_leases_are_distinguished_from_live_ones(
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
    # Shared leases are ignored: the next run that requests the lock exclusively removes them.
    assert [each.name for each in stale] == ["dead"]
