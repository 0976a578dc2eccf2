"""Leases between processes: a killed run loses its lease, a live one keeps it."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from article_flows.tasks.common.errors import StorageUnavailable, UserError
from article_flows.tasks.locks.lock import Lock, locked
from article_flows.tasks.locks.waiting import Timing
from article_flows.tasks.storage.open import open_storage
from tests.object_store import ObjectStoreServer
from tests.tasks.locks.lease_support import (
    EXPIRY_S,
    PATIENT,
    QUICK,
    Failing,
    FolderAsObjects,
    holders,
)

ROOT = Path(__file__).parents[3]
HOLD = """
import sys
from pathlib import Path
from article_flows.tasks.locks.lock import locked
from tests.tasks.locks.lease_support import QUICK, FolderAsObjects
from article_flows.tasks.common.errors import UserError
storage = FolderAsObjects(Path(sys.argv[1]))
with locked(storage, "articles", label="brave-fox", timing=QUICK) as lock:
    print("held", flush=True)
    sys.stdin.readline()
    try:
        lock.ensure_held()
        print("still held", flush=True)
    except UserError as error:
        print(error, flush=True)
"""


@pytest.fixture
def storage(tmp_path: Path) -> FolderAsObjects:
    return FolderAsObjects(tmp_path)


def all_released(storage: FolderAsObjects) -> bool:
    """Return whether all holders disappear soon: `release` waits for a limited time only."""
    deadline = time.monotonic() + 30
    while holders(storage) and time.monotonic() < deadline:
        time.sleep(0.005)
    return not holders(storage)


def test_a_store_too_slow_for_heartbeats_is_reported(storage: FolderAsObjects) -> None:
    now = [0.0]

    def take_long(operation: str, name: str) -> None:
        now[0] += EXPIRY_S

    storage.before = take_long
    timing = Timing(heartbeat_s=60, clock=lambda: now[0])
    with locked(storage, "articles", timing=timing) as lock:
        with pytest.raises(StorageUnavailable, match="too slow to hold the lock of articles"):
            lock.ensure_held()
        storage.before = lambda operation, name: None
        lock.ensure_held()


@contextmanager
def another_process(storage: FolderAsObjects, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_live_holder_is_never_taken_over(storage: FolderAsObjects, tmp_path: Path) -> None:
    messages: list[str] = []
    with another_process(storage, tmp_path) as process:
        with (
            pytest.raises(UserError) as busy,
            locked(storage, "articles", timing=PATIENT, on_wait=messages.append),
        ):
            pass
        with locked(storage, "another-table", timing=QUICK):
            pass
    assert f"(flow run brave-fox, process {process.pid} on {os.uname().nodename}" in messages[0]
    assert messages[0].endswith("; checking whether it is alive, for 60 s at most")
    assert len(messages) == 1
    assert "run again: nothing is paid for twice (the lock of a killed run is" in str(busy.value)


@pytest.mark.parametrize("wait_s", [0.0, math.inf])
def test_a_killed_holder_expires(storage: FolderAsObjects, tmp_path: Path, wait_s: float) -> None:
    with another_process(storage, tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert holders(storage) == 1
        with locked(storage, "articles", wait_s=wait_s, timing=QUICK) as lock:
            lock.ensure_held()
    assert all_released(storage)


def test_a_paused_holder_notices_the_takeover(storage: FolderAsObjects, tmp_path: Path) -> None:
    with another_process(storage, tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.send_signal(signal.SIGSTOP)
        with locked(storage, "articles", timing=QUICK) as lock:
            process.send_signal(signal.SIGCONT)
            process.stdin.write("\n")
            process.stdin.flush()
            assert "another run has taken over articles" in process.stdout.readline()
            process.wait()
            lock.ensure_held()
    assert all_released(storage)


def test_a_waiting_run_acquires_the_lock_when_the_holder_releases_it(
    storage: FolderAsObjects,
) -> None:
    ended = threading.Event()

    def hold() -> None:
        with locked(storage, "articles", timing=PATIENT):
            held.set()
            ended.wait()

    held = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    messages: list[str] = []

    def end_holder(message: str) -> None:
        messages.append(message)
        ended.set()

    with locked(storage, "articles", wait_s=60, timing=PATIENT, on_wait=end_holder) as lock:
        lock.ensure_held()
    holder.join()
    assert messages[0].endswith("waiting for it to end, for 60 s at most")


def test_threads_exclude_each_other(storage: FolderAsObjects, tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(3):
            with locked(storage, "articles", wait_s=60, timing=PATIENT):
                inside += 1
                most = max(most, inside)
                time.sleep(0.005)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, inside) == (1, 0)
    assert all_released(storage)


def test_readers_share_and_keep_writers_out(storage: FolderAsObjects, tmp_path: Path) -> None:
    def read() -> AbstractContextManager[Lock]:
        return locked(storage, "articles", shared=True, timing=PATIENT)

    with read(), read() as lock:
        with (
            pytest.raises(UserError, match=r"another run is reading articles .*, and 1 more\)"),
            locked(storage, "articles", timing=PATIENT),
        ):
            pass
        lock.ensure_held()
    with locked(storage, "articles", timing=PATIENT):
        pass
    assert all_released(storage)


def test_a_holder_sends_heartbeats_and_removes_its_entry(
    storage: FolderAsObjects, tmp_path: Path
) -> None:
    beats = threading.Semaphore(0)

    def count(operation: str, name: str) -> None:
        if operation == "write":
            beats.release()

    storage.before = count
    with locked(storage, "articles", timing=PATIENT):
        for _ in range(5):
            beats.acquire()
        assert holders(storage) == 1
    assert all_released(storage)


def test_a_lease_survives_an_outage(storage: FolderAsObjects, tmp_path: Path) -> None:
    failing = Failing(storage, StorageUnavailable("away"))
    now = [0.0]
    timing = Timing(heartbeat_s=0.01, clock=lambda: now[0])
    with locked(storage, "articles", timing=timing) as lock:
        failing.operations = {"read", "write"}
        now[0] += 1000
        with pytest.raises(StorageUnavailable, match="away"):
            lock.ensure_held()
        failing.operations = set()
        lock.ensure_held()
    assert all_released(storage)


def test_a_failing_release_is_not_an_error(storage: FolderAsObjects, tmp_path: Path) -> None:
    failing = Failing(storage, StorageUnavailable("away"))
    with locked(storage, "articles", timing=QUICK) as lock:
        lock.ensure_held()
        failing.operations = {"write"}
    failing.operations = set()
    assert holders(storage) == 1
    with locked(storage, "articles", timing=QUICK):
        pass
    assert all_released(storage)


@pytest.mark.parametrize("operation", ["read", "write"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_lock_needs_permission_to_read_and_write(
    storage: FolderAsObjects, operation: str, shared: bool
) -> None:
    failing = Failing(storage, UserError("access denied"))
    failing.operations = {operation}
    with (
        pytest.raises(UserError, match="access denied"),
        locked(storage, "articles", shared=shared, timing=QUICK),
    ):
        pass


def test_a_store_that_ignores_conditional_writes_is_busy(
    storage: FolderAsObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = storage.write_version

    def unconditional(name: str, content: bytes, expected: object) -> object:
        try:
            current = storage.read_version(name)[1]
        except FileNotFoundError:
            current = None
        return written(name, content, current)

    monkeypatch.setattr(storage, "write_version", unconditional)
    with (
        pytest.raises(UserError, match="ignores conditional writes"),
        locked(storage, "articles", timing=QUICK),
    ):
        pass


@pytest.mark.slow
def test_leases_work_on_a_real_store(object_store: ObjectStoreServer) -> None:
    quick = Timing(heartbeat_s=0.1, expiry_s=5.0, poll_s=(0.05, 0.1))
    first, second = (open_storage(object_store.uri("locks")) for _ in range(2))
    with locked(first, "articles", label="brave-fox", timing=quick) as lock:
        with (
            pytest.raises(UserError, match=r"is writing articles \(flow run brave-fox"),
            locked(second, "articles", timing=quick),
        ):
            pass
        time.sleep(1)
        lock.ensure_held()
    assert object_store.keys("locks/") == ["locks/_staging/locks/articles.json"]
    with (
        locked(first, "articles", shared=True, timing=quick),
        locked(second, "articles", shared=True, timing=quick) as lock,
    ):
        lock.ensure_held()
    with locked(second, "articles", wait_s=60, timing=quick) as lock:
        lock.ensure_held()
