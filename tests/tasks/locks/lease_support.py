"""Support for tests of leases: stores without a network, and threads driven step by step."""

import fcntl
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.locks.lease import LeaseEntry, LockState
from article_flows.tasks.locks.waiting import LockHolder, LockRequest, Timing
from article_flows.tasks.storage.base import StoredFile
from article_flows.tasks.storage.local import LocalStorage
from article_flows.tasks.storage.object_store import Fence, ObjectStorage
from article_flows.tasks.storage.retries import WriteConflict

if TYPE_CHECKING:
    from obstore import UpdateVersion

EXPIRY_S = 45.0
QUICK = Timing(heartbeat_s=0.02, expiry_s=1.0, poll_s=(0.01, 0.03))
PATIENT = Timing(heartbeat_s=0.02, expiry_s=60, poll_s=(0.01, 0.03))


class LockOnlyStorage(ObjectStorage):
    """An object storage without the operations that locks must not use."""

    def __init__(self) -> None:
        self.root = "s3://bucket/lake"
        self.session = "a-session"
        self.fences: list[Fence] = []

    def read(self, name: str) -> bytes:
        raise NotImplementedError

    def open(self, name: str) -> Any:
        raise NotImplementedError

    def write(self, name: str, content: bytes) -> None:
        raise NotImplementedError

    def publish(self, staged: Path, name: str) -> None:
        raise NotImplementedError

    def location(self, name: str) -> str:
        raise NotImplementedError

    def watch(self, listener: Callable[[bool], None]) -> None:
        raise NotImplementedError


def version_of(content: bytes) -> "UpdateVersion":
    return {"e_tag": hashlib.sha256(content).hexdigest(), "version": None}


class FolderAsObjects(LockOnlyStorage):
    """A local folder that processes share as if it were a bucket with conditional writes.

    Attributes:
        before: Called with the operation and the name before each operation; may pause or raise.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder
        self._files = LocalStorage(str(folder))
        self.before: Callable[[str, str], None] = lambda operation, name: None

    def list(self, folder: str) -> list[StoredFile]:
        self.before("list", folder)
        return self._files.list(folder)

    def delete(self, name: str) -> None:
        self.before("delete", name)
        self._files.delete(name)

    def read_version(self, name: str) -> tuple[bytes, "UpdateVersion"]:
        self.before("read", name)
        content = self._files.read(name)
        return content, version_of(content)

    def write_version(
        self, name: str, content: bytes, expected: "UpdateVersion | None"
    ) -> "UpdateVersion":
        self.before("write", name)
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "mutex").open("w") as mutex:
            fcntl.flock(mutex, fcntl.LOCK_EX)
            try:
                current = version_of(self._files.read(name))
            except FileNotFoundError:
                current = None
            if current != expected:
                raise WriteConflict(name)
            self._files.write(name, content)
        return version_of(content)


class Failing:
    """Makes the chosen operations of a store fail."""

    def __init__(self, storage: FolderAsObjects, error: UserError) -> None:
        self.operations: set[str] = set()
        self._error = error
        storage.before = self._fail

    def _fail(self, operation: str, name: str) -> None:
        if operation in self.operations:
            raise self._error


def leave_lock(storage: ObjectStorage, name: str, *, shared: bool = False) -> None:
    """Write the lock of a run on another machine that sends no heartbeats."""
    holder = LockHolder("elsewhere", 7, "today", "lost-owl", shared, "another boot", "1")
    state = LockState({"0f1e": LeaseEntry(3, "a-session", holder)})
    state.write(storage, name)


def holders(storage: ObjectStorage, name: str = "articles") -> int:
    """Return the number of holders that a lock's object lists, dead ones included."""
    return len(LockState.read(storage, name).holders)


class InMemoryObjects(LockOnlyStorage):
    """An in-memory store whose operations wait for the test, in threads that `start` has started.

    Attributes:
        objects: Contents by name.
        now: The time of its clock, in seconds.
        clock_takes_turns: Whether reading the clock also waits for the test.
    """

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}
        self.now = 0.0
        self.clock_takes_turns = False
        self._turns = threading.local()

    def clock(self) -> float:
        if self.clock_takes_turns:
            self.turn()
        return self.now

    def list(self, folder: str) -> list[StoredFile]:
        self.turn()
        return [
            StoredFile(name, len(self.objects[name]))
            for name in sorted(self.objects)
            if name.startswith(f"{folder}/")
        ]

    def delete(self, name: str) -> None:
        self.turn()
        self.objects.pop(name, None)

    def read_version(self, name: str) -> tuple[bytes, "UpdateVersion"]:
        self.turn()
        try:
            return self.objects[name], version_of(self.objects[name])
        except KeyError:
            raise FileNotFoundError(name) from None

    def write_version(
        self, name: str, content: bytes, expected: "UpdateVersion | None"
    ) -> "UpdateVersion":
        self.turn()
        current = version_of(self.objects[name]) if name in self.objects else None
        if current != expected:
            raise WriteConflict(name)
        self.objects[name] = content
        return version_of(content)

    def turn(self) -> None:
        """Wait for the next step, if this thread is driven step by step."""
        turn = getattr(self._turns, "turn", None)
        if turn is not None:
            turn.wait()

    def start(self, script: Callable[[], None]) -> "Stepped":
        """Run a script in its own thread, up to its first operation."""

        def run(turn: Stepped) -> None:
            self._turns.turn = turn
            script()

        return Stepped(run)

    def request(self, *, shared: bool = False) -> LockRequest:
        """Return a request for the lock without waiting."""
        timing = Timing(expiry_s=EXPIRY_S, clock=self.clock)
        return LockRequest(self.root, "articles", shared, "", 0.0, None, timing)


class _Aborted(BaseException):
    pass


class Stepped:
    """A thread that stops before each operation until `step` is called."""

    def __init__(self, run: Callable[["Stepped"], None]) -> None:
        self.ended = False
        self.error: BaseException | None = None
        self._aborted = False
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(run,), daemon=True)
        self._thread.start()
        self._stopped.acquire()

    def step(self) -> None:
        """Let it perform one operation and continue up to the next one."""
        if not self.ended:
            self._go.release()
            self._stopped.acquire()
        if self.error is not None:
            raise self.error

    def abort(self) -> None:
        """End it where it is, as if it were killed."""
        self._aborted = True
        self._go.release()
        self._thread.join()

    def wait(self) -> None:
        """Stop until the next step; called by the store."""
        if not self._aborted:
            self._stopped.release()
            self._go.acquire()
        if self._aborted:
            raise _Aborted

    def _run(self, run: Callable[["Stepped"], None]) -> None:
        try:
            run(self)
        except _Aborted:
            pass
        except BaseException as error:
            self.error = error
        self.ended = True
        self._stopped.release()


@contextmanager
def stepped(store: InMemoryObjects, scripts: list[Callable[[], None]]) -> Iterator[list[Stepped]]:
    """Run scripts step by step; kill those still running at the end."""
    running = [store.start(script) for script in scripts]
    try:
        yield running
    finally:
        for each in running:
            each.abort()
