"""Who holds a lock of a lake, and how to wait for it; the same for folders and object stores."""

from __future__ import annotations

import json
import math
import os
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from article_flows.tasks.common.errors import Locked

T = TypeVar("T")

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_STATE, _STARTED = 0, 19
"""Fields of /proc/<pid>/stat behind the name, which may hold anything: proc_pid_stat(5)."""


def suspend_aware_clock() -> float:
    """Seconds since some moment; those that the machine slept count, and nobody sets them.

    Linux leaves suspended time out of its monotonic clock, hence CLOCK_BOOTTIME; macOS counts it
    in its CLOCK_MONOTONIC, though not in Python's `time.monotonic`.
    """
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True)
class Timing:
    """How often things are done about locks.

    Attributes:
        heartbeat_s: seconds from one sign of life of a holder to its next, on an object store.
        expiry_s: seconds without one after which its lock is taken over. A holder is sure of its
            lock for half of it, so a heartbeat may come that late.
        poll_s: the shortest and the longest pause between two looks of one who waits, in seconds.
        clock: seconds since some moment, as `suspend_aware_clock`.
    """

    heartbeat_s: float = 10.0
    expiry_s: float = 45.0
    poll_s: tuple[float, float] = (0.5, 3.0)
    clock: Callable[[], float] = suspend_aware_clock


TIMING = Timing()


@cache
def machine_id() -> str:
    """This boot of this machine, and the space of process ids in it; empty if that is not told.

    Two containers of one machine may have the same name and number, and are told apart.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def started(pid: int) -> str:
    """When a process of this machine began, in ticks of its clock; empty if there is none.

    Process ids come again, with other beginnings. One that is dead and not yet buried is none.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    fields = stat.rpartition(b")")[2].split()
    return "" if fields[_STATE] in (b"Z", b"X") else fields[_STARTED].decode()


class LockHolder(NamedTuple):
    """A run as it presents itself to those who wait for it."""

    host: str
    pid: int
    since: str
    label: str
    shared: bool
    machine: str
    started: str

    @classmethod
    def current_process(cls, label: str, shared: bool) -> LockHolder:
        """This process, from now on."""
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        name, pid = " ".join(label.split()), os.getpid()
        return cls(socket.gethostname(), pid, since, name, shared, machine_id(), started(pid))

    def to_json(self) -> bytes:
        """What `from_json` reads, in one line."""
        return json.dumps(self._asdict()).encode()

    @classmethod
    def from_json(cls, content: bytes) -> LockHolder | None:
        """Who wrote this; None for what is no holder's."""
        try:
            fields = json.loads(content)
            return cls(*(fields[name] for name in cls._fields))
        except (ValueError, TypeError, KeyError):
            return None

    @property
    def is_dead(self) -> bool:
        """Whether it was a process of this machine that is no more; False where nobody can tell."""
        here = bool(self.machine) and self.machine == machine_id()
        return here and started(self.pid) != self.started

    def __str__(self) -> str:
        label = f"flow run {self.label}, " if self.label else ""
        return f"{label}process {self.pid} on {self.host}, since {self.since}"


class LockBusy(NamedTuple):
    """Why a lock cannot be had now.

    Attributes:
        holders: the runs in the way, as far as they are known.
        undecided: they may be dead, or about to withdraw: only time can tell.
    """

    holders: tuple[LockHolder, ...]
    undecided: bool = False


@dataclass(frozen=True)
class LockRequest:
    """A lock that somebody wants, and how much; the arguments of `locked`."""

    root: str
    name: str
    shared: bool
    label: str
    wait_s: float
    on_wait: Callable[[str], None] | None
    timing: Timing

    def holder(self) -> LockHolder:
        """How this run presents itself if it gets the lock now."""
        return LockHolder.current_process(self.label, self.shared)


def acquire(wanted: LockRequest, attempt: Callable[[], T | LockBusy], remedy: str) -> T:
    """Attempt it again and again until it succeeds or the patience is at an end.

    An undecided obstacle is looked at for two expiries at least, however short the patience: else
    the lock of a killed run would stop for ever those who do not wait.

    Args:
        wanted: what is wanted.
        attempt: one attempt, without waiting.
        remedy: how the lock of a killed run goes away, for the message.

    Raises:
        Locked: somebody still holds it when the patience is at an end.
    """
    timing = wanted.timing
    started, told = timing.clock(), False
    while isinstance(outcome := attempt(), LockBusy):
        waited = timing.clock() - started
        patience = wanted.wait_s
        if outcome.undecided:
            patience = max(patience, 2 * timing.expiry_s)
        if waited >= patience:
            raise Locked(
                f"{_taken(wanted, outcome)}; wait for it to end, then run again: nothing is paid "
                f"for twice ({remedy})"
            )
        if outcome.holders and not told and wanted.on_wait is not None:
            told = True
            wanted.on_wait(f"{_taken(wanted, outcome)}; {_plan(wanted)}")
        time.sleep(min(random.uniform(*timing.poll_s), max(0.0, patience - waited)))
    return outcome


def _taken(wanted: LockRequest, obstacle: LockBusy) -> str:
    """That, and by whom, a lock is held."""
    reading = bool(obstacle.holders) and all(holder.shared for holder in obstacle.holders)
    line = f"lake {wanted.root}: another run is {'reading' if reading else 'writing'} {wanted.name}"
    if not obstacle.holders:
        return line
    more = f", and {len(obstacle.holders) - 1} more" if len(obstacle.holders) > 1 else ""
    return f"{line} ({obstacle.holders[0]}{more})"


def _plan(wanted: LockRequest) -> str:
    """What one who finds a lock taken does about it."""
    if wanted.wait_s <= 0:
        return f"seeing whether it is alive, for {wanted.timing.expiry_s:.0f} s at most"
    if math.isinf(wanted.wait_s):
        return "waiting for it to end"
    return f"waiting for it to end, for {wanted.wait_s:,.0f} s at most"
