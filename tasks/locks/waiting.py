"""Lock requests, lock holders, and waiting for a lock: shared by file locks and leases."""

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
"""Fields of /proc/<pid>/stat after the process name, which may contain any character
(proc_pid_stat(5))."""


def suspend_aware_clock() -> float:
    """Return the seconds of a monotonic clock that does not stop while the machine sleeps.

    Linux excludes suspended time from its monotonic clock, hence CLOCK_BOOTTIME; macOS includes it
    in its CLOCK_MONOTONIC, though not in Python's `time.monotonic`.
    """
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True)
class Timing:
    """The intervals of lock operations.

    Attributes:
        heartbeat_s: Seconds between two heartbeats of a lease's holder.
        expiry_s: Seconds without a heartbeat after which a lease may be taken over. A holder relies
            on its lease for half of that after a heartbeat, so the next one may be that late.
        poll_s: Shortest and longest pause between two attempts of a waiting run, in seconds.
        clock: Returns monotonic seconds; see `suspend_aware_clock`.
    """

    heartbeat_s: float = 10.0
    expiry_s: float = 45.0
    poll_s: tuple[float, float] = (0.5, 3.0)
    clock: Callable[[], float] = suspend_aware_clock


DEFAULT_TIMING = Timing()


@cache
def machine_id() -> str:
    """Return an id of the current boot and process id namespace; empty if unavailable.

    It distinguishes two containers on one machine, which may have the same host name.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def process_start_time(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot; empty if there is none.

    It distinguishes processes that reuse an id. A zombie counts as no process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    fields = stat.rpartition(b")")[2].split()
    return "" if fields[_STATE] in (b"Z", b"X") else fields[_STARTED].decode()


class LockHolder(NamedTuple):
    """A run that holds a lock, as shown to runs that wait for it.

    Attributes:
        host: The host name.
        pid: The process id.
        since: When it acquired the lock, as text.
        label: The flow run's name, or empty.
        shared: Whether it shares the lock.
        machine: The `machine_id` of its machine.
        started: The `process_start_time` of its process.
    """

    host: str
    pid: int
    since: str
    label: str
    shared: bool
    machine: str
    started: str

    @classmethod
    def current_process(cls, label: str, shared: bool) -> LockHolder:
        """Return this process as a holder from now on."""
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        name, pid = " ".join(label.split()), os.getpid()
        start = process_start_time(pid)
        return cls(socket.gethostname(), pid, since, name, shared, machine_id(), start)

    def to_json(self) -> bytes:
        """Return one line of JSON for `from_json`."""
        return json.dumps(self._asdict()).encode()

    @classmethod
    def from_json(cls, content: bytes) -> LockHolder | None:
        """Parse the output of `to_json`; return None if it is not a holder's."""
        try:
            fields = json.loads(content)
            return cls(*(fields[name] for name in cls._fields))
        except (ValueError, TypeError, KeyError):
            return None

    @property
    def is_dead(self) -> bool:
        """Whether it is known to be dead: a former process of this machine; else False."""
        is_local = bool(self.machine) and self.machine == machine_id()
        return is_local and process_start_time(self.pid) != self.started

    def __str__(self) -> str:
        label = f"flow run {self.label}, " if self.label else ""
        return f"{label}process {self.pid} on {self.host}, since {self.since}"


class LockBusy(NamedTuple):
    """The result of an attempt to acquire a lock that is not available.

    Attributes:
        holders: The conflicting holders, as far as they are known.
        undecided: Whether all of them may be dead, or about to release the lock.
    """

    holders: tuple[LockHolder, ...]
    undecided: bool = False


@dataclass(frozen=True)
class LockRequest:
    """The arguments of `locked`."""

    root: str
    name: str
    shared: bool
    label: str
    wait_s: float
    on_wait: Callable[[str], None] | None
    timing: Timing

    def holder(self) -> LockHolder:
        """Return this run as a holder that acquires the lock now."""
        return LockHolder.current_process(self.label, self.shared)


def acquire(request: LockRequest, attempt: Callable[[], T | LockBusy], remedy: str) -> T:
    """Repeat an attempt until it succeeds or ``request.wait_s`` has passed.

    While it is undecided whether the holders are alive, this waits for at least two expiries,
    however small ``wait_s`` is: otherwise the lock of a killed run would block impatient runs
    forever.

    Args:
        request: The requested lock.
        attempt: Tries to acquire it, without waiting.
        remedy: How the lock of a killed run is released, for the error message.

    Raises:
        Locked: Another run still holds the lock.
    """
    timing = request.timing
    started, notified = timing.clock(), False
    while isinstance(outcome := attempt(), LockBusy):
        waited_s = timing.clock() - started
        limit_s = request.wait_s
        if outcome.undecided:
            limit_s = max(limit_s, 2 * timing.expiry_s)
        if waited_s >= limit_s:
            raise Locked(
                f"{_describe_holders(request, outcome)}; wait for it to end, then run again: "
                f"nothing is paid for twice ({remedy})"
            )
        if outcome.holders and not notified and request.on_wait is not None:
            notified = True
            request.on_wait(f"{_describe_holders(request, outcome)}; {_describe_wait(request)}")
        time.sleep(min(random.uniform(*timing.poll_s), max(0.0, limit_s - waited_s)))
    return outcome


def _describe_holders(request: LockRequest, busy: LockBusy) -> str:
    reading = bool(busy.holders) and all(holder.shared for holder in busy.holders)
    verb = "reading" if reading else "writing"
    line = f"lake {request.root}: another run is {verb} {request.name}"
    if not busy.holders:
        return line
    more = f", and {len(busy.holders) - 1} more" if len(busy.holders) > 1 else ""
    return f"{line} ({busy.holders[0]}{more})"


def _describe_wait(request: LockRequest) -> str:
    if request.wait_s <= 0:
        return f"checking whether it is alive, for {request.timing.expiry_s:.0f} s at most"
    if math.isinf(request.wait_s):
        return "waiting for it to end"
    return f"waiting for it to end, for {request.wait_s:,.0f} s at most"
