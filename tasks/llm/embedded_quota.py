"""Rate limits as OpenAI enforces and reports them: a bucket of requests, a bucket of tokens."""

from collections.abc import Callable
from math import ceil
from time import monotonic

from tasks.llm.embedded_protocol import ApiError


class Bucket:
    """A token bucket: fills up steadily, by default to what a minute allows.

    Args:
        per_minute: what it gains in a minute.
        clock: seconds from any start.
        holds: what it holds when full; what it gains in a minute unless told.
    """

    def __init__(
        self,
        per_minute: int,
        clock: Callable[[], float] = monotonic,
        holds: int | None = None,
    ) -> None:
        self.limit = per_minute
        self.holds = per_minute if holds is None else holds
        self._clock = clock
        self._level = float(self.holds)
        self._at = clock()

    def level(self) -> float:
        """Tell what it holds now."""
        now = self._clock()
        self._level = min(self.holds, self._level + (now - self._at) * self.limit / 60)
        self._at = now
        return self._level

    def wait(self, amount: float) -> float:
        """Tell the seconds until it holds so much: 0 if it does now."""
        # A rounding error must not ask for a wait of nothing.
        missing = min(amount, self.holds) - self.level()
        return missing * 60 / self.limit if missing > 1e-6 else 0.0

    def take(self, amount: float) -> None:
        """Take so much out."""
        self._level = self.level() - amount


class Quota:
    """The limits on requests and tokens a minute, either of which may be absent.

    ``burst`` is how many requests may come at once; a minute's unless told.
    """

    def __init__(
        self,
        rpm: int | None,
        tpm: int | None,
        clock: Callable[[], float] = monotonic,
        burst: int | None = None,
    ) -> None:
        self.requests = Bucket(rpm, clock, burst) if rpm else None
        self.tokens = Bucket(tpm, clock) if tpm else None

    def admit(self, tokens: int) -> None:
        """Take a request of so many tokens (prompt and max_tokens) out of both buckets.

        Raises:
            ApiError: 429, and nothing is taken, when either has too little; for a request that
                is larger than a whole minute's tokens as well, which no wait can help.
        """
        for kind, bucket, amount in (
            ("requests", self.requests, 1),
            ("tokens", self.tokens, tokens),
        ):
            if bucket is None:
                continue
            wait = bucket.wait(amount)
            if wait > 0 or amount > bucket.limit:
                raise self._exceeded(kind, bucket, amount, wait)
        if self.requests:
            self.requests.take(1)
        if self.tokens:
            self.tokens.take(tokens)

    def headers(self) -> dict[str, str]:
        """Report limit, what remains and the time until all is there again, as OpenAI does."""
        headers = {}
        for kind, bucket in (("requests", self.requests), ("tokens", self.tokens)):
            if bucket is not None:
                headers[f"x-ratelimit-limit-{kind}"] = str(bucket.limit)
                headers[f"x-ratelimit-remaining-{kind}"] = str(max(0, int(bucket.level())))
                headers[f"x-ratelimit-reset-{kind}"] = go_duration(bucket.wait(bucket.holds))
        return headers

    def _exceeded(self, kind: str, bucket: Bucket, amount: float, wait: float) -> ApiError:
        used = max(0, bucket.holds - int(bucket.level()))
        if amount > bucket.limit:
            advice = "The input or output tokens must be reduced in order to run successfully."
        else:
            advice = f"Please try again in {go_duration(wait)}."
        error = ApiError(
            429,
            f"Rate limit reached for {kind} per min: Limit {bucket.limit}, Used {used}, "
            f"Requested {amount}. {advice}",
            code="rate_limit_exceeded",
            kind=kind,
            headers=retry_after(wait),
        )
        error.fault = "rpm" if kind == "requests" else "tpm"
        return error


def retry_after(seconds: float) -> dict[str, str]:
    """Write the two headers that say how long to wait: whole seconds, and milliseconds."""
    return {"retry-after": str(ceil(seconds)), "retry-after-ms": str(ceil(seconds * 1000))}


def go_duration(seconds: float) -> str:
    """Write seconds the way Go does, as in OpenAI's headers: "20ms", "1.5s", "6m0s", "1h0m0s"."""
    milliseconds = ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    tail = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if minutes < 60:
        return f"{minutes}m{tail}" if minutes else tail
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{tail}"
