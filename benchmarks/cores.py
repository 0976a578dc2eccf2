"""Assign CPU cores: one for the measured client, another for everything else."""

import os
import platform
from pathlib import Path
from typing import Final


def cores_allowed() -> list[int]:
    """Return the cores that this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return [0]
    return sorted(os.sched_getaffinity(0))


_CORES: Final = cores_allowed()
"""The cores at startup, before `stay_off_client_core` restricts this process."""


def client_core() -> int | None:
    """Return the core of the measured client; None if there is no choice."""
    return _CORES[0] if len(_CORES) > 1 else None


def stay_off_client_core() -> None:
    """Keep this process and its children off the core of the measured client."""
    if len(_CORES) > 1:
        os.sched_setaffinity(0, {_CORES[1]})


def pin(core: int | None) -> None:
    """Keep this process and its children on one core; do nothing for None."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def machine() -> str:
    """Describe the machine: processor, usable cores and Python version."""
    names = {line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")}
    processor = ", ".join(sorted(names)) or "unknown processor"
    return f"{processor}, {len(_CORES)} cores, Python {platform.python_version()}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
