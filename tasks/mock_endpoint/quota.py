"""Rate limits as OpenAI enforces and reports them: token buckets for requests and tokens."""

from collections.abc import Callable
from math import ceil
from time import monotonic

from article_flows.tasks.mock_endpoint.protocol import ApiError


class _Bucket:
    """A token bucket that is initially full. All times are in seconds."""

    def __init__(self, per_minute: int, capacity: int, clock: Callable[[], float]) -> None:
        self.limit = per_minute
        self.capacity = capacity
        self._clock = clock
        self._full_at = clock()

    def until_full(self) -> float:
        return max(0.0, self._full_at - self._clock())

    def level(self) -> float:
        # Rounded, so that a rounding error does not demand a wait of 0 s.
        return round(self.capacity - self.until_full() * self.limit / 60, 6)

    def wait(self, amount: float) -> float:
        return max(0.0, min(amount, self.capacity) - self.level()) * 60 / self.limit

    def take(self, amount: float) -> None:
        self._full_at = self._clock() + self.until_full() + amount * 60 / self.limit


class Quota:
    """Limits on requests and tokens per minute.

    Args:
        rpm: Requests per minute; None for no limit.
        tpm: Tokens per minute; None for no limit.
        clock: Returns monotonic seconds.
        burst: Requests that may arrive at once; by default a minute's.
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
        """Charge a request to both buckets.

        Args:
            tokens: The prompt plus max_tokens.

        Raises:
            ApiError: 429 if either bucket has too little, or if the request is larger than a
                whole minute's tokens. Nothing is charged then.
        """
        amounts = {"requests": 1, "tokens": tokens}
        for kind, bucket in self._buckets.items():
            wait, amount = bucket.wait(amounts[kind]), amounts[kind]
            if wait > 0 or amount > bucket.limit:
                retry = f"Please try again in {go_duration(wait)}."
                reduce = "The input or output tokens must be reduced."
                raise ApiError(
                    429,
                    f"Rate limit reached for {kind} per min: Limit {bucket.limit}, Requested "
                    f"{amount}. {reduce if amount > bucket.limit else retry}",
                    code="rate_limit_exceeded",
                    kind=kind,
                    wait_s=wait,
                    fault="rpm" if kind == "requests" else "tpm",
                )
        for kind, bucket in self._buckets.items():
            bucket.take(amounts[kind])

    def headers(self) -> dict[str, str]:
        """Return limit, remaining and reset headers, as OpenAI does."""
        headers = {}
        for kind, bucket in self._buckets.items():
            headers[f"x-ratelimit-limit-{kind}"] = str(bucket.limit)
            headers[f"x-ratelimit-remaining-{kind}"] = str(max(0, int(bucket.level())))
            headers[f"x-ratelimit-reset-{kind}"] = go_duration(bucket.until_full())
        return headers


def go_duration(seconds: float) -> str:
    """Format seconds as Go does, as in OpenAI's headers.

    Example:
        >>> go_duration(0.02), go_duration(360)
        ('20ms', '6m0s')
    """
    milliseconds = ceil(round(seconds * 1000, 6))
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    minute_part = f"{minutes}m" if hours or minutes else ""
    return (f"{hours}h" if hours else "") + minute_part + f"{rest / 1000:g}s"
