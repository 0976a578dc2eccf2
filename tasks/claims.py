"""Locks of a lake on an object store: claims, which are objects that say "mine".

A store renames nothing, and through Arrow none writes "only if nobody has"; but S3, Google's,
Azure's and what is worth the name beside them list what was written as soon as it is
acknowledged. So whoever wants a lock *writes a claim, then lists, and withdraws* if there is any
claim in the list that its own cannot stand beside. Two can never both keep theirs: both were
written before they were listed, so the list of the one that wrote last has both. Both may
withdraw; they try again after pauses of random length.

A claim is one object below ``_staging/locks/<name>``: ``<mode>-<token>-<beat>.json``. A **sign of
life** is an object of the next beat, then a list, then the end of the object before. No name is
ever written twice. So if that list has the object before, it has been there all the time, some
object of the claim has been there since the claim began, and nobody can have listed without seeing
one: the lock was ours without a gap, whatever clocks say. If it is gone, somebody took us for dead,
and another run may have come and even ended since: the lock is lost and does not come back.

A holder is **dead** to those who wait if it was a process of their own machine that is there no
more, or if the beat they see has not changed for `Timing.expiry_s`
of their own clock (which does not stop while a machine sleeps; clocks of two machines are never
compared). They remove its objects, then claim like anybody. A holder that was only paused finds
that out at its next sign of life, and `Claim.still_held` asks for one as soon as the last is older
than half of that time: until then nobody can have come to that conclusion. Who waits begins to
count anew after a gap in what it has itself seen: an outage of the store that both notice costs
the holder nothing.

What remains is a holder paused for more than ``expiry_s / 2`` between ``still_held`` and the
commit that follows: without writes on a condition nobody can close that.
"""

from __future__ import annotations

import contextlib
import math
import re
import secrets
import threading
import time
from dataclasses import dataclass, field

from tasks.errors import StorageDown, UserError
from tasks.lock_waiting import Wanted
from tasks.storage import Storage

_NAME = re.compile(r"(?P<mode>read|write)-(?P<token>[0-9a-f]+)-(?P<beat>[0-9]+)\.json")
_MOST_BEATS = 3
"""Signs of life in a row that come too late; then the store is too slow to hold a lock by."""


@dataclass
class Listed:
    """A claim as a list shows it: its last beat, and the names of its objects."""

    shared: bool
    beat: int = -1
    names: list[str] = field(default_factory=list)


def list_claims(storage: Storage, name: str) -> dict[str, Listed]:
    """The claims of a lock by token; what else lies there is nobody's."""
    claims: dict[str, Listed] = {}
    for file in storage.list(_folder(name)):
        match = _NAME.fullmatch(file.name.rpartition("/")[2])
        if match is not None:
            claim = claims.setdefault(match["token"], Listed(match["mode"] == "read"))
            claim.beat = max(claim.beat, int(match["beat"]))
            claim.names.append(file.name)
    return claims


def rivals(claims: dict[str, Listed], shared: bool, own: str = "") -> dict[str, Listed]:
    """The claims that ours cannot stand beside: readers stand beside readers."""
    return {
        token: claim
        for token, claim in claims.items()
        if token != own and not (shared and claim.shared)
    }


def _folder(name: str) -> str:
    return f"_staging/locks/{name}"


class Claim:
    """A lock on an object store: `stake` it, `keep_alive`, ask `still_held`, `release` it."""

    def __init__(self, wanted: Wanted, storage: Storage) -> None:
        self._wanted = wanted
        self._storage = storage
        self._token = secrets.token_hex(8)
        self._content = wanted.holder().to_json()
        self._beat = -1
        self._proven = ""
        self._written: set[str] = set()
        self._sure_since = (-math.inf, -math.inf)
        self._lost = False
        self._renewing = threading.Lock()
        self._over = threading.Event()
        self._heart: threading.Thread | None = None

    @property
    def is_sure(self) -> bool:
        """Whether nobody can have taken us for dead yet; a look at two clocks.

        The machine's own counts its sleep, but may stand still while others pause it (a virtual
        machine that is frozen, say); the wall's may be set. Either can only take sureness away.
        """
        elapsed = (now - then for now, then in zip(self._now(), self._sure_since, strict=True))
        half = self._wanted.timing.expiry_s / 2
        return not self._lost and all(abs(seconds) < half for seconds in elapsed)

    def stake(self) -> bool:
        """Write the claim, list, and withdraw if there is a rival; whether the lock is ours."""
        try:
            began, name = self._write_next()
            claims = list_claims(self._storage, self._wanted.name)
        except StorageDown:
            raise  # it would not delete a claim either
        except BaseException:
            self._withdraw()
            raise
        if self._token not in claims or rivals(claims, self._wanted.shared, self._token):
            self._withdraw()
            return False
        self._trust(began, name)
        return True

    def renew(self) -> None:
        """Give a sign of life, and find out whether the lock has been ours all the time."""
        began, name = self._write_next()
        listed = list_claims(self._storage, self._wanted.name).get(self._token)
        if listed is None or self._proven not in listed.names:
            self._lost = True
            self._withdraw()
            return
        self._trust(began, name)
        self._delete(self._written - {name})

    def still_held(self) -> None:
        """Make sure that nobody has taken the lock over; see `tasks.locks.Lock`."""
        if self.is_sure:
            return
        with self._renewing:
            for _ in range(_MOST_BEATS):
                if self._lost or self.is_sure:
                    break
                self.renew()
        where = f"lake {self._wanted.root}"
        if self._lost:
            raise UserError(
                f"{where}: another run has taken {self._wanted.name} over while this one was "
                "paused or cut off; this one stops: run again (what it had in flight or not yet "
                "written down may be paid for twice)"
            )
        if not self.is_sure:
            raise StorageDown(
                f"{where}: the storage is too slow to hold the lock of {self._wanted.name}; run "
                "again when it is faster: what was answered is kept"
            )

    def keep_alive(self) -> None:
        """Begin to give signs of life, from a thread of its own."""
        name = f"lock-{self._wanted.name}"
        self._heart = threading.Thread(target=self._live, name=name, daemon=True)
        self._heart.start()

    def release(self) -> None:
        """Give it up; where the storage is away, after a while without it."""
        if self._heart is None:
            self._withdraw()
            return
        self._over.set()
        self._heart.join(self._wanted.timing.heartbeat_s)

    def _live(self) -> None:
        while not self._lost and not self._over.wait(self._wanted.timing.heartbeat_s):
            # Whatever it is, `still_held` meets it too, and tells those who can stop the run.
            with contextlib.suppress(Exception), self._renewing:
                self.renew()
        self._over.wait()
        self._withdraw()

    def _now(self) -> tuple[float, float]:
        return self._wanted.timing.clock(), time.time()

    def _write_next(self) -> tuple[tuple[float, float], str]:
        """Write an object of the next beat; when that began, and its name."""
        self._beat += 1
        mode = "read" if self._wanted.shared else "write"
        name = f"{_folder(self._wanted.name)}/{mode}-{self._token}-{self._beat:06}.json"
        began = self._now()
        self._written.add(name)
        self._storage.write(name, self._content)
        return began, name

    def _trust(self, began: tuple[float, float], name: str) -> None:
        self._proven = name
        self._sure_since = began

    def _withdraw(self) -> None:
        self._delete(set(self._written))

    def _delete(self, names: set[str]) -> None:
        """Remove objects of ours; one that stays is taken for dead in the end."""
        with contextlib.suppress(UserError):
            for name in names:
                self._storage.delete(name)
                self._written.discard(name)
