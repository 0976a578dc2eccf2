"""Find out who holds the locks of a lake without acquiring one, for read-only commands."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import NamedTuple, cast

from article_flows.tasks.locks.lease import LOCKS, LeaseEntry, LockState
from article_flows.tasks.locks.waiting import DEFAULT_TIMING, LockHolder, Timing
from article_flows.tasks.storage.base import Storage
from article_flows.tasks.storage.object_store import ObjectStorage


class HeldLock(NamedTuple):
    """An exclusively held lock; ``holder`` is None if it is unknown."""

    name: str
    holder: LockHolder | None

    def __str__(self) -> str:
        return str(self.holder) if self.holder else "an unknown run"


def held_locks(storage: Storage) -> dict[str, HeldLock]:
    """Return the exclusively held locks, by name.

    On an object store, a killed run on another machine still counts as a holder: only waiting for
    its heartbeat reveals its death (see `LockWatch`). Killed processes of this machine are excluded
    at once.
    """
    if storage.folder is not None:
        return _held_files(storage.folder / LOCKS)
    leases = _exclusive_leases(storage)
    return {name: HeldLock(name, each.holder) for name, each in leases if not each.holder.is_dead}


class LockWatch:
    """An observation of a lake's locks while the lake is inspected.

    Args:
        storage: The lake's storage.
        timing: Heartbeat interval and expiry; for tests.
    """

    def __init__(self, storage: Storage, timing: Timing = DEFAULT_TIMING) -> None:
        self._storage = storage
        self._timing = timing
        self._started = timing.clock()
        self._leases = _exclusive_leases(storage) if storage.folder is None else []
        self._held = held_locks(storage)

    def end(self) -> tuple[dict[str, HeldLock], list[HeldLock]]:
        """Stop observing; return the locks held at the start or now, and the stale ones.

        On an object store, a lease is stale if its holder sent no heartbeat for
        ``timing.expiry_s``; this waits until every holder has sent one or has expired. Shared
        leases are ignored: they stop no reader, and the next run that requests the lock exclusively
        removes stale ones.
        """
        held = self._held | held_locks(self._storage)
        if self._storage.folder is not None:
            return held, []
        stale = [HeldLock(name, each.holder) for name, each in self._wait_for_stale_leases()]
        stale_names = {each.name for each in stale}
        return {name: each for name, each in held.items() if name not in stale_names}, stale

    def _wait_for_stale_leases(self) -> list[tuple[str, LeaseEntry]]:
        while True:
            current = _exclusive_leases(self._storage)
            unchanged = [each for each in self._leases if each in current]
            remaining_s = self._timing.expiry_s - (self._timing.clock() - self._started)
            if remaining_s <= 0 or all(entry.holder.is_dead for _, entry in unchanged):
                return unchanged
            time.sleep(min(remaining_s, self._timing.poll_s[1]))


def _held_files(folder: Path) -> dict[str, HeldLock]:
    held = {}
    for path in sorted(folder.glob("*.lock")):
        note = _exclusive_note(path)
        if note is not None:
            held[path.stem] = HeldLock(path.stem, LockHolder.from_json(note))
    return held


def _exclusive_note(path: Path) -> bytes | None:
    """Return the note of a lock file's exclusive holder; None if there is no such holder."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        # A released lock has no note. So the kernel is queried only about locks that are held or
        # belonged to a killed run, and our probe never disturbs a run that acquires one.
        lines = os.pread(descriptor, os.fstat(descriptor).st_size, 0).splitlines()
        if lines:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return lines[-1]
    except OSError:
        return None  # the file system has no locks, so no run can hold one
    finally:
        os.close(descriptor)
    return None


def _exclusive_leases(storage: Storage) -> list[tuple[str, LeaseEntry]]:
    """Return the exclusive leases on an object store, each with the name of its lock."""
    object_storage = cast(ObjectStorage, storage)
    names = [file.name.removeprefix(f"{LOCKS}/") for file in object_storage.list(LOCKS)]
    return [
        (lock, entry)
        for lock in (name.removesuffix(".json") for name in names if "/" not in name)
        for entry in LockState.read(object_storage, lock).holders.values()
        if not entry.holder.shared
    ]
