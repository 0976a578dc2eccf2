"""One timer for everybody who waits for a moment in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Timer:
    """Calls a function at the earliest of the moments that were asked for.

    Args:
        call: on the event loop; may set the alarm again.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._handle: asyncio.TimerHandle | None = None
        # Its own time, as uvloop's handles of calls that are due at once have no when().
        self._at = 0.0

    def ring_in(self, seconds: float) -> None:
        """Ring after so many seconds, or before if somebody wished so."""
        seconds = max(seconds, 0.0)
        at = time.monotonic() + seconds
        if self._handle is not None:
            if self._at <= at:
                return
            self._handle.cancel()
        self._at = at
        self._handle = asyncio.get_running_loop().call_later(seconds, self._ring)

    def stop(self) -> None:
        """Do not ring any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _ring(self) -> None:
        self._handle = None
        self._call()
