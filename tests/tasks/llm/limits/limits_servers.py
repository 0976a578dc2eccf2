"""Endpoints without time: what becomes of a request that comes at a given moment."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf

from article_flows.tasks.llm.protocol.rate_headers import RateWindow

REJECTION_S = 0.002
"""How long a 429 takes."""

Latency = Callable[[], float]


def fixed(seconds: float) -> Latency:
    return lambda: seconds


def lognormal(median: float, seed: int, sigma: float = 0.5) -> Latency:
    draw = random.Random(seed)
    return lambda: median * exp(draw.gauss(0.0, sigma))


def heavy(median: float, seed: int) -> Latency:
    """One in a hundred takes ten times as long."""
    draw, usual = random.Random(seed + 1), lognormal(median, seed)
    return lambda: usual() * (10.0 if draw.random() < 0.01 else 1.0)


@dataclass
class Reply:
    """What becomes of a request: it takes so long, and is a 429 if ``retry_after`` is given."""

    seconds: float
    retry_after: float | None = None


@dataclass
class Server:
    """An endpoint; whatever is not set does not hold it back.

    Attributes:
        latency: seconds for a call.
        slow_above: calls at once, beyond which latency grows in proportion.
        room: calls at once, beyond which it answers 429.
        noise: share of calls that are answered 429 at random.
        bucket: requests it has a quota for.
        slower: from then on (first) latency is so many times (second) what it was.
        seed: of the noise.
    """

    latency: Latency
    slow_above: int | None = None
    room: int | None = None
    noise: float = 0.0
    bucket: "Bucket | None" = None
    retry_after: float = 1.0
    slower: tuple[float, float] = (inf, 1.0)
    seed: int = 0

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)

    def take(self, now: float, active: int) -> Reply:
        if self.noise and self.draw.random() < self.noise:
            return Reply(REJECTION_S, self.retry_after)
        if self.room is not None and active > self.room:
            return Reply(REJECTION_S, self.retry_after)
        if self.bucket is not None and not self.bucket.admit(1.0, now):
            return Reply(REJECTION_S, self.bucket.wait(1.0, now))
        seconds = self.latency()
        if now >= self.slower[0]:
            seconds *= self.slower[1]
        if self.slow_above is not None and active > self.slow_above:
            seconds = max(seconds, 0.05) * active / self.slow_above
        return Reply(seconds)


@dataclass
class Bucket:
    """A token bucket at the provider.

    Attributes:
        per_minute: what it gains, and calls its limit.
        holds: what it can hold; a minute's worth unless told otherwise.
        level: what it holds at first.
    """

    per_minute: float
    holds: float | None = None
    level: float | None = None
    at: float = 0.0

    def __post_init__(self) -> None:
        self.capacity = self.per_minute if self.holds is None else self.holds
        self.left = self.capacity if self.level is None else self.level

    def fill(self, now: float) -> None:
        gained = max(0.0, now - self.at) * self.per_minute / 60
        self.left = min(self.capacity, self.left + gained)
        self.at = max(now, self.at)

    def admit(self, amount: float, now: float) -> bool:
        self.fill(now)
        if self.left < amount - 1e-9:
            return False
        self.left -= amount
        return True

    def wait(self, amount: float, now: float) -> float:
        self.fill(now)
        return max(0.001, (amount - self.left) * 60 / self.per_minute)

    def window(self, now: float) -> RateWindow:
        self.fill(now)
        reset_s = (self.capacity - self.left) * 60 / self.per_minute
        return RateWindow(self.per_minute, float(int(self.left)), reset_s)


@dataclass
class FixedWindow(Bucket):
    """A quota that is whole again at the end of each window.

    Attributes:
        window_s: how long a window is.
        phase_s: how much of the first one is over at the start.
    """

    window_s: float = 60.0
    phase_s: float = 0.0

    def fill(self, now: float) -> None:
        if int((now + self.phase_s) / self.window_s) > int(
            (self.at + self.phase_s) / self.window_s
        ):
            self.left = self.capacity
        self.at = max(now, self.at)

    def wait(self, amount: float, now: float) -> float:
        return self.window_s - (now + self.phase_s) % self.window_s

    def window(self, now: float) -> RateWindow:
        self.fill(now)
        return RateWindow(self.per_minute, float(int(self.left)), self.wait(0.0, now))
