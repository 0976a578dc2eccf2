"""The time spent in each phase of a run."""

from __future__ import annotations

import time


class Stopwatch:
    """Lap times.

    Attributes:
        laps: Seconds by name; laps of the same name add up.
    """

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._lap_started = time.monotonic()

    def lap(self, name: str) -> None:
        """End the current lap, record it under this name, and start the next one."""
        now = time.monotonic()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._lap_started
        self._lap_started = now
