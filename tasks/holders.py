"""Who holds the locks of a lake, found out without taking one: for those who only look."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import NamedTuple

from tasks.claims import list_claims
from tasks.lock_waiting import TIMING, Holder, Timing
from tasks.storage import Storage

_FOLDER = "_staging/locks"


class Held(NamedTuple):
    """A lock that a run holds alone; ``by`` is None where that is not told."""

    name: str
    by: Holder | None

    def __str__(self) -> str:
        return str(self.by) if self.by else "a run that does not say who it is"


class _Claimed(NamedTuple):
    """A claim on an object store as it was seen last."""

    lock: str
    beat: int
    shared: bool
    by: Holder | None


def held_locks(storage: Storage) -> dict[str, Held]:
    """The locks that are held alone now, by name.

    On an object store one that was killed is taken to hold its lock; only time can tell, or
    `LockWatch`. A killed process of this machine is known at once.
    """
    if storage.folder is not None:
        return _held_files(storage.folder / _FOLDER)
    claims = _claims(storage).values()
    return {
        each.lock: Held(each.lock, each.by)
        for each in claims
        if not each.shared and not (each.by and each.by.has_died)
    }


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
        self._claims = _claims(storage) if storage.folder is None else {}
        self._held = held_locks(storage)

    def end(self) -> tuple[dict[str, Held], list[Held]]:
        """The locks held at the beginning or now, and those of the dead.

        On an object store a holder is dead if it gives no sign of life for ``timing.expiry_s``;
        the wait for one ends as soon as all have given it. One that is shared stops no run, and
        goes with the next that wants the lock alone.
        """
        held = self._held | held_locks(self._storage)
        if self._storage.folder is not None:
            return held, []
        dead = self._unmoved()
        names = {each.lock for each in dead}
        stale = [Held(each.lock, each.by) for each in dead]
        return {name: each for name, each in held.items() if name not in names}, stale

    def _unmoved(self) -> list[_Claimed]:
        """The claims that are as they were at the beginning, once that is long enough ago."""
        while True:
            now = _claims(self._storage)
            same = {
                token: each
                for token, each in self._claims.items()
                if not each.shared and token in now and now[token].beat == each.beat
            }
            left = self._timing.expiry_s - (self._timing.clock() - self._began)
            if left <= 0 or all(each.by and each.by.has_died for each in same.values()):
                return list(same.values())
            time.sleep(min(left, self._timing.poll_s[1]))


def _held_files(folder: Path) -> dict[str, Held]:
    held = {}
    for path in sorted(folder.glob("*.lock")):
        note = _note_of_holder(path)
        if note is not None:
            held[path.stem] = Held(path.stem, Holder.from_json(note))
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


def _claims(storage: Storage) -> dict[str, _Claimed]:
    """All claims on an object store by token."""
    locks = {file.name.split("/")[2] for file in storage.list(_FOLDER) if file.name.count("/") > 2}
    found = {}
    for lock in sorted(locks):
        for token, claim in list_claims(storage, lock).items():
            try:
                holder = Holder.from_json(storage.read(claim.names[-1]))
            except FileNotFoundError:
                holder = None  # it went, or gave a sign of life, while we looked
            found[token] = _Claimed(lock, claim.beat, claim.shared, holder)
    return found
