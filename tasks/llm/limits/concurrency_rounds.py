"""What Concurrency judges by (the answers and rejections of a round trip), and how it moves."""

from __future__ import annotations

from math import inf, log, sqrt
from statistics import median
from typing import Final

_FIRST_ROUND: Final = 16
_LEAST: Final = 48
_MOST: Final = 1024
_FULL_SHARE: Final = 0.8
_FIRST_USUAL: Final = 5
_NOISE_MEMORY: Final = 0.5
_MOST_NOISE: Final = 0.05
# A larger share is no noise at all.
_TOO_MANY: Final = 0.1
_NOISE_FORGOTTEN_S: Final = 30.0
_CHANCES: Final = 3
_TINY_S: Final = 1e-9
_NOISE_TOLERANCE: Final = 2.0
_LONGEST_PAUSE_S: Final = 240.0


class Round:
    """The answers of about one round trip; the figures are those of the last whole round.

    Attributes:
        opened: whether a new round has been opened since the last one ended.
        median_s: the median latency in seconds.
        rate: answers a second.
        full: whether the limit was made use of all the while.
    """

    def __init__(self) -> None:
        self.median_s = self.rate = 0.0
        self.full = False
        self.opened = True
        self._latencies: list[float] = []
        self._full = 0
        self._skip = 1
        self._target = _FIRST_ROUND
        self._began = 0.0
        self._usual_s: float | None = None

    @property
    def usual_s(self) -> float | None:
        """The median latency, of the first answers if there was no whole round yet."""
        if self._usual_s is None and len(self._latencies) >= _FIRST_USUAL:
            return median(self._latencies)
        return self._usual_s

    def open(self, limit: int, *, skip: int) -> None:
        """Begin anew, after so many answers more."""
        self._skip = skip
        self._full = 0
        self._latencies.clear()
        self._target = min(_MOST, max(_LEAST, limit))
        self.opened = True

    def add(self, latency_s: float, full: bool, now: float) -> bool:
        """Count an answer; True if it ends the round."""
        if self._skip > 0:
            self._skip -= 1
            self._began = now
            return False
        latencies = self._latencies
        if not latencies and not self._began:
            self._began = now
        latencies.append(latency_s)
        if full:
            self._full += 1
        if len(latencies) < self._target:
            return False
        self._end(now)
        return True

    def _end(self, now: float) -> None:
        count = len(self._latencies)
        self.median_s = self._usual_s = median(self._latencies)
        self.rate = count / max(now - self._began, _TINY_S)
        self.full = self._full >= _FULL_SHARE * count
        self.opened = False
        self._began = now


class Trial:
    """What it was like before the limit was changed for a trial.

    Attributes:
        limit: requests in flight.
        median_s: their median latency in seconds.
        rate: answers a second.
    """

    def __init__(self) -> None:
        self.limit = 1
        self.median_s = self.rate = 1.0

    def begin(self, before: Round, limit: int) -> None:
        """Remember the round before the trial."""
        self.limit, self.median_s, self.rate = limit, before.median_s, before.rate

    def queue_share(self, after: Round, limit: int) -> float:
        """How much of the change of the limit went into a queue: 0 is none, 1 all (noise apart).

        By Little's law latency and throughput say the same; each is noisy in its own way.
        """
        change = log(limit / self.limit)
        later = log(max(after.median_s, _TINY_S) / max(self.median_s, _TINY_S))
        faster = log(after.rate / self.rate)
        return (later + change - faster) / 2 / change


class Rejections:
    """The 429s of one round trip: however many, they are one piece of evidence.

    Attributes:
        active: whether requests that were out at the first 429 may still be out.
        base: requests that were in flight at the first of them; ``rejected`` counts them.
        between: answers since the 429s before these, to be counted by whoever takes them in.
        above_ceiling: whether more were in flight than had been known to work.
    """

    def __init__(self) -> None:
        self.active = self.above_ceiling = False
        self.base = self._accepted = self.rejected = 0
        self._ceiling = self._noise = 0.0
        self._floor = 1
        self.between = 0
        self._chances = 0
        self._began = self._ended = 0.0
        self._patience_s = 1.0

    def open(self, base: int, floor: int, ceiling: float, now: float) -> None:
        """Begin with the first 429 after a while.

        Args:
            base: requests in flight.
            floor: the least room to conclude from this round trip.
            ceiling: requests in flight that are known to work, or infinity.
            now: the moment.
        """
        self.active = True
        self.above_ceiling = base > ceiling or ceiling == inf
        self.base, self._floor, self._ceiling = base, floor, ceiling
        self._accepted = self.rejected = 0
        if now - self._ended > _NOISE_FORGOTTEN_S:
            self._noise = 0.0
            self._chances = 0
        self._began = now

    def reject(self, now: float, usual_s: float | None) -> int | None:
        """Count a 429; the room that is left, or None if it tells nothing new."""
        self._patience_s = max(1.0, 2 * (usual_s or 0.0))
        self.rejected += 1
        # Some endpoints answer 429 now and then, however few are in flight.
        excess = self.rejected - _NOISE_TOLERANCE * self._noise * self.base
        if self._over(now):
            self.close(now)
        if excess < 1:
            return None
        return max(self._floor, self.base // 2, int(self.base - excess))

    def accepted(self, now: float) -> bool:
        """Count an answer; True if none is left of those that were out at the first 429."""
        self._accepted += 1
        if self._over(now):
            self.close(now)
            return True
        return False

    def ceiling(self, room: int) -> float:
        """The ceiling after a cut: half-way down if few were turned away below it, as by chance."""
        if self.above_ceiling or self.rejected > _TOO_MANY * self.base:
            return float(room)
        return max(room, (self._ceiling + room) / 2)

    def close(self, now: float) -> None:
        """End the round trip; what was turned away below the ceiling is how it always is."""
        self.active = False
        self._ended = now
        between, self.between = self.between, 0
        if not self.above_ceiling:
            share = self.rejected / (self.rejected + self._accepted + between)
            self._chances = self._chances + 1 if share <= _MOST_NOISE else 0
            noise = min(share, _MOST_NOISE) if share <= _TOO_MANY else 0.0
            self._noise += _NOISE_MEMORY * (noise - self._noise)

    @property
    def few(self) -> bool:
        """Whether so few were turned away that it may be by chance: within two deviations."""
        expected = _MOST_NOISE * self.base
        return self.rejected <= expected + 2 * sqrt(expected)

    @property
    def noisy(self) -> bool:
        """Whether a few 429s come whatever the limit is: it was cut, and they came again."""
        return self._chances >= _CHANCES

    def _over(self, now: float) -> bool:
        resolved = self._accepted + self.rejected
        return resolved >= self.base or now - self._began > self._patience_s


class Pause:
    """When something may be tried again: later and later while it fails.

    Args:
        first_s: seconds to the first time again.
    """

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
