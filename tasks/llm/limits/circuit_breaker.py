"""The circuit breaker: what an endpoint that only fails is spared, and how long we wait for it."""

from __future__ import annotations

import math

from article_flows.tasks.llm.limits.retry_policy import RetryPolicy
from article_flows.tasks.llm.protocol.request import Request


class CircuitBreaker:
    """Opens when many different articles fail in a row, and lets single probes through.

    The pattern is Nygard's ("Release It!", 2007): closed, open, half-open. One article that
    always fails never opens it: it takes ``breaker_articles`` of them, without an answer between.
    """

    def __init__(self, retry: RetryPolicy) -> None:
        self._retry = retry
        self._failing: set[int] = set()
        self._probe: Request | None = None
        self._probe_at = 0.0
        self._probes = 0
        self.open = False

    @property
    def hopeless(self) -> bool:
        """Whether all the probes that the policy allows have failed."""
        return self._probes >= self._retry.probes

    @property
    def probing(self) -> bool:
        """Whether a probe is under way."""
        return self._probe is not None

    def answered(self) -> None:
        """The endpoint did something other than fail."""
        if self._failing:
            self._failing.clear()
            self.open, self._probe, self._probes = False, None, 0

    def failed(self, asking: Request, now: float, at_least: float | None = None) -> None:
        """A transient fault; ``at_least`` is the seconds that the endpoint asked to wait."""
        self._failing.add(id(asking))
        if asking is self._probe:
            self._probe = None
            self._probes += 1
        elif self.open or len(self._failing) < self._retry.breaker_articles:
            return
        self.open = True
        self._probe_at = now + self._retry.probe_pause(self._probes, at_least)

    def given_up(self, asking: Request) -> None:
        """The probe's caller has gone: another one may be sent."""
        if asking is self._probe:
            self._probe = None

    def wait(self, now: float) -> float:
        """Seconds until the next probe may be sent; infinite while one is under way."""
        return math.inf if self._probe else max(0.0, self._probe_at - now)

    def sent(self, asking: Request) -> None:
        """A request goes out; with the circuit open it is the probe."""
        if self.open:
            self._probe = asking
