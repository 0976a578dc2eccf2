"""Hedging: when no work is left to start, a second copy of the requests that take long.

After Dean and Barroso, "The Tail at Scale" (CACM 56:2, 2013): the first answer wins, and a bound
on the copies keeps what they cost small.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from article_flows.tasks.llm.gateway.timer import Timer
from article_flows.tasks.llm.limits.concurrency import Concurrency
from article_flows.tasks.llm.protocol.request import Request
from article_flows.tasks.llm.protocol.results import Totals

_SLOW = 3.0
"""How many times the usual latency a request has to take before it gets a second copy."""
_MOST_EXTRA = 0.01
"""Copies as a share of the articles asked about."""
_CHECKS_A_LATENCY = 10
_SHORTEST_CHECK_S = 0.02


class Hedging:
    """Watches the last requests of a run.

    Args:
        send: sends a second copy of an article's request; False if a limit forbids it.
        concurrency: knows the usual latency.
        totals: the gateway's counts.
    """

    def __init__(
        self, send: Callable[[Request], bool], concurrency: Concurrency, totals: Totals
    ) -> None:
        self._send = send
        self._concurrency = concurrency
        self._totals = totals
        self._under_way: Callable[[], list[Request]] = list
        self._alarm = Timer(self._look)

    def watch(self, under_way: Callable[[], list[Request]]) -> None:
        """Send copies from now on, until ``stop``; ``under_way`` tells of what."""
        self._under_way = under_way
        self._look()

    def stop(self) -> None:
        """Send no more copies."""
        self._alarm.stop()

    def _look(self) -> None:
        usual_s = self._concurrency.usual_s
        if usual_s is not None:
            now = time.monotonic()
            for asking in self._under_way():
                if self._totals.hedges + 1 > _MOST_EXTRA * self._totals.calls:
                    return
                slow = now - asking.sent_at > _SLOW * usual_s
                alone = asking.out == 1 and asking.hedge_lane is None and not asking.settled
                if slow and alone and not self._send(asking):
                    break
        self._alarm.ring_in(max((usual_s or 0.0) / _CHECKS_A_LATENCY, _SHORTEST_CHECK_S))
