"""Simulated endpoints: how a request that arrives at a given time ends."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf

from article_flows.tasks.llm.protocol.rate_headers import RateWindow

REJECTION_S = 0.002
"""Latency of a 429."""

Latency = Callable[[], float]


def fixed(seconds: float) -> Latency:
    return lambda: seconds


def lognormal(median: float, seed: int, sigma: float = 0.5) -> Latency:
    draw = random.Random(seed)
    return lambda: median * exp(draw.gauss(0.0, sigma))


def heavy(median: float, seed: int) -> Latency:
    """One in a hundred takes ten times as long."""
    draw, typical = random.Random(seed + 1), lognormal(median, seed)
    return lambda: typical() * (10.0 if draw.random() < 0.01 else 1.0)


@dataclass
class Reply:
    """How a request ends: after ``seconds``, with a 429 if ``retry_after`` is set."""

    seconds: float
    retry_after: float | None = None


@dataclass
class Server:
    """An endpoint; limits that are not set do not apply.

    Attributes:
        latency: Returns the seconds that a request takes.
        slow_above: Concurrent requests above which latency grows in proportion.
        room: Concurrent requests above which it answers 429.
        noise: Share of requests answered 429 at random.
        bucket: The quota of requests.
        slower: (time, factor): from then on, latency is multiplied.
        seed: Seed of the noise.
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
        per_minute: Refill rate, and the reported limit.
        holds: Capacity; by default a minute's worth.
        level: Initial level; by default full.
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
    """A quota that is reset at the end of each window.

    Attributes:
        window_s: Length of a window.
        phase_s: Elapsed part of the first window at the start.
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
