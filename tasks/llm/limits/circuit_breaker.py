"""The circuit breaker: spares an endpoint that only fails, and probes until it recovers."""

from __future__ import annotations

import math

from article_flows.tasks.llm.limits.retry_policy import RetryPolicy
from article_flows.tasks.llm.protocol.request import Request


class CircuitBreaker:
    """A circuit that opens when many different articles fail in a row, and then admits probes.

    The states are Nygard's ("Release It!", 2007): closed, open, half-open. It takes
    ``breaker_threshold`` different articles without an answer in between, so one article that
    always fails never opens it.

    Attributes:
        is_open: Whether only probes are sent.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failing: set[int] = set()
        self._probe: Request | None = None
        self._next_probe_at = 0.0
        self._failed_probes = 0
        self.is_open = False

    @property
    def exhausted(self) -> bool:
        """Whether all the probes that the policy allows have failed."""
        return self._failed_probes >= self._policy.max_probes

    @property
    def probe_in_flight(self) -> bool:
        """Whether a probe is in flight."""
        return self._probe is not None

    def record_success(self) -> None:
        """Close the circuit: the endpoint responded with anything but a transient fault."""
        if self._failing:
            self._failing.clear()
            self.is_open, self._probe, self._failed_probes = False, None, 0

    def record_failure(
        self, request: Request, now: float, retry_after: float | None = None
    ) -> None:
        """Count a transient fault.

        Args:
            request: The request that failed.
            now: Monotonic seconds.
            retry_after: Seconds that the endpoint asked to wait.
        """
        self._failing.add(id(request))
        if request is self._probe:
            self._probe = None
            self._failed_probes += 1
        elif self.is_open or len(self._failing) < self._policy.breaker_threshold:
            return
        self.is_open = True
        self._next_probe_at = now + self._policy.probe_interval(self._failed_probes, retry_after)

    def record_sent(self, request: Request) -> None:
        """Remember the request as the probe if the circuit is open."""
        if self.is_open:
            self._probe = request

    def release(self, request: Request) -> None:
        """Allow another probe if this one was cancelled or not sent."""
        if request is self._probe:
            self._probe = None

    def seconds_until_probe(self, now: float) -> float:
        """Return the seconds until the next probe; infinity while one is in flight."""
        return math.inf if self._probe else max(0.0, self._next_probe_at - now)
