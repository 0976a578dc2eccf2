"""A simulated gateway in virtual time, so that an hour takes a second."""

import random
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

from article_flows.tasks.llm.limits.adaptive_concurrency import AdaptiveConcurrency
from article_flows.tasks.llm.limits.rate_limiter import RateLimiter
from article_flows.tasks.llm.protocol.rate_headers import RateHeaders
from tests.tasks.llm.limits.limits_servers import REJECTION_S, Bucket, Latency, Server, fixed


@dataclass
class Run:
    """The result of a simulated run.

    Attributes:
        seconds: From the first request to the last answer.
        limited: Requests answered 429.
        calls: Requests sent.
        flights: (time, requests in flight) at each answer.
        sends: (time, amount) of each request.
    """

    seconds: float = 0.0
    limited: int = 0
    calls: int = 0
    flights: list[tuple[float, int]] = field(default_factory=list)
    sends: list[tuple[float, float]] = field(default_factory=list)

    def mean_in_flight(self, since: float) -> float:
        """Return the mean over time, after this share of the run."""
        start = since * self.seconds
        area = last = 0.0
        for moment, in_flight in self.flights:
            if moment > start:
                area += in_flight * (moment - max(last, start))
            last = moment
        return area / (last - start)


def run(server: Server, limit: AdaptiveConcurrency | int, calls: int, cpu_s: float = 0.0) -> Run:
    """Send requests, as many at once as the limit allows; after a 429 all wait for its Retry-After.

    Args:
        server: The endpoint.
        limit: An adaptive limit or a fixed one.
        calls: Requests to be answered.
        cpu_s: CPU time per answer of the client, which has one core.
    """
    result = Run()
    heap: list[tuple[float, int, float, float | None]] = []
    now = resume_at = idle_at = 0.0
    to_do, active, serial = calls, 0, 0
    while to_do or heap:
        most = limit if isinstance(limit, int) else limit.limit
        while to_do and len(heap) < most and now >= resume_at:
            reply = server.take(now, active + 1)
            active += reply.retry_after is None
            to_do, serial, result.calls = to_do - 1, serial + 1, result.calls + 1
            heappush(heap, (now + reply.seconds, serial, now, reply.retry_after))
        if not heap or (to_do and len(heap) < most and now < resume_at < heap[0][0]):
            now = resume_at
            continue
        in_flight = len(heap)
        done, _, sent, retry_after = heappop(heap)
        now = idle_at = max(done, idle_at, now) + cpu_s
        result.flights.append((now, in_flight))
        if retry_after is None:
            active -= 1
            if isinstance(limit, AdaptiveConcurrency):
                limit.record_answer(now - sent, in_flight, now)
        else:
            to_do, result.limited = to_do + 1, result.limited + 1
            resume_at = max(resume_at, now + retry_after)
            if isinstance(limit, AdaptiveConcurrency):
                limit.record_rejection(in_flight, now)
    result.seconds = now
    return result


@dataclass
class Paced:
    """A run through a RateLimiter.

    Attributes:
        reserve: Tokens that each request reserves.
        use: Tokens that each request uses.
        refunds: Whether the provider refunds unused tokens.
        late_s: Maximum delay of a timer.
        jitter_s: Maximum network delay.
        others: Requests per second that other clients take from the same quota.
        first: Requests that may be in flight before a limit is known.
    """

    limiter: RateLimiter
    requests: Bucket | None = None
    tokens: Bucket | None = None
    headers: bool = True
    latency: Latency = field(default_factory=lambda: fixed(0.5))
    reserve: float = 0.0
    use: float = 0.0
    refunds: bool = False
    late_s: float = 0.003
    jitter_s: float = 0.003
    others: float = 0.0
    first: int = 8
    seed: int = 0

    def run(self, calls: int, seconds: float = inf) -> Run:
        """Send until ``calls`` are answered or ``seconds`` have passed."""
        draw, result, limiter = random.Random(self.seed), Run(), self.limiter
        heap: list[tuple[float, int, str, bool]] = []
        now = resume_at = others_at = 0.0
        serial = in_flight = answered = 0
        while answered < calls and now < seconds:
            while limiter.has_limits or in_flight < self.first:
                if now < resume_at or limiter.seconds_until_ready(self.reserve, now) > 0:
                    break
                limiter.reserve(self.reserve, now)
                result.sends.append((now, self.reserve))
                serial, in_flight, result.calls = serial + 1, in_flight + 1, result.calls + 1
                heappush(heap, (now + draw.random() * self.jitter_s, serial, "in", True))
            wake_at = inf
            if limiter.has_limits or in_flight < self.first:
                wake_at = max(resume_at, now + limiter.seconds_until_ready(self.reserve, now))
                wake_at += draw.random() * self.late_s
            if heap and heap[0][0] <= wake_at:
                now, number, kind, fine = heappop(heap)
            else:
                now = wake_at
                continue
            if kind == "in":
                if self.requests is not None:
                    self.requests.fill(now)
                    theirs = (now - others_at) * self.others
                    self.requests.left = max(0.0, self.requests.left - theirs)
                    others_at = now
                fine = self._admit(now)
                done = now + (self.latency() if fine else REJECTION_S)
                heappush(heap, (done, number, "out", fine))
                continue
            in_flight -= 1
            if self.headers:
                limiter.update(self._reported(now), now)
            if fine:
                answered += 1
                limiter.settle(self.reserve, self.use, now)
                if self.refunds and self.tokens:
                    self.tokens.left += self.reserve - self.use
            else:
                result.limited += 1
                limiter.settle(self.reserve, 0.0, now)
                limiter.record_rejection(now)
                waits = [b.wait(a, now) for b, a in self._quotas() if b.left < a]
                resume_at = now + max(waits, default=0.01)
        result.seconds = now
        return result

    def _quotas(self) -> list[tuple[Bucket, float]]:
        pairs = ((self.requests, 1.0), (self.tokens, self.reserve))
        return [(bucket, amount) for bucket, amount in pairs if bucket is not None]

    def _admit(self, now: float) -> bool:
        for bucket, amount in self._quotas():
            bucket.fill(now)
            if bucket.left < amount - 1e-9:
                return False
        return all(bucket.admit(amount, now) for bucket, amount in self._quotas())

    def _reported(self, now: float) -> RateHeaders:
        return RateHeaders(
            self.requests.window(now) if self.requests else None,
            self.tokens.window(now) if self.tokens else None,
        )
