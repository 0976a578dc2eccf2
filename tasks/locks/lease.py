"""Locks of a lake on an object store: leases with heartbeats, fenced against paused holders.

Each lock is one object, ``_staging/locks/<name>.json``, which lists its **holders**: one exclusive
holder or several shared ones. It is only ever written by compare-and-swap: a write succeeds only if
the object is still the version that was read. A run acquires the lock by adding its entry if no
conflicting holder is listed, and releases it by removing the entry; the object itself remains. A
**heartbeat** rewrites the holder's entry with an incremented counter. If a holder finds its entry
missing, another run considered it dead, and may have acquired and even released the lock since: the
lease is lost and is never regained.

A waiting run considers a holder **dead** if it was a process of the same machine that no longer
exists, or if its counter has not changed for `Timing.expiry_s` of the waiting run's own clock. That
clock does not stop while the machine sleeps, and clocks of different machines are never compared.
After a gap in its own observations, a waiting run restarts that count, so an outage of the store
that affects both runs does not cost the holder its lease.

**Takeover.** A single write removes the dead holders, adds the new one, and records the sessions of
the dead ones as lost. Before anything else, the new holder deletes the uncommitted uploads of the
lost sessions; if it dies before that, the next holder finds the record. `bucket_files.py` has the
other half of the fence: a commit is always a copy of an upload that existed before the lease was
last renewed.

Locks of earlier versions, folders of objects below ``_staging/locks/``, are ignored.
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

_RELEASE_TIMEOUT_S = 10.0
"""How long to wait until a lease is released, in seconds; if the storage is down, it expires."""

_MAX_ACQUIRE_CONFLICTS = 5
"""Write conflicts in a row after which an attempt to acquire the lock ends."""

_MAX_RENEW_CONFLICTS, _MAX_CONFLICT_PAUSE_S = 50, 0.1
"""Write conflicts in a row after which a renewal fails, and the longest pause between two, in
seconds."""


class LeaseEntry(NamedTuple):
    """The entry of one holder in a lock's object.

    Attributes:
        beat: The number of heartbeats so far.
        session: The `ObjectStorage.session` of the holder, which names its uploads.
        holder: The run, and whether it shares the lock.
    """

    beat: int
    session: str
    holder: LockHolder


@dataclass(frozen=True)
class LockState:
    """The content of a lock's object.

    Attributes:
        holders: Entries by the unique token of each acquisition.
        lost: Sessions that lost the lock and may still have uncommitted uploads.
        version: The object's version, or None if it does not exist.
    """

    holders: Mapping[str, LeaseEntry] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    version: UpdateVersion | None = None

    @classmethod
    def read(cls, storage: ObjectStorage, name: str) -> Self:
        """Read a lock's object; one that cannot be parsed has no holders."""
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
        """Write the object if it still has ``version``, and return the new state.

        Raises:
            WriteConflict: Another run has written it.
        """
        holders = {
            token: (entry.beat, entry.session, entry.holder._asdict())
            for token, entry in self.holders.items()
        }
        content = json.dumps({"holders": holders, "lost": sorted(self.lost)}).encode()
        version = storage.write_version(f"{LOCKS}/{name}.json", content, self.version)
        return replace(self, version=version)


class Lease:
    """An acquired lock on an object store; see `Lock`.

    Args:
        storage: The lake's storage.
        token: The key of our entry in ``state``.
        state: The lock's object as we wrote it.
        written_at: The clock's time just before that write.
    """

    def __init__(
        self,
        request: LockRequest,
        storage: ObjectStorage,
        token: str,
        state: LockState,
        written_at: float,
    ) -> None:
        self._request = request
        self._storage = storage
        self._token = token
        self._state = state
        self._entry = state.holders[token]
        self._lost_sessions = state.lost
        self._renewed_at = written_at
        self._lost = False
        self._renewal = threading.Lock()
        self._released = threading.Event()
        self._heartbeat: threading.Thread | None = None

    @property
    def is_valid(self) -> bool:
        """Whether no other run can have considered us dead yet; only looks at the clock."""
        elapsed = self._request.timing.clock() - self._renewed_at
        return not self._lost and elapsed < self._request.timing.expiry_s / 2

    def delete_lost_uploads(self) -> None:
        """Delete the uncommitted uploads of the sessions that lost the lock."""
        for session in self._lost_sessions:
            for file in self._storage.list(f"{UPLOADS}/{session}"):
                self._storage.delete(file.name)

    def renew(self) -> None:
        """Send a heartbeat, and record whether the lease was lost."""
        started_at = self._request.timing.clock()
        self._entry = self._entry._replace(beat=self._entry.beat + 1)
        if self._replace_entry(self._entry):
            self._renewed_at = started_at
        else:
            self._lost = True

    def confirm(self) -> None:
        """Confirm by a heartbeat that the lease was held when this was called; see `Fence`."""
        called_at = self._request.timing.clock()
        with self._renewal:
            # A heartbeat that started since this call, for another thread, confirms it as well.
            if not self._lost and self._renewed_at <= called_at:
                self.renew()
        if self._lost:
            raise UserError(
                f"lake {self._request.root}: another run has taken over {self._request.name} while "
                "this one was paused or disconnected; this run stops: run again (answers in flight "
                "or not yet saved may be paid for twice)"
            )

    def ensure_held(self) -> None:
        """Check that no other run has taken over the lock; see `Lock`."""
        if not self.is_valid:
            self.confirm()
            if not self.is_valid:
                raise self._too_slow_error()

    def keep_alive(self) -> None:
        """Start the heartbeat thread.

        An exclusive lease also becomes a fence: from now on, the storage publishes files only while
        it is held.
        """
        if not self._request.shared:
            self._storage.fences.append(self)
        name = f"lock-{self._request.name}"
        self._heartbeat = threading.Thread(target=self._send_heartbeats, name=name, daemon=True)
        self._heartbeat.start()

    def release(self) -> None:
        """Release the lock; if the storage is down, stop waiting for it after 10 seconds."""
        if self._heartbeat is None:
            self._remove_entry()
            return
        if self in self._storage.fences:
            self._storage.fences.remove(self)
        self._released.set()
        self._heartbeat.join(_RELEASE_TIMEOUT_S)

    def _send_heartbeats(self) -> None:
        while not self._lost and not self._released.wait(self._request.timing.heartbeat_s):
            # If an error persists, `ensure_held` raises it in a thread that can stop the run.
            with contextlib.suppress(Exception), self._renewal:
                self.renew()
        self._released.wait()
        self._remove_entry()

    def _remove_entry(self) -> None:
        # If this fails, the entry expires.
        with contextlib.suppress(UserError), self._renewal:
            self._replace_entry(None)

    def _replace_entry(self, entry: LeaseEntry | None) -> bool:
        """Replace or remove our entry; return whether it was still listed."""
        name = self._request.name
        for _ in range(_MAX_RENEW_CONFLICTS):
            if self._token not in self._state.holders:
                return False
            if self._state.holders[self._token] == entry:
                return True  # our previous write was applied but not acknowledged
            holders = dict(self._state.holders)
            if entry is None:
                del holders[self._token]
            else:
                holders[self._token] = entry
            lost = self._state.lost - self._lost_sessions  # their uploads are deleted
            changed = replace(self._state, holders=holders, lost=lost)
            try:
                self._state = changed.write(self._storage, name)
            except WriteConflict:
                # Another shared holder wrote first, or the lease is lost.
                self._state = LockState.read(self._storage, name)
                time.sleep(random.uniform(0, _MAX_CONFLICT_PAUSE_S))
            else:
                return True
        raise self._too_slow_error()

    def _too_slow_error(self) -> StorageUnavailable:
        return StorageUnavailable(
            f"lake {self._request.root}: the storage is too slow to hold the lock of "
            f"{self._request.name}; run again when it is faster: answers received so far are kept"
        )


def take_lease(request: LockRequest, storage: ObjectStorage) -> Lease:
    """Wait for a lock, acquire it, and start its heartbeat.

    Raises:
        UserError: Another run holds it, or the lake cannot be written.
        StorageUnavailable: The storage does not respond.
    """
    remedy = (
        f"the lock of a killed run is taken over at once on its own machine, else after "
        f"{request.timing.expiry_s:.0f} s"
    )
    lease = acquire(request, LeaseCandidate(request, storage).attempt, remedy)
    try:
        _verify_conditional_writes(request, storage)
    except BaseException:
        lease.release()
        raise
    lease.keep_alive()
    return lease


def _verify_conditional_writes(request: LockRequest, storage: ObjectStorage) -> None:
    """Check that the store rejects creating the lock's object, which exists."""
    with contextlib.suppress(WriteConflict):
        storage.write_version(f"{LOCKS}/{request.name}.json", b"{}", None)
        raise UserError(
            f"lake {request.root}: its store ignores conditional writes (If-None-Match), so locks "
            "do not work there; use a store that supports them, or a folder"
        )


class _Observation(NamedTuple):
    """What is known of another holder.

    Attributes:
        beat: Its last heartbeat.
        since: When that heartbeat was first seen, by our clock.
        alive: Whether it has sent a heartbeat since it was first seen.
    """

    beat: int
    since: float
    alive: bool


class LeaseCandidate:
    """A run that tries to acquire a lock, with its observations of the current holders."""

    def __init__(self, request: LockRequest, storage: ObjectStorage) -> None:
        self._request = request
        self._storage = storage
        self._token = secrets.token_hex(8)
        self._entry: LeaseEntry | None = None
        self._written_at = 0.0
        self._observed: dict[str, _Observation] = {}
        self._observed_at = request.timing.clock()

    def attempt(self) -> Lease | LockBusy:
        """Acquire the lock unless a holder that may be alive conflicts with it; never wait."""
        for _ in range(_MAX_ACQUIRE_CONFLICTS):
            try:
                return self._attempt(LockState.read(self._storage, self._request.name))
            except WriteConflict:
                continue  # another run wrote first
        return LockBusy((), undecided=True)

    def _attempt(self, state: LockState) -> Lease | LockBusy:
        request, storage = self._request, self._storage
        alive, dead = self._observe(state)
        rivals = [
            token for token in alive if not (request.shared and state.holders[token].holder.shared)
        ]
        if rivals:
            holders = tuple(state.holders[token].holder for token in rivals)
            seen_alive = any(self._observed[token].alive for token in rivals)
            return LockBusy(holders, undecided=not seen_alive)
        # Our entry is already there if an earlier write was applied but not acknowledged.
        if self._token not in state.holders or state.holders[self._token] != self._entry:
            remaining = {token: state.holders[token] for token in alive}
            lost = state.lost | {state.holders[token].session for token in dead}
            self._written_at = request.timing.clock()
            self._entry = LeaseEntry(0, storage.session, request.holder())
            state = replace(state, holders={**remaining, self._token: self._entry}, lost=lost)
            state = state.write(storage, request.name)
        lease = Lease(request, storage, self._token, state, self._written_at)
        self._token = secrets.token_hex(8)  # a later lease must not revive one that was lost
        try:
            lease.delete_lost_uploads()
        except BaseException:
            lease.release()
            raise
        return lease

    def _observe(self, state: LockState) -> tuple[list[str], list[str]]:
        """Return the tokens of other holders that may be alive, and of those that are dead."""
        timing = self._request.timing
        now = timing.clock()
        # Heartbeats may have been missed because the store was down or this machine was asleep.
        if now - self._observed_at > timing.expiry_s / 2:
            self._observed.clear()
        self._observed_at = now
        others = {token: each for token, each in state.holders.items() if token != self._token}
        self._observed = {
            token: self._observe_beat(token, each.beat, now) for token, each in others.items()
        }
        dead = [
            token
            for token, each in others.items()
            if now - self._observed[token].since >= timing.expiry_s or each.holder.is_dead
        ]
        return [token for token in others if token not in dead], dead

    def _observe_beat(self, token: str, beat: int, now: float) -> _Observation:
        previous = self._observed.get(token)
        if previous is None or previous.beat != beat:
            return _Observation(beat, now, alive=previous is not None)
        return previous
