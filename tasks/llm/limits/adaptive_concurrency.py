"""Adaptive concurrency: learn how many requests to keep in flight from answers and 429s.

Works without rate limit headers. After a slow start clocked by answers, the limit follows three
signals:

- 429s: the limit falls by the share of a round trip's requests that were rejected, and the new
  limit becomes a ceiling. Growth is fast below the ceiling (TCP CUBIC, RFC 9438, likewise aims at
  the window of the last loss); above it, the limit is probed, less often after every failure.
- Latency: by Little's law (in flight = throughput x latency) a busy server that is given more
  requests answers them later, not faster. High latency relative to the baseline (as in Gradient2 of
  Netflix concurrency-limits) starts a probe with fewer requests in flight: if there is a queue,
  latency falls; if the server is slow for another reason, it does not.
- Throughput: a probe with more requests in flight is kept if throughput grows with it (as BBR
  probes for bandwidth).

Answers that arrive while the limit is not in use are no evidence either way.
"""

from __future__ import annotations

from enum import IntEnum
from math import inf
from typing import Final

from article_flows.tasks.llm.limits.concurrency_rounds import (
    LimitGrowth,
    Probe,
    ProbeTimer,
    RejectionEpisode,
    Round,
)

_INITIAL_LIMIT: Final = 8
_LIMIT_AFTER_FIRST_ANSWER: Final = 64
# Per answer. Together with the request that replaces the one answered, three are sent for one.
_SLOW_START_INCREASE: Final = 2.0
_SLOW_START_FACTOR: Final = 2.0
_INCREASE_BELOW_CEILING: Final = 0.1
_DECREASE_PER_EPISODE: Final = 0.02
# From this share of the limit on, the limit counts as in use, and its answers as evidence.
_SATURATED_SHARE: Final = 0.8
# Shorter latencies may come from our own event loop; fewer requests are not worth a probe.
_NEGLIGIBLE_LATENCY_S: Final = 0.04
_MIN_PROBED_LIMIT: Final = 16
# Latency relative to the baseline: above the first a queue is suspected, the second is the target
# of the probe (Gradient2 tolerates 1.5).
_SUSPICIOUS_LATENCY_RATIO: Final = 2.0
_TARGET_LATENCY_RATIO: Final = 1.25
_MIN_PROBE_DOWN_FACTOR: Final = 0.3
_MAX_PROBE_DOWN_FACTOR: Final = 0.8
_SLOW_START_BASELINE_GAIN: Final = 0.2
_BASELINE_GAIN: Final = 0.03
# Share of a probe's change in limit that a queue explains: at least (probing down) or at most
# (probing up).
_MIN_QUEUE_SHARE: Final = 0.5
_MAX_QUEUE_SHARE: Final = 0.35
_PROBE_ROUND_TRIPS: Final = 2
_PROBE_UP_FACTOR: Final = 1.25
_FIRST_STEP_ABOVE_CEILING: Final = 0.04
# Seconds between probes. A failed one above a ceiling of 429s costs a Retry-After, a failed one
# above a ceiling of latency only some latency.
_PROBE_INTERVAL_S: Final = 15.0
_LATENCY_PROBE_INTERVAL_S: Final = 4.0


class _Phase(IntEnum):
    AWAIT_FIRST_ANSWER = 0
    SLOW_START = 1
    SLOW_START_PAUSED = 2
    """Latency is high: measure one round at a constant limit before drawing a conclusion."""
    STEADY = 3
    PROBE_DOWN = 4
    PROBE_UP = 5


class AdaptiveConcurrency:
    """A concurrency limit that is learned from answers, latency and 429s.

    All times are monotonic seconds.

    Args:
        max_limit: Upper bound of the limit, 1 or more.

    Example:
        >>> concurrency = AdaptiveConcurrency(256)
        >>> concurrency.limit
        8
        >>> concurrency.record_answer(latency_s=0.5, in_flight=8, now=0.5)
        >>> concurrency.limit
        64
    """

    def __init__(self, max_limit: int) -> None:
        self._max_limit = max_limit
        self._phase = _Phase.AWAIT_FIRST_ANSWER
        self._round = Round()
        self._rejections = RejectionEpisode()
        self._baseline_s = inf
        self._ceiling: float = inf
        self._ceiling_is_from_429s = False
        self._probe = Probe()
        self._probe_step = 0.0
        self._probe_up_timer = ProbeTimer(_PROBE_INTERVAL_S)
        self._probe_down_timer = ProbeTimer(_LATENCY_PROBE_INTERVAL_S)
        self._slow_start_timer = ProbeTimer(_PROBE_INTERVAL_S)
        self._growth = LimitGrowth()
        self._set_limit(_INITIAL_LIMIT)

    @property
    def limit(self) -> int:
        """Number of requests that may be in flight, from 1 to ``max_limit``."""
        return self._limit

    @property
    def in_slow_start(self) -> bool:
        """Whether no bound has been found yet."""
        return self._phase <= _Phase.SLOW_START_PAUSED

    @property
    def median_latency_s(self) -> float | None:
        """Median latency of the last round in seconds; None before the first few answers."""
        return self._round.median_latency_s

    def record_answer(self, latency_s: float, in_flight: int, now: float) -> None:
        """Learn from an answer.

        Args:
            latency_s: Seconds from sending the request to the end of the answer.
            in_flight: Requests in flight when it arrived, including its own.
            now: When it arrived.
        """
        if self._phase == _Phase.AWAIT_FIRST_ANSWER:
            self._phase = _Phase.SLOW_START
            self._set_limit(_LIMIT_AFTER_FIRST_ANSWER)
            self._update_growth()
        if not self._rejections.active:
            self._rejections.answers_since_last += 1
        elif self._rejections.record_answer(now):
            self._on_episode_end(now)
        saturated = in_flight >= self._saturated_from
        if saturated and self._growth.per_answer and not self._rejections.active:
            self._set_limit(self._growth.increase(self._limit))
        if self._round.add(latency_s, saturated, now):
            self._on_round_end(now)

    def record_rejection(self, in_flight: int, now: float) -> None:
        """Learn from a 429.

        Args:
            in_flight: Requests in flight when it arrived, including its own.
            now: When it arrived.
        """
        rejections = self._rejections
        if rejections.active and in_flight > rejections.in_flight:
            # More are in flight than at the first 429, so these were sent after it.
            rejections.end(now)
            self._on_episode_end(now)
        if not rejections.active:
            # A low number in flight, as after a pause, is weak evidence: assume half the limit.
            base = min(max(in_flight, (self._limit + 1) // 2), self._limit + 1)
            # A failed probe is no evidence against the limit before it.
            min_limit = self._probe.limit if self._phase == _Phase.PROBE_UP else 1
            rejections.start(base, min_limit, self._ceiling, now)
            self._back_off()
        limit = rejections.record_rejection(now, self._round.median_latency_s)
        if limit is not None and limit < self._limit:
            self._cut(limit, now)
        if not rejections.active:
            self._on_episode_end(now)

    def _back_off(self) -> None:
        """Lower the limit slightly: apparent noise may be a limit that is one too high."""
        if self._phase == _Phase.STEADY:
            limit = self._growth.decrease(self._limit, _DECREASE_PER_EPISODE)
            if limit < self._limit:
                self._set_limit(limit)
                self._ceiling = min(self._ceiling, float(self._limit))
                self._update_growth()

    def _cut(self, limit: int, now: float) -> None:
        rejections = self._rejections
        if (
            self._phase == _Phase.AWAIT_FIRST_ANSWER
            and 2 * rejections.rejected < rejections.in_flight
        ):
            return  # Two in eight may well be chance.
        if self.in_slow_start and rejections.within_noise:
            return  # May be chance; if it is a ceiling, further growth shows that at once.
        probe_failed = self._phase == _Phase.PROBE_UP
        self._probe_up_timer.postpone(now, None if probe_failed else _PROBE_INTERVAL_S)
        self._probe_step = 0.0
        self._restart_round(self._limit)
        self._phase = _Phase.STEADY
        self._set_limit(limit)
        self._ceiling, self._ceiling_is_from_429s = rejections.new_ceiling(limit), True
        self._update_growth()

    def _on_episode_end(self, now: float) -> None:
        """Grow again once every request that was in flight at the first 429 has been answered."""
        if self.in_slow_start:
            # Nearly all were accepted. While a Retry-After drains the pipe, no answer finds the
            # limit in use, so answers cannot clock the growth.
            self._set_limit(_SLOW_START_FACTOR * self._limit)
            return
        # The ceiling was noise: as many 429s came after the cut as before.
        if (
            self._phase == _Phase.STEADY
            and self._rejections.noise_confirmed
            and self._slow_start_timer.is_due(now)
        ):
            self._slow_start_timer.postpone(now)
            self._ceiling = inf
            self._phase = _Phase.SLOW_START
            self._update_growth()

    def _set_limit(self, limit: float) -> None:
        self._limit = max(1, min(self._max_limit, int(limit)))
        self._saturated_from = max(1, int(_SATURATED_SHARE * self._limit))

    def _update_growth(self) -> None:
        if self._phase == _Phase.SLOW_START:
            self._growth.start(_SLOW_START_INCREASE, self._max_limit)
        elif self._phase == _Phase.STEADY and self._limit < self._ceiling:
            self._growth.start(_INCREASE_BELOW_CEILING, int(min(self._ceiling, self._max_limit)))
        else:
            self._growth.start(0.0, self._limit)

    def _restart_round(self, old_limit: int) -> None:
        """Start a round after the requests sent under ``old_limit`` have been answered."""
        trips = _PROBE_ROUND_TRIPS if self._phase >= _Phase.PROBE_DOWN else 1
        self._round.restart(trips * self._limit, skip=old_limit)

    def _on_round_end(self, now: float) -> None:
        last = self._round
        if self._phase == _Phase.PROBE_DOWN:
            self._finish_probe_down(now)
        elif self._phase == _Phase.PROBE_UP:
            self._finish_probe_up(now)
        else:
            suspicious = last.saturated and self._maybe_probe_down(now)
            if last.median_s < self._baseline_s:
                self._baseline_s = last.median_s
            elif not suspicious:
                # The first answers under a growing limit are its quick ones: they bias it low.
                in_slow_start = self._phase == _Phase.SLOW_START
                gain = _SLOW_START_BASELINE_GAIN if in_slow_start else _BASELINE_GAIN
                self._baseline_s += gain * (last.median_s - self._baseline_s)
            if self._phase == _Phase.SLOW_START_PAUSED and not suspicious:
                self._phase = _Phase.SLOW_START
                self._update_growth()
            if last.saturated and not suspicious:
                self._maybe_probe_up(now)
        if not last.restarted:
            last.restart(self._limit, skip=0)

    def _maybe_probe_down(self, now: float) -> bool:
        """Probe with fewer in flight if latency suggests a queue; return whether it does."""
        median_s = self._round.median_s
        if (
            self._limit <= _MIN_PROBED_LIMIT
            or median_s < _NEGLIGIBLE_LATENCY_S
            or median_s < _SUSPICIOUS_LATENCY_RATIO * self._baseline_s
            or not self._probe_down_timer.is_due(now)
        ):
            return False
        if self._phase == _Phase.SLOW_START:
            # Half of these were sent under lower limits: measure again at a constant limit.
            self._phase = _Phase.SLOW_START_PAUSED
            self._update_growth()
            self._restart_round(self._limit)
            return True
        factor = _TARGET_LATENCY_RATIO * self._baseline_s / median_s
        factor = max(_MIN_PROBE_DOWN_FACTOR, min(_MAX_PROBE_DOWN_FACTOR, factor))
        self._start_probe(_Phase.PROBE_DOWN, max(_MIN_PROBED_LIMIT, factor * self._limit))
        return True

    def _maybe_probe_up(self, now: float) -> None:
        if self._phase != _Phase.STEADY or not self._probe_up_timer.is_due(now):
            return
        if self._limit >= self._max_limit or self._limit < self._ceiling:
            return
        if self._ceiling_is_from_429s:
            first_step = max(1.0, _FIRST_STEP_ABOVE_CEILING * self._limit)
            self._probe_step = 2 * self._probe_step or first_step
            self._start_probe(_Phase.PROBE_UP, self._limit + self._probe_step)
        else:
            self._start_probe(_Phase.PROBE_UP, max(self._limit + 1, _PROBE_UP_FACTOR * self._limit))

    def _start_probe(self, phase: _Phase, limit: float) -> None:
        self._phase = phase
        self._probe.start(self._round, self._limit)
        self._set_limit(limit)
        self._update_growth()
        self._restart_round(self._probe.limit)

    def _finish_probe_down(self, now: float) -> None:
        """Keep the lower limit if latency fell with it; else accept the latency as the baseline."""
        last = self._round
        if last.saturated and self._probe.queue_share(last, self._limit) >= _MIN_QUEUE_SHARE:
            self._enter_steady(self._limit, from_429s=False)
            self._probe_up_timer = ProbeTimer(_LATENCY_PROBE_INTERVAL_S)
            self._probe_down_timer = ProbeTimer(_LATENCY_PROBE_INTERVAL_S)
            return
        if last.saturated:
            self._baseline_s = last.median_s
        self._probe_down_timer.postpone(now)
        if self._ceiling == inf:
            self._phase = _Phase.SLOW_START
            self._set_limit(self._probe.limit)
            self._update_growth()
        else:
            self._enter_steady(self._probe.limit, from_429s=self._ceiling_is_from_429s)
        self._restart_round(self._limit)

    def _finish_probe_up(self, now: float) -> None:
        """Keep the higher limit if it met no 429 and throughput grew with it."""
        last = self._round
        grew = self._probe.queue_share(last, self._limit) <= _MAX_QUEUE_SHARE
        harmless = (
            last.median_s < _NEGLIGIBLE_LATENCY_S
            and last.throughput >= 0.9 * self._probe.throughput
        )
        if last.saturated and (self._ceiling_is_from_429s or grew or harmless):
            self._enter_steady(self._limit, from_429s=self._ceiling_is_from_429s)
            self._probe_up_timer.expire()
            return
        probed_limit = self._limit
        self._enter_steady(self._probe.limit, from_429s=self._ceiling_is_from_429s)
        self._probe_up_timer.postpone(now)
        self._probe_step = 0.0
        self._restart_round(probed_limit)

    def _enter_steady(self, limit: int, *, from_429s: bool) -> None:
        self._phase = _Phase.STEADY
        self._set_limit(limit)
        self._ceiling, self._ceiling_is_from_429s = self._limit, from_429s
        self._update_growth()
