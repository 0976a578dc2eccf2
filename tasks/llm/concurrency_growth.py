"""How a limit grows and gives way, and when more may be tried: the movements of Concurrency."""

from __future__ import annotations

from math import inf
from typing import Final

_LONGEST_PAUSE_S: Final = 240.0


class Pause:
    """When something may be tried again: later and later while it fails.

    Args:
        first_s: seconds to the first time again.
    """

    __slots__ = ("_at", "_next_s")

    def __init__(self, first_s: float) -> None:
        self._at = -inf
        self._next_s = first_s

    def due(self, now: float) -> bool:
        """Whether the time has come; at first it has."""
        return now >= self._at

    def now(self) -> None:
        """Let it be tried at once."""
        self._at = -inf

    def later(self, now: float, first_s: float | None = None) -> None:
        """Put it off, twice as long as the last time, or for so many seconds."""
        wait_s = self._next_s if first_s is None else first_s
        self._at = now + wait_s
        self._next_s = min(2 * wait_s, _LONGEST_PAUSE_S)


class Growth:
    """How fast a limit grows with each answer, and how far.

    Attributes:
        rate: for each answer; 0 where it stands.
        top: where it ends.
    """

    __slots__ = ("_part", "rate", "top")

    def __init__(self) -> None:
        self.rate = self._part = 0.0
        self.top = 0

    def go(self, rate: float, top: int) -> None:
        """Grow at this rate up to there."""
        self.rate, self.top = rate, top

    def step(self, limit: int) -> int:
        """The limit after one more answer."""
        self._part += self.rate
        whole = int(self._part)
        if not whole:
            return limit
        self._part -= whole
        grown = min(limit + whole, max(self.top, limit))
        if grown >= self.top:
            self.rate = 0.0
        return grown

    def give_way(self, limit: int, share: float) -> int:
        """The limit after it has fallen by a share of itself, if that makes a whole request."""
        self._part = min(self._part, 0.0) - share * limit
        whole = int(self._part)
        self._part -= whole
        return limit + whole
