"""Who wants a lock on an object store: looks at its rivals, removes the dead, claims it.

What a claim is, and why two never both keep theirs: `tasks.claims`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tasks.claims import Claim, Listed, list_claims, rivals
from tasks.errors import StorageDown, UserError
from tasks.lock_waiting import Holder, Obstacle, Wanted, obtain
from tasks.storage import Storage


def claim(wanted: Wanted, storage: Storage) -> Claim | None:
    """Wait for a lock, and keep it alive; None is that a reader shall go on without.

    Raises:
        UserError: another run holds it, or the lake cannot be written.
        StorageDown: the storage does not answer.
    """
    expiry_s = wanted.timing.expiry_s
    remedy = (
        f"the lock of a killed run is taken over at once on its own machine, else after "
        f"{expiry_s:.0f} s"
    )
    held = obtain(wanted, Contender(wanted, storage).attempt, remedy)
    if held is not None:
        held.keep_alive()
    return held


@dataclass
class _Watched:
    """A rival's last beat, since when it has been that, and whether there was another before."""

    beat: int
    since: float
    holder: Holder | None
    alive: bool = False


class Contender:
    """One who wants a lock, and what it has seen of those in its way."""

    def __init__(self, wanted: Wanted, storage: Storage) -> None:
        self._wanted = wanted
        self._storage = storage
        self._watched: dict[str, _Watched] = {}
        self._looked = wanted.timing.clock()

    def attempt(self) -> Claim | Obstacle | None:
        """Look, then claim the lock if there is nobody but the dead; never waits.

        To look first spares the store a claim at each attempt, and the holder's other rivals the
        sight of it.
        """
        in_the_way, dead = self._look()
        if in_the_way:
            holders = tuple(each.holder for each in in_the_way if each.holder is not None)
            return Obstacle(holders, undecided=not any(each.alive for each in in_the_way))
        try:
            for name in dead:
                self._storage.delete(name)
            held = Claim(self._wanted, self._storage)
            return held if held.stake() else Obstacle((), undecided=True)
        except StorageDown:
            raise
        except UserError:
            if self._wanted.read_only_ok:
                return None
            raise

    def _look(self) -> tuple[list[_Watched], list[str]]:
        """The rivals that may be alive, and the objects of those that are not."""
        timing = self._wanted.timing
        began = timing.clock()
        found = rivals(list_claims(self._storage, self._wanted.name), self._wanted.shared)
        ended = timing.clock()
        # What we did not see for a while may be the storage's fault, or our own sleep.
        if ended - self._looked > timing.expiry_s / 2:
            self._watched.clear()
        self._looked = ended
        self._watched = {
            token: self._watch(self._watched.get(token), rival, ended)
            for token, rival in found.items()
        }
        dead = {
            token
            for token, watched in self._watched.items()
            if began - watched.since >= timing.expiry_s
            or (watched.holder is not None and watched.holder.has_died)
        }
        return (
            [watched for token, watched in self._watched.items() if token not in dead],
            [name for token in dead for name in found[token].names],
        )

    def _watch(self, before: _Watched | None, rival: Listed, now: float) -> _Watched:
        holder = (before and before.holder) or self._holder_of(rival)
        if before is None:
            return _Watched(rival.beat, now, holder)
        if before.beat == rival.beat:
            return replace(before, holder=holder)
        return _Watched(rival.beat, now, holder, alive=True)

    def _holder_of(self, rival: Listed) -> Holder | None:
        try:
            return Holder.from_json(self._storage.read(rival.names[-1]))
        except FileNotFoundError:
            return None  # it went, or gave a sign of life, while we looked
