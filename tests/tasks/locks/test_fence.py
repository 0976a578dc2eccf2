"""A holder whose lease was taken over commits nothing, wherever it was paused."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from uuid import uuid4

import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.locks.lock import locked
from article_flows.tasks.locks.waiting import Timing
from article_flows.tasks.storage.object_store import UPLOADS, ObjectStorage
from article_flows.tasks.storage.retries import WriteConflict
from tests.object_store import ObjectStoreServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
QUICK = Timing(heartbeat_s=0.2, expiry_s=2.0, poll_s=(0.05, 0.1))
LARGE = 11 << 20
"""Bytes that take several requests to upload."""
COMMIT = """
import os, signal, sys
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.locks.lock import locked
from tests.tasks.locks.test_fence import QUICK, Pausing, publish

uri, moment, size = sys.argv[1:]
storage = Pausing(uri, moment)
with locked(storage, "articles", label="brave-fox", timing=QUICK):
    publish(storage, "articles/first.parquet", b"first")
    storage.paused = False
    try:
        publish(storage, "articles/late.parquet", bytes(int(size)))
        print("committed", flush=True)
    except UserError as error:
        print(error, flush=True)
"""


class Pausing(ObjectStorage):
    """Stops its process once, at a chosen moment of a commit."""

    def __init__(self, uri: str, moment: str) -> None:
        super().__init__(uri)
        self.paused = True
        real, storage = self._store, self

        class Store:
            def put(self, *given: object, **options: object) -> object:
                _, content = given
                if moment == "before the upload":
                    storage.pause()
                result = real.put(*given, **options)  # type: ignore[arg-type]  # forwarded
                if moment == "after the upload" and isinstance(content, Path):
                    storage.pause()
                return result

            def copy(self, *given: str) -> None:
                if moment == "after the last heartbeat":
                    storage.pause()
                real.copy(*given)

            def __getattr__(self, name: str) -> object:
                return getattr(real, name)

        self._store = Store()  # type: ignore[assignment]  # has the methods that a commit needs

    def pause(self) -> None:
        if not self.paused:
            self.paused = True
            os.kill(os.getpid(), signal.SIGSTOP)


def publish(storage: ObjectStorage, name: str, content: bytes) -> None:
    staged = storage.scratch / uuid4().hex
    staged.write_bytes(content)
    storage.publish(staged, name)


@contextmanager
def stopped_holder(uri: str, moment: str, size: int = 10) -> Iterator["subprocess.Popen[str]"]:
    """Run a process that holds the lock and is stopped in the middle of a commit."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMIT, uri, moment, str(size)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        yield process
    finally:
        process.kill()
        process.communicate()


def resume(process: "subprocess.Popen[str]") -> str:
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=60)
    return out


@pytest.fixture
def uri(object_store: ObjectStoreServer) -> str:
    return object_store.uri(f"fence-{uuid4().hex}")


MOMENTS = ["before the upload", "after the upload", "after the last heartbeat"]


@pytest.mark.parametrize("status", [409, 412])
@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_holder_paused_for_longer_than_its_lease_cannot_commit(
    object_store: ObjectStoreServer, uri: str, moment: str, size: int, status: Literal[409, 412]
) -> None:
    object_store.conflicts(status)
    storage = ObjectStorage(uri)
    with (
        stopped_holder(uri, moment, size) as process,
        locked(storage, "articles", timing=QUICK) as lock,
    ):
        assert "another run has taken" in resume(process)
        lock.ensure_held()
        publish(storage, "articles/ours.parquet", b"ours")
    names = [file.name for file in storage.list("articles")]
    assert names == ["articles/first.parquet", "articles/ours.parquet"]
    assert storage.list(UPLOADS) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_paused_holder_that_was_not_taken_over_commits(uri: str, moment: str) -> None:
    with stopped_holder(uri, moment) as process:
        assert resume(process) == "committed\n"
    names = [file.name for file in ObjectStorage(uri).list("")]
    committed = ["articles/first.parquet", "articles/late.parquet"]
    assert names == ["_staging/locks/articles.json", *committed]


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_next_holder_deletes_the_uploads_of_a_killed_one(uri: str, moment: str) -> None:
    storage = ObjectStorage(uri)
    with stopped_holder(uri, moment) as process:
        process.kill()
        process.wait()
        patient = Timing(expiry_s=600, poll_s=QUICK.poll_s)
        with locked(storage, "articles", timing=patient):  # it is known to be dead at once
            assert storage.list(UPLOADS) == []
            publish(storage, "articles/late.parquet", b"ours")
    assert storage.read("articles/late.parquet") == b"ours"


def test_a_commit_needs_every_exclusive_lock(uri: str) -> None:
    storage, other = ObjectStorage(uri), ObjectStorage(uri)
    with locked(storage, "articles", timing=QUICK), locked(storage, "parts", timing=QUICK):
        publish(storage, "articles/a.parquet", b"a")
        # As if it had been taken over: our entry is missing from the lock's object.
        other.write("_staging/locks/articles.json", b'{"holders": {}, "lost": []}')
        with pytest.raises(UserError, match="another run has taken over articles"):
            publish(storage, "articles/b.parquet", b"b")
    assert [file.name for file in storage.list("articles")] == ["articles/a.parquet"]
    assert storage.list(UPLOADS) == []


def test_a_commit_takes_four_requests(object_store: ObjectStoreServer, uri: str) -> None:
    storage = ObjectStorage(uri)
    never = Timing(heartbeat_s=600)
    with (
        locked(storage, "articles", timing=never),
        locked(storage, "parts", shared=True, timing=never),
    ):
        object_store.recover()
        publish(storage, "articles/a.parquet", bytes(1_000_000))
        # The upload, the heartbeat, the copy, and the deletion of the upload.
        assert object_store.counts() == {"PUT": 2, "COPY": 1, "DELETE": 1}


def test_on_azure_a_commit_is_an_upload_after_a_heartbeat(
    object_store: ObjectStoreServer, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, other = ObjectStorage(uri), ObjectStorage(uri)
    monkeypatch.setattr(storage, "_address", storage._address._replace(store="abfs"))
    with locked(storage, "articles", timing=Timing(heartbeat_s=600)):
        object_store.recover()
        publish(storage, "articles/a.parquet", b"a")
        assert object_store.counts() == {"PUT": 2}
        other.write("_staging/locks/articles.json", b'{"holders": {}, "lost": []}')
        with pytest.raises(UserError, match="another run has taken over articles"):
            publish(storage, "articles/b.parquet", b"b")
    assert [file.name for file in storage.list("articles")] == ["articles/a.parquet"]


@pytest.mark.parametrize("status", [409, 412])
def test_a_version_is_replaced_once_whatever_status_a_conflict_has(
    object_store: ObjectStoreServer, uri: str, status: Literal[409, 412]
) -> None:
    object_store.conflicts(status)
    storage = ObjectStorage(uri)
    first = storage.write_version("a", b"1", None)
    with pytest.raises(WriteConflict):
        storage.write_version("a", b"2", None)
    second = storage.write_version("a", b"2", first)
    with pytest.raises(WriteConflict):
        storage.write_version("a", b"3", first)
    assert storage.read_version("a") == (b"2", second)
    storage.delete("a")
    with pytest.raises(WriteConflict):
        storage.write_version("a", b"3", second)
