"""Whether a process that left a note is still there, as far as this machine can tell."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_STATE, _STARTED = 0, 19
"""Fields of /proc/<pid>/stat behind the name, which may hold anything: proc_pid_stat(5)."""


@cache
def this_machine() -> str:
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
