"""Seconds spent in each part of a run."""

from __future__ import annotations

import time


class Stopwatch:
    """Laps in seconds by name; laps of one name add up."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._lap_started = time.monotonic()

    def lap(self, name: str) -> None:
        """End the lap that is running and begin another."""
        now = time.monotonic()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._lap_started
        self._lap_started = now
