"""Locks in a local folder exclude threads and processes, and end with their process."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.locks.lock import locked
from article_flows.tasks.locks.waiting import Timing
from article_flows.tasks.storage.local import LocalStorage

ROOT = Path(__file__).parents[3]
QUICK = Timing(poll_s=(0.005, 0.01))
HOLD = """
import sys
from article_flows.tasks.locks.lock import locked
from article_flows.tasks.storage.local import LocalStorage
shared = sys.argv[2] == "shared"
with locked(LocalStorage(sys.argv[1]), "articles", shared=shared, label="brave-fox"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(str(tmp_path / "lake"))


def take(storage: LocalStorage, name: str = "articles", **options: Any) -> None:
    with locked(storage, name, timing=QUICK, **options) as lock:
        lock.ensure_held()


def lock_path(storage: LocalStorage, name: str = "articles") -> Path:
    return storage.folder / "_staging" / "locks" / f"{name}.lock"


@contextmanager
def another_process(
    storage: LocalStorage, mode: str = "alone"
) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, storage.root, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("held_shared", "requested_shared", "conflict"),
    [
        (False, False, "writing"),
        (False, True, "writing"),
        (True, False, "reading"),
        (True, True, None),
    ],
)
def test_only_shared_holders_can_hold_a_lock_together(
    storage: LocalStorage, held_shared: bool, requested_shared: bool, conflict: str | None
) -> None:
    with locked(storage, "articles", shared=held_shared) as lock:
        lock.ensure_held()
        take(storage, "another-table")
        if conflict is None:
            take(storage, shared=requested_shared)
        else:
            with pytest.raises(UserError, match=f"another run is {conflict} articles"):
                take(storage, shared=requested_shared)
        lock.ensure_held()
    take(storage, shared=requested_shared)


def test_threads_exclude_each_other(storage: LocalStorage) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with locked(storage, "articles", wait_s=60, timing=QUICK):
                inside += 1
                most = max(most, inside)
                threading.Event().wait(0.001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, inside) == (1, 0)


def test_the_message_says_who_holds_it_and_what_to_do(storage: LocalStorage) -> None:
    with another_process(storage) as process, pytest.raises(UserError) as rejected:
        take(storage)
    message = str(rejected.value)
    assert message.startswith(f"lake {storage.root}: another run is writing articles (flow run")
    assert f"brave-fox, process {process.pid} on {os.uname().nodename}, since 2" in message
    assert (
        "run again: nothing is paid for twice (a killed run's lock is released at once)" in message
    )
    assert "\n" not in message


@pytest.mark.parametrize("mode", ["alone", "shared"])
def test_a_killed_holder_loses_its_lock(storage: LocalStorage, mode: str) -> None:
    with another_process(storage, mode) as process:
        with pytest.raises(UserError, match=f"process {process.pid}"):
            take(storage)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with locked(storage, "articles", shared=True), pytest.raises(UserError) as rejected:
            take(storage)
    take(storage)
    assert f"process {os.getpid()}" in str(rejected.value)
    assert "more" not in str(rejected.value)


def test_readers_that_released_the_lock_are_not_named(storage: LocalStorage) -> None:
    with locked(storage, "articles", shared=True, label="stays"):
        take(storage, shared=True, label="goes")
        with pytest.raises(UserError, match="flow run stays"):
            take(storage)
        with (
            locked(storage, "articles", shared=True, label="comes"),
            pytest.raises(UserError, match=r"flow run comes.*, and 1 more\)"),
        ):
            take(storage)
    take(storage)
    assert lock_path(storage).read_bytes() == b""


def test_the_notes_of_readers_have_a_size_limit(storage: LocalStorage) -> None:
    for number in range(1000):
        take(storage, shared=True, label=f"reader-{number}")
    assert lock_path(storage).stat().st_size < 70_000


@pytest.mark.parametrize("notes", [b"", b"not json\n", b"[1]\n7\n", b'{"key": "a", "host": 3}\n'])
def test_unreadable_notes_are_ignored(storage: LocalStorage, notes: bytes) -> None:
    with locked(storage, "articles"):
        lock_path(storage).write_bytes(notes)
        with pytest.raises(UserError, match="another run is writing articles; wait"):
            take(storage)


def test_a_waiting_run_is_notified_once_and_acquires_the_lock(storage: LocalStorage) -> None:
    messages: list[str] = []

    with another_process(storage) as process:

        def kill_holder(message: str) -> None:
            messages.append(message)
            process.kill()

        take(storage, wait_s=60, on_wait=kill_holder)
        (message,) = messages
        holder = f"flow run brave-fox, process {process.pid}"
        assert f"another run is writing articles ({holder}" in message
        assert message.endswith("waiting for it to end, for 60 s at most")


def test_a_run_that_waits_too_long_fails(storage: LocalStorage) -> None:
    messages: list[str] = []
    with locked(storage, "articles"), pytest.raises(UserError, match="another run is writing"):
        take(storage, wait_s=0.05, on_wait=messages.append)
    assert len(messages) == 1


def test_an_exception_inside_releases_the_lock(storage: LocalStorage) -> None:
    with pytest.raises(ZeroDivisionError), locked(storage, "articles"):
        raise ZeroDivisionError
    take(storage)


@pytest.mark.parametrize("replaced", [True, False])
def test_a_removed_lock_file_is_noticed(storage: LocalStorage, replaced: bool) -> None:
    with locked(storage, "articles") as lock:
        lock.ensure_held()
        lock_path(storage).unlink()
        if replaced:
            with locked(storage, "articles") as other:
                other.ensure_held()
                with pytest.raises(UserError, match=r"articles\.lock was removed or replaced"):
                    lock.ensure_held()
        with pytest.raises(UserError, match="run again, nothing is paid for twice"):
            lock.ensure_held()


def test_a_lake_that_is_not_a_folder_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below = LocalStorage(str(tmp_path / "file" / "lake"))
    with pytest.raises(UserError, match=r"cannot be written \(Not a directory\)"):
        take(below)


READ_ONLY = """
import json, os, sys
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.locks.lock import locked
from article_flows.tasks.storage.local import LocalStorage
os.setgroups([]); os.setgid(65534); os.setuid(65534)
outcomes = {}
for mode, options in json.loads(sys.argv[2]).items():
    try:
        with locked(LocalStorage(sys.argv[1]), "articles", **options) as lock:
            lock.ensure_held()
            outcomes[mode] = type(lock).__name__
    except UserError as error:
        outcomes[mode] = str(error)
print(json.dumps(outcomes))
"""
MODES = {"alone": {}, "shared": {"shared": True}}


@pytest.fixture
def public() -> Iterator[LocalStorage]:
    """A lake that another user may read but not write; only root can switch to another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield LocalStorage(folder)


def try_as_nobody(storage: LocalStorage) -> dict[str, str]:
    command = [sys.executable, "-c", READ_ONLY, storage.root, json.dumps(MODES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    outcomes: dict[str, str] = json.loads(done.stdout)
    return outcomes


def test_a_user_without_write_permission_cannot_create_a_lock(public: LocalStorage) -> None:
    for line in try_as_nobody(public).values():
        assert line.endswith("choose another --lake or fix its permissions")


def test_a_reader_shares_a_lock_file_that_it_can_only_read(public: LocalStorage) -> None:
    take(public)
    outcomes = try_as_nobody(public)
    assert outcomes["shared"] == "FileLock"
    assert outcomes["alone"].endswith("choose another --lake or fix its permissions")
    with locked(public, "articles"):
        outcomes = try_as_nobody(public)
    assert "another run is writing articles" in outcomes["shared"]
