"""Request hedging: a second copy of the slow requests at the end of a run.

After Dean and Barroso, "The Tail at Scale" (CACM 56:2, 2013): the first answer wins, and a bound on
the number of copies keeps their cost low.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from article_flows.tasks.llm.gateway.timer import Timer
from article_flows.tasks.llm.limits.adaptive_concurrency import AdaptiveConcurrency
from article_flows.tasks.llm.protocol.request import Request
from article_flows.tasks.llm.protocol.results import Totals

_SLOW_LATENCY_RATIO = 3.0
"""A request is hedged when it takes this many times the median latency."""
_MAX_HEDGE_SHARE = 0.01
"""Copies as a share of the articles sent to the endpoint."""
_CHECKS_PER_LATENCY = 10
_MIN_CHECK_INTERVAL_S = 0.02


class Hedging:
    """The hedging of the last requests of a run.

    Args:
        send_copy: Sends a second copy of a request; returns False if a limit forbids it.
        concurrency: Provides the median latency.
        totals: The gateway's counts.
    """

    def __init__(
        self,
        send_copy: Callable[[Request], bool],
        concurrency: AdaptiveConcurrency,
        totals: Totals,
    ) -> None:
        self._send_copy = send_copy
        self._concurrency = concurrency
        self._totals = totals
        self._candidates: Callable[[], list[Request]] = list
        self._timer = Timer(self._check)

    def start(self, candidates: Callable[[], list[Request]]) -> None:
        """Start hedging; ``candidates`` returns the requests in flight that may be hedged."""
        self._candidates = candidates
        self._check()

    def stop(self) -> None:
        """Stop hedging."""
        self._timer.cancel()

    def _check(self) -> None:
        median_latency_s = self._concurrency.median_latency_s
        if median_latency_s is not None:
            now = time.monotonic()
            for request in self._candidates():
                if self._totals.hedges + 1 > _MAX_HEDGE_SHARE * self._totals.calls:
                    return
                is_slow = now - request.sent_at > _SLOW_LATENCY_RATIO * median_latency_s
                may_be_hedged = (
                    request.in_flight == 1 and request.hedge_worker is None and not request.settled
                )
                if is_slow and may_be_hedged and not self._send_copy(request):
                    break
        interval_s = (median_latency_s or 0.0) / _CHECKS_PER_LATENCY
        self._timer.start(max(interval_s, _MIN_CHECK_INTERVAL_S))
