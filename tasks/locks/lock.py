"""`locked`: named locks of a lake, exclusive for a writer or shared by readers.

In a local folder, a lock is a file lock (`file_locks.py`); on an object store, a lease
(`lease.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from article_flows.tasks.locks.waiting import DEFAULT_TIMING, LockRequest, Timing
from article_flows.tasks.storage.base import Storage


class Lock(Protocol):
    """An acquired lock. A lease may be lost without notice; see `ensure_held`."""

    @property
    def is_valid(self) -> bool:
        """Whether no other run can have taken the lock over yet; costs no request."""
        ...

    def ensure_held(self) -> None:
        """Check that the lock is still held; cheap enough to call before each commit.

        Raises:
            UserError: The lock is lost. This run must not commit anything more.
            StorageUnavailable: The storage does not respond.
        """
        ...

    def release(self) -> None:
        """Release the lock."""
        ...


@contextmanager
def locked(
    storage: Storage,
    name: str,
    *,
    shared: bool = False,
    wait_s: float = 0.0,
    on_wait: Callable[[str], None] | None = None,
    label: str = "",
    timing: Timing = DEFAULT_TIMING,
) -> Iterator[Lock]:
    """Hold a named lock of a lake.

    The lock of a killed run never blocks others forever. In a local folder, the kernel releases it
    with the process. On an object store, other runs detect a dead holder within
    ``timing.expiry_s``, and may wait that long even with ``wait_s=0``, since only its missing
    heartbeats distinguish a dead holder from a live one.

    Args:
        storage: The lake's storage.
        name: The lock's name, such as a table's; must be valid as a file name.
        shared: Whether to share the lock with other shared holders.
        wait_s: How long to wait for a live holder to release it, in seconds.
        on_wait: Called once, with a one-line message that names the holder, if the lock is busy.
        label: The flow run's name, shown to runs that wait for this one.
        timing: Heartbeat and polling intervals; for tests.

    Raises:
        UserError: Another run holds the lock, or the lake cannot be written or has no locks.
        StorageUnavailable: The storage does not respond.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from article_flows.tasks.storage.local import LocalStorage
        >>> with TemporaryDirectory() as folder:
        ...     with locked(LocalStorage(folder), "articles"):
        ...         print("nothing else writes articles now")
        nothing else writes articles now
    """
    request = LockRequest(storage.root, name, shared, label, wait_s, on_wait, timing)
    lock: Lock
    if storage.folder is not None:
        # Imported here because a run needs only one of the two.
        from article_flows.tasks.locks.file_locks import lock_file

        lock = lock_file(request, storage.folder)
    else:
        from article_flows.tasks.locks.lease import take_lease
        from article_flows.tasks.storage.object_store import ObjectStorage

        lock = take_lease(request, cast(ObjectStorage, storage))
    try:
        yield lock
    finally:
        lock.release()
