"""Rate limits as OpenAI enforces and reports them: a bucket of requests, a bucket of tokens."""

from collections.abc import Callable
from math import ceil
from time import monotonic

from article_flows.tasks.mock_endpoint.protocol import ApiError


class _Bucket:
    """A token bucket that gains `per_minute` and holds `capacity`; full at first. In seconds."""

    def __init__(self, per_minute: int, capacity: int, clock: Callable[[], float]) -> None:
        self.limit = per_minute
        self.capacity = capacity
        self._clock = clock
        self._full_at = clock()

    def until_full(self) -> float:
        return max(0.0, self._full_at - self._clock())

    def level(self) -> float:
        # Rounded, as an error in the last digit must not ask for a wait of nothing.
        return round(self.capacity - self.until_full() * self.limit / 60, 6)

    def wait(self, amount: float) -> float:
        return max(0.0, min(amount, self.capacity) - self.level()) * 60 / self.limit

    def take(self, amount: float) -> None:
        self._full_at = self._clock() + self.until_full() + amount * 60 / self.limit


class Quota:
    """The limits on requests and tokens a minute, either of which may be absent.

    ``burst`` is how many requests may come at once; a minute's by default.
    """

    def __init__(
        self,
        rpm: int | None,
        tpm: int | None,
        clock: Callable[[], float] = monotonic,
        burst: int | None = None,
    ) -> None:
        self._buckets: dict[str, _Bucket] = {}
        if rpm:
            self._buckets["requests"] = _Bucket(rpm, burst or rpm, clock)
        if tpm:
            self._buckets["tokens"] = _Bucket(tpm, tpm, clock)

    def admit(self, tokens: int) -> None:
        """Take a request of so many tokens (prompt and max_tokens) out of both buckets.

        Raises:
            ApiError: 429, and nothing is taken, when either has too little; for a request that
                is larger than a whole minute's tokens as well, which no wait can help.
        """
        amounts = {"requests": 1, "tokens": tokens}
        for kind, bucket in self._buckets.items():
            wait, amount = bucket.wait(amounts[kind]), amounts[kind]
            if wait > 0 or amount > bucket.limit:
                again = f"Please try again in {go_duration(wait)}."
                less = "The input or output tokens must be reduced."
                raise ApiError(
                    429,
                    f"Rate limit reached for {kind} per min: Limit {bucket.limit}, Requested "
                    f"{amount}. {less if amount > bucket.limit else again}",
                    code="rate_limit_exceeded",
                    kind=kind,
                    wait_s=wait,
                    fault="rpm" if kind == "requests" else "tpm",
                )
        for kind, bucket in self._buckets.items():
            bucket.take(amounts[kind])

    def headers(self) -> dict[str, str]:
        """Report limit, what remains and the time until all is there again, as OpenAI does."""
        headers = {}
        for kind, bucket in self._buckets.items():
            headers[f"x-ratelimit-limit-{kind}"] = str(bucket.limit)
            headers[f"x-ratelimit-remaining-{kind}"] = str(max(0, int(bucket.level())))
            headers[f"x-ratelimit-reset-{kind}"] = go_duration(bucket.until_full())
        return headers


def go_duration(seconds: float) -> str:
    """Write seconds the way Go does, as in OpenAI's headers: "20ms", "1.5s", "6m0s", "1h0m0s"."""
    milliseconds = ceil(round(seconds * 1000, 6))
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    written = f"{minutes}m" if hours or minutes else ""
    return (f"{hours}h" if hours else "") + written + f"{rest / 1000:g}s"
