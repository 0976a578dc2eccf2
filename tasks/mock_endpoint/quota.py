"""Rate limits as OpenAI enforces and reports them: a bucket of requests, a bucket of tokens."""

from collections.abc import Callable
from math import ceil
from time import monotonic

from tasks.mock_endpoint.protocol import ApiError, rate_limited


class _Bucket:
    """A token bucket.

    Args:
        per_minute: how much it gains in a minute.
        capacity: how much it can hold.
        clock: seconds from any start.
    """

    def __init__(self, per_minute: int, capacity: int, clock: Callable[[], float]) -> None:
        self.limit = per_minute
        self.capacity = capacity
        self._clock = clock
        self._level = float(capacity)
        self._at = clock()

    def level(self) -> float:
        """Return how much it holds now."""
        now = self._clock()
        self._level = min(self.capacity, self._level + (now - self._at) * self.limit / 60)
        self._at = now
        return self._level

    def wait(self, amount: float) -> float:
        """Return the seconds until it holds so much: 0 if it does now."""
        # A rounding error must not ask for a wait of nothing.
        missing = min(amount, self.capacity) - self.level()
        return missing * 60 / self.limit if missing > 1e-6 else 0.0

    def take(self, amount: float) -> None:
        """Take so much out."""
        self._level = self.level() - amount


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
            wait = bucket.wait(amounts[kind])
            if wait > 0 or amounts[kind] > bucket.limit:
                raise _exceeded(kind, bucket, amounts[kind], wait)
        for kind, bucket in self._buckets.items():
            bucket.take(amounts[kind])

    def headers(self) -> dict[str, str]:
        """Report limit, what remains and the time until all is there again, as OpenAI does."""
        headers = {}
        for kind, bucket in self._buckets.items():
            headers[f"x-ratelimit-limit-{kind}"] = str(bucket.limit)
            headers[f"x-ratelimit-remaining-{kind}"] = str(max(0, int(bucket.level())))
            headers[f"x-ratelimit-reset-{kind}"] = go_duration(bucket.wait(bucket.capacity))
        return headers


def _exceeded(kind: str, bucket: _Bucket, amount: int, wait: float) -> ApiError:
    used = max(0, bucket.capacity - int(bucket.level()))
    if amount > bucket.limit:
        advice = "The input or output tokens must be reduced in order to run successfully."
    else:
        advice = f"Please try again in {go_duration(wait)}."
    return rate_limited(
        f"Rate limit reached for {kind} per min: Limit {bucket.limit}, Used {used}, "
        f"Requested {amount}. {advice}",
        wait,
        fault="rpm" if kind == "requests" else "tpm",
        kind=kind,
    )


def go_duration(seconds: float) -> str:
    """Write seconds the way Go does, as in OpenAI's headers: "20ms", "1.5s", "6m0s", "1h0m0s"."""
    milliseconds = ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return (
        (f"{hours}h" if hours else "")
        + (f"{minutes}m" if hours or minutes else "")
        + f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
        + "s"
    )
