"""Locks of a lake: one writer of a table at a time, many readers of what nobody may delete.

In a folder of this machine a lock is the kernel's (`file_locks.py`), on an object store it is a
lease (`lease.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from article_flows.tasks.locks.waiting import TIMING, LockRequest, Timing
from article_flows.tasks.storage.base import Storage


class Lock(Protocol):
    """A lock that is held, as far as anybody can know."""

    @property
    def is_sure(self) -> bool:
        """Whether nobody can have taken it over; costs no request, so to be asked at any time."""
        ...

    def still_held(self) -> None:
        """Make sure that it is still ours; cheap, so to be called before each commit.

        Raises:
            UserError: it is not. What this run has not committed it must not commit.
            StorageUnavailable: the storage does not say.
        """
        ...

    def release(self) -> None:
        """Give it up."""
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
    timing: Timing = TIMING,
) -> Iterator[Lock]:
    """Hold the lake's lock of that name.

    A lock of a killed run blocks nobody for ever. In a folder it is gone with its process; on an
    object store others see within ``timing.expiry_s`` that it is dead, and so may wait that long
    even with ``wait_s=0``, to tell a dead holder from a living one.

    Args:
        storage: where the lake lies.
        name: what is locked, such as a table; a file name.
        shared: hold it with others who share it, rather than alone.
        wait_s: seconds to wait for a living holder to end.
        on_wait: told once, in one line, who is waited for.
        label: the flow run's name, for those who wait for us.
        timing: how often things are done; for tests.

    Raises:
        UserError: another run holds it, or the lake cannot be written or has no locks.
        StorageUnavailable: the storage does not answer.
    """
    wanted = LockRequest(storage.root, name, shared, label, wait_s, on_wait, timing)
    lock: Lock
    if storage.folder is not None:
        from article_flows.tasks.locks.file_locks import (
            lock_file,  # one of the two is all that a run needs
        )

        lock = lock_file(wanted, storage.folder)
    else:
        from article_flows.tasks.locks.lease import take_lease
        from article_flows.tasks.storage.object_store import ObjectStorage

        lock = take_lease(wanted, cast(ObjectStorage, storage))
    try:
        yield lock
    finally:
        lock.release()
