"""Who holds the locks of a lake, found out without taking one: for those who only look."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import NamedTuple, cast

from article_flows.tasks.locks.lease import LOCKS, LeaseEntry, LockState
from article_flows.tasks.locks.waiting import TIMING, LockHolder, Timing
from article_flows.tasks.storage.base import Storage
from article_flows.tasks.storage.object_store import ObjectStorage


class HeldLock(NamedTuple):
    """A lock that a run holds alone; ``by`` is None where that is not told."""

    name: str
    by: LockHolder | None

    def __str__(self) -> str:
        return str(self.by) if self.by else "a run that does not say who it is"


def held_locks(storage: Storage) -> dict[str, HeldLock]:
    """The locks that are held alone now, by name.

    On an object store one that was killed is taken to hold its lock; only time can tell, or
    `LockWatch`. A killed process of this machine is known at once.
    """
    if storage.folder is not None:
        return _held_files(storage.folder / LOCKS)
    leases = _exclusive_leases(storage)
    return {name: HeldLock(name, each.holder) for name, each in leases if not each.holder.is_dead}


class LockWatch:
    """The locks that were held while something was looked at, and those that nobody holds.

    Args:
        storage: the lake's.
        timing: how often holders give a sign of life, and when they are dead; for tests.
    """

    def __init__(self, storage: Storage, timing: Timing = TIMING) -> None:
        self._storage = storage
        self._timing = timing
        self._began = timing.clock()
        self._leases = _exclusive_leases(storage) if storage.folder is None else []
        self._held = held_locks(storage)

    def end(self) -> tuple[dict[str, HeldLock], list[HeldLock]]:
        """The locks held at the beginning or now, and those of the dead.

        On an object store a holder is dead if it gives no sign of life for ``timing.expiry_s``;
        the wait for one ends as soon as all have given it. One that is shared stops no run, and
        goes with the next that wants the lock alone.
        """
        held = self._held | held_locks(self._storage)
        if self._storage.folder is not None:
            return held, []
        stale = [HeldLock(name, each.holder) for name, each in self._unmoved()]
        dead = {each.name for each in stale}
        return {name: each for name, each in held.items() if name not in dead}, stale

    def _unmoved(self) -> list[tuple[str, LeaseEntry]]:
        """The leases that are as they were at the beginning, once that is long enough ago."""
        while True:
            now = _exclusive_leases(self._storage)
            same = [each for each in self._leases if each in now]
            left = self._timing.expiry_s - (self._timing.clock() - self._began)
            if left <= 0 or all(entry.holder.is_dead for _, entry in same):
                return same
            time.sleep(min(left, self._timing.poll_s[1]))


def _held_files(folder: Path) -> dict[str, HeldLock]:
    held = {}
    for path in sorted(folder.glob("*.lock")):
        note = _note_of_holder(path)
        if note is not None:
            held[path.stem] = HeldLock(path.stem, LockHolder.from_json(note))
    return held


def _note_of_holder(path: Path) -> bytes | None:
    """What the one that holds a file alone has written there last; None if nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        # Whoever gives it up clears its note. So the kernel is asked only about a lock that is
        # held or was a killed run's, and a run about to take one does not find us in its way.
        lines = os.pread(descriptor, os.fstat(descriptor).st_size, 0).splitlines()
        if lines:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return lines[-1]
    except OSError:
        return None  # a file system without locks: no run can hold one there
    finally:
        os.close(descriptor)
    return None


def _exclusive_leases(storage: Storage) -> list[tuple[str, LeaseEntry]]:
    """The leases on an object store that are held alone, each with the name of its lock."""
    leases = cast(ObjectStorage, storage)
    names = [file.name.removeprefix(f"{LOCKS}/") for file in leases.list(LOCKS)]
    return [
        (lock, entry)
        for lock in (name.removesuffix(".json") for name in names if "/" not in name)
        for entry in LockState.read(leases, lock).holders.values()
        if not entry.holder.shared
    ]
