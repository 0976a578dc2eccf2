"""A single timer shared by everything in a gateway that waits for a moment in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Timer:
    """A timer that calls a function once, at the earliest of the requested times.

    Args:
        callback: Called on the event loop; may start the timer again.
    """

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None
        # Kept here because uvloop's handles of callbacks that are due at once have no when().
        self._due_at = 0.0

    def start(self, delay_s: float) -> None:
        """Fire after ``delay_s`` seconds, or earlier if already started for an earlier time."""
        delay_s = max(delay_s, 0.0)
        due_at = time.monotonic() + delay_s
        if self._handle is not None:
            if self._due_at <= due_at:
                return
            self._handle.cancel()
        self._due_at = due_at
        self._handle = asyncio.get_running_loop().call_later(delay_s, self._fire)

    def cancel(self) -> None:
        """Cancel the pending call, if any."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        self._callback()
