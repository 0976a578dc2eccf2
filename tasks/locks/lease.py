"""Locks of a lake on an object store: leases, all entries of one object that is only ever replaced
on the condition that it is still the version that was read (compare-and-swap).

The object ``_staging/locks/<name>.json`` lists its **holders**: one who holds the lock alone, or
several who share it. Who wants the lock adds itself if nobody is in the way, and who gives it up
removes itself; the object stays. A **heartbeat** is a write of the holder's entry with the next
beat. If the entry is gone, somebody took the holder for dead, and another run may have come and
even ended since: the lease is lost and does not come back.

A holder is **dead** to those who wait if it was a process of their own machine that is there no
more, or if the beat they see has not changed for `Timing.expiry_s` of their own clock (which does
not stop while a machine sleeps; clocks of two machines are never compared). Who waits begins to
count anew after a gap in what it has itself seen: an outage of the store that both notice costs
the holder nothing.

**Takeover.** One write removes the dead, adds the new holder, and notes the dead's sessions. Then
the new holder deletes what these sessions have uploaded and not committed, and only then goes on;
if it dies in between, the next finds the note. `object_store.py` has the other half: nothing
is committed but by a copy of an upload that was there before the lease was last renewed.

The claims of earlier versions, folders of objects below ``_staging/locks/``, are not looked at.
"""

from __future__ import annotations

import contextlib
import json
import random
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Self

from article_flows.tasks.common.errors import StorageUnavailable, UserError
from article_flows.tasks.locks.waiting import LockBusy, LockHolder, LockRequest, acquire
from article_flows.tasks.storage.object_store import UPLOADS, ObjectStorage
from article_flows.tasks.storage.retries import WriteConflict

if TYPE_CHECKING:
    from obstore import UpdateVersion

LOCKS = "_staging/locks"

_RELEASE_S = 10.0
"""Seconds to wait for the end of a lease; where the storage is away it expires."""

_MOST_TRIES = 5
"""Looks at a lock that others take meanwhile, before a pause."""

_MOST_CONFLICTS, _CONFLICT_S = 50, 0.1
"""Writes in a row that another's came before, and the longest pause between two, in seconds."""


class LeaseEntry(NamedTuple):
    """One holder in a lock's object.

    Attributes:
        beat: how many heartbeats it has given.
        session: of its storage, which names its uploads.
        holder: who it is, and whether it shares the lock.
    """

    beat: int
    session: str
    holder: LockHolder


@dataclass(frozen=True)
class LockState:
    """What a lock's object says.

    Attributes:
        holders: by token.
        lost: sessions that have lost the lock, and whose uploads may still be there.
        version: of the object; None if there is none.
    """

    holders: Mapping[str, LeaseEntry] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    version: UpdateVersion | None = None

    @classmethod
    def read(cls, storage: ObjectStorage, name: str) -> Self:
        """Read it; what cannot be understood has no holders."""
        try:
            content, version = storage.read_version(f"{LOCKS}/{name}.json")
        except FileNotFoundError:
            return cls()
        try:
            document = json.loads(content)
            holders = {
                token: LeaseEntry(beat, session, LockHolder(**holder))
                for token, (beat, session, holder) in document["holders"].items()
            }
            return cls(holders, frozenset(document["lost"]), version)
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls(version=version)

    def write(self, storage: ObjectStorage, name: str) -> Self:
        """Write it if the object is still the version that was read; Conflict if it is not."""
        holders = {
            token: (entry.beat, entry.session, entry.holder._asdict())
            for token, entry in self.holders.items()
        }
        content = json.dumps({"holders": holders, "lost": sorted(self.lost)}).encode()
        version = storage.write_version(f"{LOCKS}/{name}.json", content, self.version)
        return replace(self, version=version)


class Lease:
    """A lock on an object store: `keep_alive`, ask `still_held` or `prove`, `release` it.

    Args:
        wanted: the lock.
        storage: where it is.
        token: ours in ``state``.
        state: of the lock as we wrote it.
        began: when that write began, by the lock's clock.
    """

    def __init__(
        self,
        wanted: LockRequest,
        storage: ObjectStorage,
        token: str,
        state: LockState,
        began: float,
    ) -> None:
        self._wanted = wanted
        self._storage = storage
        self._token = token
        self._state = state
        self._entry = state.holders[token]
        self._swept = state.lost
        self._sure_since = began
        self._lost = False
        self._renewing = threading.Lock()
        self._over = threading.Event()
        self._heart: threading.Thread | None = None

    @property
    def is_sure(self) -> bool:
        """Whether nobody can have taken us for dead yet; a look at a clock."""
        elapsed = self._wanted.timing.clock() - self._sure_since
        return not self._lost and elapsed < self._wanted.timing.expiry_s / 2

    def sweep(self) -> None:
        """Delete what those who have lost the lock had uploaded and not committed."""
        for session in self._swept:
            for file in self._storage.list(f"{UPLOADS}/{session}"):
                self._storage.delete(file.name)

    def renew(self) -> None:
        """Give a heartbeat, and find out whether the lock has been ours all the time."""
        began = self._wanted.timing.clock()
        self._entry = self._entry._replace(beat=self._entry.beat + 1)
        if self._replace_entry(self._entry):
            self._sure_since = began
        else:
            self._lost = True

    def prove(self) -> None:
        """Make sure, by a heartbeat, that nobody had taken the lock over when this was called."""
        asked = self._wanted.timing.clock()
        with self._renewing:
            # A heartbeat that began since proves it for all who wait here.
            if not self._lost and self._sure_since <= asked:
                self.renew()
        if self._lost:
            raise UserError(
                f"lake {self._wanted.root}: another run has taken {self._wanted.name} over while "
                "this one was paused or cut off; this one stops: run again (what it had in flight "
                "or not yet written down may be paid for twice)"
            )

    def still_held(self) -> None:
        """Make sure that nobody has taken the lock over; see `Lock`."""
        if not self.is_sure:
            self.prove()
            if not self.is_sure:
                raise self._too_slow()

    def keep_alive(self) -> None:
        """Begin to give heartbeats, from a thread of its own.

        From here on nothing is published without a lock that is held alone.
        """
        if not self._wanted.shared:
            self._storage.fences.append(self)
        name = f"lock-{self._wanted.name}"
        self._heart = threading.Thread(target=self._live, name=name, daemon=True)
        self._heart.start()

    def release(self) -> None:
        """Give it up; where the storage is away, after a while without it."""
        if self._heart is None:
            self._withdraw()
            return
        if self in self._storage.fences:
            self._storage.fences.remove(self)
        self._over.set()
        self._heart.join(_RELEASE_S)

    def _live(self) -> None:
        while not self._lost and not self._over.wait(self._wanted.timing.heartbeat_s):
            # Whatever it is, `still_held` meets it too, and tells those who can stop the run.
            with contextlib.suppress(Exception), self._renewing:
                self.renew()
        self._over.wait()
        self._withdraw()

    def _withdraw(self) -> None:
        """Remove our entry; one that stays is taken for dead in the end."""
        with contextlib.suppress(UserError), self._renewing:
            self._replace_entry(None)

    def _replace_entry(self, entry: LeaseEntry | None) -> bool:
        """Replace our entry, or remove it; return whether it was still there."""
        name = self._wanted.name
        for _ in range(_MOST_CONFLICTS):
            if self._token not in self._state.holders:
                return False
            if self._state.holders[self._token] == entry:
                return True  # our write was applied, and not acknowledged
            holders = dict(self._state.holders)
            if entry is None:
                del holders[self._token]
            else:
                holders[self._token] = entry
            changed = replace(self._state, holders=holders, lost=self._state.lost - self._swept)
            try:
                self._state = changed.write(self._storage, name)
            except WriteConflict:
                # Others share the lock, or it is no longer ours.
                self._state = LockState.read(self._storage, name)
                time.sleep(random.uniform(0, _CONFLICT_S))
            else:
                return True
        raise self._too_slow()

    def _too_slow(self) -> StorageUnavailable:
        return StorageUnavailable(
            f"lake {self._wanted.root}: the storage is too slow to hold the lock of "
            f"{self._wanted.name}; run again when it is faster: what was answered is kept"
        )


def take_lease(wanted: LockRequest, storage: ObjectStorage) -> Lease:
    """Wait for a lock, and keep it alive.

    Raises:
        UserError: another run holds it, or the lake cannot be written.
        StorageUnavailable: the storage does not answer.
    """
    remedy = (
        f"the lock of a killed run is taken over at once on its own machine, else after "
        f"{wanted.timing.expiry_s:.0f} s"
    )
    held = acquire(wanted, LeaseCandidate(wanted, storage).attempt, remedy)
    try:
        _verify_conditional_writes(wanted, storage)
    except BaseException:
        held.release()
        raise
    held.keep_alive()
    return held


def _verify_conditional_writes(wanted: LockRequest, storage: ObjectStorage) -> None:
    """Write the lock's object, which is there, as if it were not: that must be refused."""
    with contextlib.suppress(WriteConflict):
        storage.write_version(f"{LOCKS}/{wanted.name}.json", b"{}", None)
        raise UserError(
            f"lake {wanted.root}: its store ignores the conditions of writes (If-None-Match), so "
            "no lock holds there; use a store that knows them, or a folder"
        )


class _Observation(NamedTuple):
    """Another's last beat, since when it has been that, and whether there was one before."""

    beat: int
    since: float
    alive: bool


class LeaseCandidate:
    """One who wants a lock, and what it has seen of those who have it."""

    def __init__(self, wanted: LockRequest, storage: ObjectStorage) -> None:
        self._wanted = wanted
        self._storage = storage
        self._token = secrets.token_hex(8)
        self._entry: LeaseEntry | None = None
        self._began = 0.0
        self._seen: dict[str, _Observation] = {}
        self._looked = wanted.timing.clock()

    def attempt(self) -> Lease | LockBusy:
        """Take the lock if nobody but the dead is in the way; never waits."""
        for _ in range(_MOST_TRIES):
            try:
                return self._try(LockState.read(self._storage, self._wanted.name))
            except WriteConflict:
                continue  # another was first: look again
        return LockBusy((), undecided=True)

    def _try(self, state: LockState) -> Lease | LockBusy:
        wanted, storage = self._wanted, self._storage
        alive, dead = self._judge(state)
        rivals = [
            token for token in alive if not (wanted.shared and state.holders[token].holder.shared)
        ]
        if rivals:
            holders = tuple(state.holders[token].holder for token in rivals)
            return LockBusy(holders, undecided=not any(self._seen[each].alive for each in rivals))
        if self._token not in state.holders or state.holders[self._token] != self._entry:
            holding = {token: state.holders[token] for token in alive}
            lost = state.lost | {state.holders[token].session for token in dead}
            self._began = wanted.timing.clock()
            self._entry = LeaseEntry(0, storage.session, wanted.holder())
            state = replace(state, holders={**holding, self._token: self._entry}, lost=lost)
            state = state.write(storage, wanted.name)
        lease = Lease(wanted, storage, self._token, state, self._began)
        self._token = secrets.token_hex(8)  # a lease that was lost must not come back with the next
        try:
            lease.sweep()
        except BaseException:
            lease.release()
            raise
        return lease

    def _judge(self, state: LockState) -> tuple[list[str], list[str]]:
        """Tell the other holders that may be alive from those that are dead."""
        timing = self._wanted.timing
        now = timing.clock()
        # What we did not see for a while may be the storage's fault, or our own sleep.
        if now - self._looked > timing.expiry_s / 2:
            self._seen.clear()
        self._looked = now
        others = {token: each for token, each in state.holders.items() if token != self._token}
        self._seen = {token: self._look(token, each.beat, now) for token, each in others.items()}
        dead = [
            token
            for token, each in others.items()
            if now - self._seen[token].since >= timing.expiry_s or each.holder.is_dead
        ]
        return [token for token in others if token not in dead], dead

    def _look(self, token: str, beat: int, now: float) -> _Observation:
        before = self._seen.get(token)
        if before is None or before.beat != beat:
            return _Observation(beat, now, alive=before is not None)
        return before
