"""Seeded misbehaviour for the embedded endpoint: what real endpoints do on a bad day.

The n-th decision is a function of (seed, n) alone, so two servers with the same seed misbehave
alike, whatever the timing. Nothing here touches the network: a Faults says what to do, and
embedded_wire does it.
"""

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate
from typing import Any, Final

from tasks.llm.faults_latency import NO_LATENCY, Latency

CALL_FAULTS: Final = (
    "http_500",
    "http_503",
    "http_429",
    "insufficient_quota",
    "reset",
    "stall",
    "truncated",
    "garbage",
    "invalid_json",
    "content_filter",
    "cut",
    "empty",
)
"""The faults that are drawn for a call, one at most: their probabilities add up to at most 1."""


@dataclass(frozen=True)
class Decision:
    """What befalls one call.

    Attributes:
        fault: one of CALL_FAULTS, or None for a call that goes well.
        coin: an independent number in [0, 1), for a fault that comes in two shapes.
        latency: seconds from taking the call to answering it.
    """

    fault: str | None
    coin: float
    latency: float


@dataclass(frozen=True)
class Faults:
    """The misbehaviour of an endpoint; by default it has none.

    Probabilities per call, of which one at most comes true:
        http_500, http_503: an error of the server.
        http_429: a rate limit out of the blue, with Retry-After.
        insufficient_quota: 429 with this code, as when the money has run out.
        reset: a TCP reset in place of an answer.
        stall: the call is taken and never answered.
        truncated: Content-Length promises more than is sent.
        garbage: 200 with a body that is no JSON.
        invalid_json: a structured answer whose content is no JSON; plain ones are left alone.
        content_filter: either 400 in Azure's shape or 200 with this finish_reason.
        cut: finish_reason "length" and half the content.
        empty: 200 with "" for content.

    Always, when set:
        stall_seconds: after which a stalled connection is reset.
        retry_after: seconds that an http_429 or max_concurrent asks to wait; 0 asks nothing.
        quota_after: answers after which every call gets insufficient_quota.
        rpm, tpm: requests and tokens a minute; beyond, 429 rate_limit_exceeded.
        burst: requests that may come at once under rpm; a minute's unless told.
        max_concurrent: calls at once; beyond, 429.
        slow_above: calls at once, beyond which latency grows in proportion.
        poison: a word; prompts with it are always refused by the content filter.
        too_long: prompt tokens, beyond which 400 context_length_exceeded.
        latency: "none", "fixed:0.2", "lognormal:0.5" (median, then optionally sigma), "heavy:0.5"
            (one call in a hundred takes ten times as long); seconds.
    """

    http_500: float = 0.0
    http_503: float = 0.0
    http_429: float = 0.0
    insufficient_quota: float = 0.0
    reset: float = 0.0
    stall: float = 0.0
    truncated: float = 0.0
    garbage: float = 0.0
    invalid_json: float = 0.0
    content_filter: float = 0.0
    cut: float = 0.0
    empty: float = 0.0
    stall_seconds: float = 600.0
    retry_after: float = 1.0
    quota_after: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    burst: int | None = None
    max_concurrent: int | None = None
    slow_above: int | None = None
    poison: str | None = None
    too_long: int | None = None
    latency: Latency = NO_LATENCY
    seed: int = 0

    def __post_init__(self) -> None:
        for name in CALL_FAULTS:
            _check(name, 0 <= getattr(self, name) <= 1, "a probability from 0 to 1")
        for name in _COUNTS:
            value = getattr(self, name)
            least = 0 if name == "quota_after" else 1
            _check(name, value is None or value >= least, f"a whole number of at least {least}")
        _check("burst", self.burst is None or self.rpm is not None, "set together with rpm")
        for name in ("stall_seconds", "retry_after"):
            _check(name, 0 <= getattr(self, name) < float("inf"), "seconds, 0 or more")
        _check("poison", self.poison != "", "a word")
        total = sum(getattr(self, name) for name in CALL_FAULTS)
        if total > 1 + 1e-9:
            raise ValueError(f"the probabilities of faults add up to {total:g}; keep them within 1")

    @classmethod
    def parse(cls, options: Iterable[str], seed: int = 0) -> "Faults":
        """Read options such as "http_500=0.05" or "latency=lognormal:0.5".

        Raises:
            ValueError: a line that names the option that is unknown or out of range.
        """
        values: dict[str, Any] = {}
        for option in options:
            name, equals, text = option.partition("=")
            name = name.strip()
            if name not in _PARSERS or not equals:
                known = ", ".join(_PARSERS)
                raise ValueError(f"unknown fault {option!r}; use NAME=VALUE with one of: {known}")
            try:
                values[name] = _PARSERS[name](text.strip())
            except ValueError as error:
                raise ValueError(f"fault {option!r}: {error}") from None
        return cls(**values, seed=seed)

    def options(self) -> list[str]:
        """List what differs from the defaults, in the form that parse reads."""
        differing = [
            (entry.name, getattr(self, entry.name))
            for entry in fields(self)
            if entry.name != "seed" and getattr(self, entry.name) != entry.default
        ]
        return [f"{name}={value}" for name, value in differing]

    def decide(self, n: int) -> Decision:
        """Decide the fate of the n-th call."""
        if self._never:
            return _ALL_WELL
        drawn = blake2b(f"{self.seed}:{n}".encode()).digest()
        uniform = [int.from_bytes(drawn[i : i + 8], "big") / 2**64 for i in range(0, 40, 8)]
        fault = next((name for limit, name in self._limits if uniform[0] < limit), None)
        return Decision(fault, uniform[1], self.latency.seconds(*uniform[2:5]))

    def slowed(self, latency: float, active: int) -> float:
        """Stretch a latency, or 50 ms if there is none, when more calls than slow_above are in."""
        if self.slow_above is None or active <= self.slow_above:
            return latency
        return max(latency, _LEAST_SERVICE_TIME) * active / self.slow_above

    @cached_property
    def _limits(self) -> list[tuple[float, str]]:
        sums = accumulate(getattr(self, name) for name in CALL_FAULTS)
        return list(zip(sums, CALL_FAULTS, strict=True))

    @cached_property
    def _never(self) -> bool:
        return self._limits[-1][0] == 0 and self.latency == NO_LATENCY


_ALL_WELL: Final = Decision(None, 0.0, 0.0)
_LEAST_SERVICE_TIME: Final = 0.05
_COUNTS: Final = (
    "quota_after",
    "rpm",
    "tpm",
    "burst",
    "max_concurrent",
    "slow_above",
    "too_long",
)


def _check(name: str, holds: bool, expected: str) -> None:
    if not holds:
        raise ValueError(f"fault {name!r} must be {expected}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def _parser(name: str) -> Any:
    if name == "latency":
        return Latency.parse
    if name == "poison":
        return str
    return _count if name in _COUNTS else _number


_PARSERS: Final = {
    entry.name: _parser(entry.name)
    for entry in fields(Faults)
    if entry.name != "seed" and entry.default is not MISSING
}
