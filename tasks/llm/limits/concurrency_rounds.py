"""Building blocks of `AdaptiveConcurrency`: what it measures per round trip, and how it grows.

One round trip (or a fixed number of answers) is the unit of evidence, as in TCP congestion control.
"""

from __future__ import annotations

from math import inf, log, sqrt
from statistics import median
from typing import Final

# Answers in a round.
_FIRST_ROUND_ANSWERS: Final = 16
_MIN_ROUND_ANSWERS: Final = 48
_MAX_ROUND_ANSWERS: Final = 1024
_MIN_ANSWERS_FOR_MEDIAN: Final = 5
_SATURATED_SHARE: Final = 0.8
_MIN_DURATION_S: Final = 1e-9
# Shares of requests answered 429: background noise is at most the first, and certainly none
# above the second.
_MAX_NOISE: Final = 0.05
_CONGESTION_SHARE: Final = 0.1
_NOISE_GAIN: Final = 0.5
_NOISE_TOLERANCE: Final = 2.0
_NOISE_EXPIRY_S: Final = 30.0
_EPISODES_TO_CONFIRM_NOISE: Final = 3
_MAX_BACKOFF_S: Final = 240.0


class Round:
    """Latency and throughput over about one round trip.

    Attributes:
        median_s: Median latency of the last complete round, in seconds.
        throughput: Answers per second in the last complete round.
        saturated: Whether the limit was in use throughout the last complete round.
        restarted: Whether `restart` was called since the last round ended.
    """

    def __init__(self) -> None:
        self.median_s = self.throughput = 0.0
        self.saturated = False
        self.restarted = True
        self._latencies: list[float] = []
        self._saturated_answers = 0
        self._skip = 1
        self._target_answers = _FIRST_ROUND_ANSWERS
        self._started_at = 0.0
        self._last_median_s: float | None = None

    @property
    def median_latency_s(self) -> float | None:
        """Median latency in seconds; before the first round ends, that of its first answers."""
        if self._last_median_s is None and len(self._latencies) >= _MIN_ANSWERS_FOR_MEDIAN:
            return median(self._latencies)
        return self._last_median_s

    def restart(self, answers: int, *, skip: int) -> None:
        """Start a new round of about ``answers`` answers, after ignoring the next ``skip``."""
        self._skip = skip
        self._saturated_answers = 0
        self._latencies.clear()
        self._target_answers = min(_MAX_ROUND_ANSWERS, max(_MIN_ROUND_ANSWERS, answers))
        self.restarted = True

    def add(self, latency_s: float, saturated: bool, now: float) -> bool:
        """Record an answer and return whether it completes the round."""
        if self._skip > 0:
            self._skip -= 1
            self._started_at = now
            return False
        latencies = self._latencies
        if not latencies and not self._started_at:
            self._started_at = now
        latencies.append(latency_s)
        if saturated:
            self._saturated_answers += 1
        if len(latencies) < self._target_answers:
            return False
        self._end(now)
        return True

    def _end(self, now: float) -> None:
        answers = len(self._latencies)
        self.median_s = self._last_median_s = median(self._latencies)
        self.throughput = answers / max(now - self._started_at, _MIN_DURATION_S)
        self.saturated = self._saturated_answers >= _SATURATED_SHARE * answers
        self.restarted = False
        self._started_at = now


class Probe:
    """The state before the limit was changed for a probe, to compare the outcome with.

    Attributes:
        limit: The limit before the probe.
        median_s: Median latency before the probe, in seconds.
        throughput: Answers per second before the probe.
    """

    def __init__(self) -> None:
        self.limit = 1
        self.median_s = self.throughput = 1.0

    def start(self, before: Round, limit: int) -> None:
        """Save the limit and the last round before the limit is changed."""
        self.limit, self.median_s, self.throughput = limit, before.median_s, before.throughput

    def queue_share(self, after: Round, limit: int) -> float:
        """Return the share of the change in limit that went into a queue at the server.

        0 means that only throughput changed, 1 that only latency did (apart from noise). By
        Little's law the two give the same estimate with independent noise, so they are averaged.
        """
        limit_change = log(limit / self.limit)
        latency_change = log(
            max(after.median_s, _MIN_DURATION_S) / max(self.median_s, _MIN_DURATION_S)
        )
        throughput_change = log(after.throughput / self.throughput)
        return (latency_change + limit_change - throughput_change) / 2 / limit_change


class RejectionEpisode:
    """The 429s of one round trip, treated as a single congestion signal however many there are.

    TCP treats the losses of one window in the same way (fast recovery, RFC 6582).

    Attributes:
        active: Whether requests that were in flight at the first 429 may still be in flight.
        in_flight: Requests in flight at the first 429.
        rejected: 429s in this episode.
        above_ceiling: Whether more requests were in flight than are known to work.
        answers_since_last: Answers between the previous episode and this one; the caller counts.
    """

    def __init__(self) -> None:
        self.active = self.above_ceiling = False
        self.in_flight = self.rejected = self._answered = 0
        self.answers_since_last = 0
        self._ceiling = self._noise = 0.0
        self._min_limit = 1
        self._noisy_episodes = 0
        self._started_at = self._ended_at = 0.0
        self._timeout_s = 1.0

    def start(self, in_flight: int, min_limit: int, ceiling: float, now: float) -> None:
        """Start an episode with its first 429.

        Args:
            in_flight: Requests in flight.
            min_limit: Lower bound of the limits that `record_rejection` suggests.
            ceiling: Requests in flight that are known to work; infinity if unknown.
            now: Monotonic seconds.
        """
        self.active = True
        self.above_ceiling = in_flight > ceiling or ceiling == inf
        self.in_flight, self._min_limit, self._ceiling = in_flight, min_limit, ceiling
        self._answered = self.rejected = 0
        if now - self._ended_at > _NOISE_EXPIRY_S:
            self._noise = 0.0
            self._noisy_episodes = 0
        self._started_at = now

    def record_rejection(self, now: float, median_latency_s: float | None) -> int | None:
        """Count a 429 and return the limit it suggests; None while it may be noise."""
        self._timeout_s = max(1.0, 2 * (median_latency_s or 0.0))
        self.rejected += 1
        # Some endpoints answer an occasional 429 at any load.
        excess = self.rejected - _NOISE_TOLERANCE * self._noise * self.in_flight
        if self._is_over(now):
            self.end(now)
        if excess < 1:
            return None
        return max(self._min_limit, self.in_flight // 2, int(self.in_flight - excess))

    def record_answer(self, now: float) -> bool:
        """Count an answer and return whether it ends the episode."""
        self._answered += 1
        if self._is_over(now):
            self.end(now)
            return True
        return False

    def new_ceiling(self, limit: int) -> float:
        """Return the ceiling after a cut to ``limit``.

        A few rejections below the old ceiling may be noise: the ceiling then falls only half-way.
        """
        if self.above_ceiling or self.rejected > _CONGESTION_SHARE * self.in_flight:
            return float(limit)
        return max(limit, (self._ceiling + limit) / 2)

    def end(self, now: float) -> None:
        """End the episode; rejections below the ceiling update the estimate of the noise."""
        self.active = False
        self._ended_at = now
        answers, self.answers_since_last = self.answers_since_last, 0
        if not self.above_ceiling:
            share = self.rejected / (self.rejected + self._answered + answers)
            self._noisy_episodes = self._noisy_episodes + 1 if share <= _MAX_NOISE else 0
            noise = min(share, _MAX_NOISE) if share <= _CONGESTION_SHARE else 0.0
            self._noise += _NOISE_GAIN * (noise - self._noise)

    @property
    def within_noise(self) -> bool:
        """Whether noise alone may explain the rejections, within two standard deviations."""
        expected = _MAX_NOISE * self.in_flight
        return self.rejected <= expected + 2 * sqrt(expected)

    @property
    def noise_confirmed(self) -> bool:
        """Whether a few 429s keep coming after cuts, so load is not their cause."""
        return self._noisy_episodes >= _EPISODES_TO_CONFIRM_NOISE

    def _is_over(self, now: float) -> bool:
        resolved = self._answered + self.rejected
        return resolved >= self.in_flight or now - self._started_at > self._timeout_s


class ProbeTimer:
    """Exponential backoff between attempts at the same probe; initially due.

    Args:
        interval_s: First interval in seconds; it doubles with every `postpone`, up to 240 s.
    """

    def __init__(self, interval_s: float) -> None:
        self._due_at = -inf
        self._interval_s = interval_s

    def is_due(self, now: float) -> bool:
        """Return whether the interval has passed."""
        return now >= self._due_at

    def expire(self) -> None:
        """Make the timer due immediately."""
        self._due_at = -inf

    def postpone(self, now: float, interval_s: float | None = None) -> None:
        """Wait for one interval; ``interval_s`` restarts the backoff from there."""
        wait_s = self._interval_s if interval_s is None else interval_s
        self._due_at = now + wait_s
        self._interval_s = min(2 * wait_s, _MAX_BACKOFF_S)


class LimitGrowth:
    """Growth of the limit per answer, as TCP grows its window per ACK.

    Attributes:
        per_answer: Increase of the limit per answer; 0 while it is constant.
        target: The limit at which growth ends.
    """

    def __init__(self) -> None:
        self.per_answer = self._fraction = 0.0
        self.target = 0

    def start(self, per_answer: float, target: int) -> None:
        """Grow by ``per_answer`` until ``target`` is reached."""
        self.per_answer, self.target = per_answer, target

    def increase(self, limit: int) -> int:
        """Return the limit after one more answer; fractions carry over to the next."""
        self._fraction += self.per_answer
        whole = int(self._fraction)
        if not whole:
            return limit
        self._fraction -= whole
        grown = min(limit + whole, max(self.target, limit))
        if grown >= self.target:
            self.per_answer = 0.0
        return grown

    def decrease(self, limit: int, share: float) -> int:
        """Return the limit less ``share`` of it; fractions carry over to the next call."""
        self._fraction = min(self._fraction, 0.0) - share * limit
        whole = int(self._fraction)
        self._fraction -= whole
        return limit + whole
