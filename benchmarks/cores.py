"""Which core runs what: the client alone on one, endpoint, server and this harness on another."""

import os
import platform
from pathlib import Path
from typing import Final


def cores_allowed() -> list[int]:
    """List the cores that this process may use now."""
    if not hasattr(os, "sched_getaffinity"):
        return [0]
    return sorted(os.sched_getaffinity(0))


_CORES: Final = cores_allowed()
"""Those this process was given; what `stay_off_client_core` leaves it later does not count."""


def client_core() -> int | None:
    """The core of what is measured; None where there is only one, or no way to choose."""
    return _CORES[0] if len(_CORES) > 1 else None


def stay_off_client_core() -> None:
    """Keep this process, and all that it starts, off the core of what is measured."""
    if len(_CORES) > 1:
        os.sched_setaffinity(0, {_CORES[1]})


def pin(core: int | None) -> None:
    """Keep this process, and all that it starts, on one core; None leaves it alone."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def machine() -> str:
    """Name the machine: its processor, the cores this process may use, and Python."""
    names = {line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")}
    processor = ", ".join(sorted(names)) or "unknown processor"
    return f"{processor}, {len(_CORES)} cores, Python {platform.python_version()}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
