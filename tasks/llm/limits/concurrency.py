"""How many requests to keep in flight when no header tells: learned from answers and from 429s.

Slow start, clocked by answers, then three kinds of evidence, each as strong as it is:

- 429s: the limit falls by the share of a round trip's requests that were turned away, and what was
  left is remembered as a ceiling. Below it growth is fast (TCP CUBIC, RFC 9438, aims at the window
  of its last loss likewise); above it are trials, ever rarer while they fail.
- latency: by Little's law (in flight = throughput x latency) a server that is busy answers no
  faster, only later, when it is given more. Suspicion is aroused by the ratio of latency to the
  lowest known (Netflix concurrency-limits, Gradient2), and tested before it is believed: with
  fewer in flight, a queue gets shorter, and a server that is slow for another reason does not.
- throughput: a trial with more in flight is kept if throughput grows with it (TCP BBR's probing).

Too little work to fill the limit is no evidence of anything.
"""

from __future__ import annotations

from math import inf
from typing import Final

from article_flows.tasks.llm.limits.concurrency_rounds import (
    Growth,
    Pause,
    Rejections,
    Round,
    Trial,
)

_FIRST: Final = 8
_SECOND: Final = 64
# Per answer in slow start: with the one that takes the answer's place, three for one.
_SLOW_START: Final = 2.0
_GROWTH_PAST_FEW: Final = 2.0
_GIVE_WAY: Final = 0.02
_BELOW_CEILING: Final = 0.1
# A limit is full, and its answers are evidence, from here on.
_FULL: Final = 0.8
# Queues shorter than this are our own loop's, or harm nobody; nor do so few requests.
_HARMLESS_S: Final = 0.04
_HARMLESS: Final = 16
# Latency against the lowest known: suspicious, and what is aimed at (Gradient2 tolerates 1.5).
_SUSPICIOUS: Final = 2.0
_NEW_BASE_MEMORY: Final = 0.2
_BASE_MEMORY: Final = 0.03
_QUEUE: Final = 1.25
_DEEPEST_CUT: Final = 0.3
_SHALLOWEST_CUT: Final = 0.8
# Of a trial's change, at least (with fewer) or at most (with more) so much is due to a queue.
_QUEUED: Final = 0.5
_NOT_QUEUED: Final = 0.35
_TRIAL_ROUND_TRIPS: Final = 2
_TRIAL_GROWTH: Final = 1.25
_CAUTIOUS_GROWTH: Final = 0.04
# Seconds between trials above a ceiling: a failed one costs a Retry-After, or just some latency.
_TRIAL_WAIT_S: Final = 15.0
_LATENCY_TRIAL_WAIT_S: Final = 4.0

_STARTING, _GROWING, _CHECKING, _HOLDING, _TRYING_LESS, _TRYING_MORE = range(6)


class Concurrency:
    """Learns how many requests an endpoint takes at once. Times are monotonic seconds.

    Args:
        most: the limit's upper bound, 1 or more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._phase = _STARTING
        self._round = Round()
        self._rejections = Rejections()
        self._base_s = inf
        self._ceiling: float = inf
        self._ceiling_told = False
        self._step = 0.0
        self._trial = Trial()
        self._next_trial = Pause(_TRIAL_WAIT_S)
        self._next_regrowth = Pause(_TRIAL_WAIT_S)
        self._next_test = Pause(_LATENCY_TRIAL_WAIT_S)
        self._growth = Growth()
        self._set_limit(_FIRST)

    @property
    def limit(self) -> int:
        """How many requests may be in flight: from 1 to ``most``."""
        return self._limit

    @property
    def learning(self) -> bool:
        """Whether the limit is still in its first growth, without any sign of a bound."""
        return self._phase <= _CHECKING

    @property
    def usual_s(self) -> float | None:
        """The median latency of the last round trips in seconds; None before the first answers."""
        return self._round.usual_s

    def answered(self, latency_s: float, in_flight: int, now: float) -> None:
        """Take in an answer.

        Args:
            latency_s: from sending to the whole answer.
            in_flight: requests that were out when it came, itself included.
            now: the moment it came.
        """
        if self._phase == _STARTING:
            self._phase = _GROWING
            self._set_limit(_SECOND)
            self._set_growth()
        if not self._rejections.active:
            self._rejections.between += 1
        elif self._rejections.accepted(now):
            self._end_rejections(now)
        full = in_flight >= self._full_from
        if full and self._growth.rate and not self._rejections.active:
            self._set_limit(self._growth.step(self._limit))
        if self._round.add(latency_s, full, now):
            self._judge(now)

    def limited(self, in_flight: int, now: float) -> None:
        """Take in a 429.

        Args:
            in_flight: requests that were out when it came, itself included.
            now: the moment it came.
        """
        rejections = self._rejections
        if rejections.active and in_flight > rejections.base:
            # More are out than were at the first 429: these were sent after it.
            rejections.close(now)
            self._end_rejections(now)
        if not rejections.active:
            # Few in flight, as after a pause, say little about the limit: count half of it.
            base = min(max(in_flight, (self._limit + 1) // 2), self._limit + 1)
            # A trial that fails says nothing against what was there before it.
            floor = self._trial.limit if self._phase == _TRYING_MORE else 1
            rejections.open(base, floor, self._ceiling, now)
            self._give_way()
        room = rejections.reject(now, self._round.usual_s)
        if room is not None and room < self._limit:
            self._cut(room, now)
        if not rejections.active:
            self._end_rejections(now)

    def _give_way(self) -> None:
        """Fall a little for any 429s: what looks like chance may be a limit one too high."""
        if self._phase == _HOLDING:
            limit = self._growth.give_way(self._limit, _GIVE_WAY)
            if limit < self._limit:
                self._set_limit(limit)
                self._ceiling = min(self._ceiling, float(self._limit))
                self._set_growth()

    def _cut(self, room: int, now: float) -> None:
        if self._phase == _STARTING and 2 * self._rejections.rejected < self._rejections.base:
            return  # two in eight are soon two by chance
        if self.learning and self._rejections.few:
            return  # perhaps by chance: if it was a ceiling, the next growth shows it at once
        failed_trial = self._phase == _TRYING_MORE
        self._next_trial.later(now, None if failed_trial else _TRIAL_WAIT_S)
        self._step = 0.0
        self._settle(self._limit)
        self._phase = _HOLDING
        self._set_limit(room)
        self._ceiling, self._ceiling_told = self._rejections.ceiling(room), True
        self._set_growth()

    def _end_rejections(self, now: float) -> None:
        """All that were out at the first 429 are back."""
        if self.learning:
            # Nearly all were let in. While a Retry-After empties the pipe, no answer finds the
            # limit full, so growth cannot be clocked by answers.
            self._set_limit(_GROWTH_PAST_FEW * self._limit)
            return
        # A ceiling that was none: as many 429s came after the cut, by chance.
        if self._phase == _HOLDING and self._rejections.noisy and self._next_regrowth.due(now):
            self._next_regrowth.later(now)
            self._ceiling = inf
            self._phase = _GROWING
            self._set_growth()

    def _set_limit(self, limit: float) -> None:
        self._limit = max(1, min(self._most, int(limit)))
        self._full_from = max(1, int(_FULL * self._limit))

    def _set_growth(self) -> None:
        """Say how fast the limit grows with each answer, and how far."""
        if self._phase == _GROWING:
            self._growth.go(_SLOW_START, self._most)
        elif self._phase == _HOLDING and self._limit < self._ceiling:
            self._growth.go(_BELOW_CEILING, int(min(self._ceiling, self._most)))
        else:
            self._growth.go(0.0, self._limit)

    def _settle(self, old_limit: int) -> None:
        """Begin a new round once what was sent under the old limit has been answered."""
        trips = _TRIAL_ROUND_TRIPS if self._phase >= _TRYING_LESS else 1
        self._round.open(trips * self._limit, skip=old_limit)

    def _judge(self, now: float) -> None:
        """Draw the conclusions of a round."""
        finished = self._round
        if self._phase == _TRYING_LESS:
            self._judge_less(now)
        elif self._phase == _TRYING_MORE:
            self._judge_more(now)
        else:
            suspicious = finished.full and self._suspect(now)
            if finished.median_s < self._base_s:
                self._base_s = finished.median_s
            elif not suspicious:
                # The first answers of a growing crowd are its quick ones: they set it too low.
                memory = _NEW_BASE_MEMORY if self._phase == _GROWING else _BASE_MEMORY
                self._base_s += memory * (finished.median_s - self._base_s)
            if self._phase == _CHECKING and not suspicious:
                self._phase = _GROWING
                self._set_growth()
            if finished.full and not suspicious:
                self._perhaps_try_more(now)
        if not finished.opened:
            finished.open(self._limit, skip=0)

    def _suspect(self, now: float) -> bool:
        """Try with fewer in flight if latency looks as if requests were waiting in a queue."""
        median_s = self._round.median_s
        if (
            self._limit <= _HARMLESS
            or median_s < _HARMLESS_S
            or median_s < _SUSPICIOUS * self._base_s
            or not self._next_test.due(now)
        ):
            return False
        if self._phase == _GROWING:
            # Half of these were sent under lower limits: see how it is when the limit stands.
            self._phase = _CHECKING
            self._set_growth()
            self._settle(self._limit)
            return True
        share = _QUEUE * self._base_s / median_s
        share = max(_DEEPEST_CUT, min(_SHALLOWEST_CUT, share))
        self._try(_TRYING_LESS, max(_HARMLESS, share * self._limit))
        return True

    def _perhaps_try_more(self, now: float) -> None:
        if self._phase != _HOLDING or not self._next_trial.due(now):
            return
        if self._limit >= self._most or self._limit < self._ceiling:
            return
        if self._ceiling_told:
            self._step = 2 * self._step or max(1.0, _CAUTIOUS_GROWTH * self._limit)
            self._try(_TRYING_MORE, self._limit + self._step)
        else:
            self._try(_TRYING_MORE, max(self._limit + 1, _TRIAL_GROWTH * self._limit))

    def _try(self, phase: int, limit: float) -> None:
        self._phase = phase
        self._trial.begin(self._round, self._limit)
        self._set_limit(limit)
        self._set_growth()
        self._settle(self._trial.limit)

    def _judge_less(self, now: float) -> None:
        """Latency fell with the limit: there was a queue. It did not: that is how it is now."""
        finished = self._round
        if finished.full and self._trial.queue_share(finished, self._limit) >= _QUEUED:
            self._hold(self._limit, told=False)
            self._next_trial = Pause(_LATENCY_TRIAL_WAIT_S)
            self._next_test = Pause(_LATENCY_TRIAL_WAIT_S)
            return
        if finished.full:
            self._base_s = finished.median_s
        self._next_test.later(now)
        if self._ceiling == inf:
            self._phase = _GROWING
            self._set_limit(self._trial.limit)
            self._set_growth()
        else:
            self._hold(self._trial.limit, told=self._ceiling_told)
        self._settle(self._limit)

    def _judge_more(self, now: float) -> None:
        """Keep a higher limit that went well: no 429, and throughput that grew with it."""
        finished = self._round
        grew = self._trial.queue_share(finished, self._limit) <= _NOT_QUEUED
        harmless = finished.median_s < _HARMLESS_S and finished.rate >= 0.9 * self._trial.rate
        if finished.full and (self._ceiling_told or grew or harmless):
            self._hold(self._limit, told=self._ceiling_told)
            self._next_trial.now()
            return
        old = self._limit
        self._hold(self._trial.limit, told=self._ceiling_told)
        self._next_trial.later(now)
        self._step = 0.0
        self._settle(old)

    def _hold(self, limit: int, *, told: bool) -> None:
        self._phase = _HOLDING
        self._set_limit(limit)
        self._ceiling, self._ceiling_told = self._limit, told
        self._set_growth()
