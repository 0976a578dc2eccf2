"""Hedging: when no work is left to start, a second copy of the requests that take long.

After Dean and Barroso, "The Tail at Scale" (CACM 56:2, 2013): the first answer wins, and a bound
on the copies keeps what they cost small.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tasks.llm.answers import Totals
from tasks.llm.asking import Asking
from tasks.llm.concurrency import Concurrency

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
        self, send: Callable[[Asking], bool], concurrency: Concurrency, totals: Totals
    ) -> None:
        self._send = send
        self._concurrency = concurrency
        self._totals = totals
        self._alarm: asyncio.TimerHandle | None = None

    def watch(self, under_way: Callable[[], list[Asking]]) -> None:
        """Send copies from now on, until nothing is under way; ``under_way`` tells what is."""
        self.stop()
        usual_s = self._concurrency.usual_s
        if usual_s is not None:
            now = time.monotonic()
            for asking in under_way():
                if self._totals.hedges + 1 > _MOST_EXTRA * self._totals.calls:
                    return
                slow = now - asking.sent_at > _SLOW * usual_s
                alone = asking.out == 1 and asking.hedge_lane is None and not asking.settled
                if slow and alone and not self._send(asking):
                    break
        pause = max((usual_s or 0.0) / _CHECKS_A_LATENCY, _SHORTEST_CHECK_S)
        self._alarm = asyncio.get_running_loop().call_later(pause, self.watch, under_way)

    def stop(self) -> None:
        """Send no more copies."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
