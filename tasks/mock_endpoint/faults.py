"""Seeded misbehavior for the mock endpoint: what real endpoints do on a bad day.

The n-th decision is a function of (seed, n) alone, so two servers with the same seed misbehave
alike, whatever the timing. This module only decides; `service` and `server` act on it.
"""

import re
from collections.abc import Iterable
from functools import cached_property
from itertools import accumulate
from math import log
from random import Random
from typing import Any, Final, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

_SIGMA: Final = 0.5
"""Default spread of a lognormal latency: the 95th percentile is 2.3 times the median."""
_HEAVY_SHARE: Final = 0.01
_HEAVY_FACTOR: Final = 10
_LEAST_SERVICE_TIME_S: Final = 0.05
_S: Final = r"\d+(\.\d+)?"
_LATENCY: Final = rf"^(none|(fixed|heavy):{_S}|lognormal:{_S}(,{_S})?)$"


class Decision(NamedTuple):
    """What happens to one call: its fault if it has one, a coin for faults that have two shapes."""

    fault: str | None
    coin: float
    latency: float


# The titles say what is expected, in the words of an error message.
def _probability(description: str) -> Any:
    title = "a probability from 0 to 1"
    return Field(default=0.0, ge=0, le=1, title=title, description=description)


def _seconds(default: float, description: str) -> Any:
    title = "seconds, 0 or more"
    return Field(default=default, ge=0, allow_inf_nan=False, title=title, description=description)


def _count(description: str, least: int = 1) -> Any:
    title = f"a whole number of at least {least}"
    return Field(default=None, ge=least, title=title, description=description)


def _text(default: str | None, title: str, description: str, **bounds: Any) -> Any:
    return Field(default=default, title=title, description=description, **bounds)


class Faults(BaseModel):
    """The misbehavior of an endpoint; by default it has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    http_500: float = _probability("an error of the server")
    http_503: float = _probability("the server is overloaded")
    http_429: float = _probability("a rate limit out of the blue, with Retry-After")
    insufficient_quota: float = _probability("429 with this code, as when the money has run out")
    reset: float = _probability("a TCP reset in place of an answer")
    stall: float = _probability("the call is taken and never answered")
    truncated: float = _probability("Content-Length promises more than is sent")
    garbage: float = _probability("200 with a body that is no JSON")
    invalid_json: float = _probability("a structured answer whose content is no JSON")
    content_filter: float = _probability("400 in Azure's shape, or 200 with this finish_reason")
    cut: float = _probability('finish_reason "length" and half the content')
    empty: float = _probability('200 with "" for content')
    stall_seconds: float = _seconds(600.0, "after which a stalled connection is reset")
    retry_after: float = _seconds(1.0, "asked for by http_429 and max_concurrent; 0 asks nothing")
    quota_after: int | None = _count("answers, after which all get insufficient_quota", least=0)
    rpm: int | None = _count("requests a minute; beyond, 429 rate_limit_exceeded")
    tpm: int | None = _count("tokens a minute; beyond, 429 rate_limit_exceeded")
    burst: int | None = _count("requests that may come at once under rpm; by default a minute's")
    max_concurrent: int | None = _count("calls at once; beyond, 429")
    slow_above: int | None = _count("calls at once, beyond which latency grows in proportion")
    poison: str | None = _text(
        None, "a word", "a word; the content filter always refuses prompts with it", min_length=1
    )
    too_long: int | None = _count("prompt tokens, beyond which 400 context_length_exceeded")
    latency: str = _text(
        *("none", "none, fixed:SECONDS, lognormal:MEDIAN[,SIGMA] or heavy:SECONDS"),
        "none, fixed:0.2, lognormal:0.5 (median, then optionally sigma), heavy:0.5 (one call in a "
        "hundred takes ten times as long); seconds",
        pattern=_LATENCY,
    )
    seed: int = 0

    @model_validator(mode="after")
    def _agree(self) -> Self:
        total = self._limits[-1]
        if total > 1 + 1e-9:
            raise ValueError(f"the probabilities of faults add up to {total:g}; keep them within 1")
        if self.burst is not None and self.rpm is None:
            raise ValueError("fault 'burst' must be set together with rpm")
        return self

    @classmethod
    def parse(cls, options: Iterable[str], seed: int = 0) -> Self:
        """Read options such as "http_500=0.05" or "latency=lognormal:0.5".

        Raises:
            ValueError: a line that names the option that is unknown or out of range.
        """
        values: dict[str, str] = {}
        for option in options:
            name, equals, text = (part.strip() for part in option.partition("="))
            if name not in FAULTS or not equals:
                known = ", ".join(FAULTS)
                raise ValueError(f"unknown fault {option!r}; use NAME=VALUE with one of: {known}")
            values[name] = text
        try:
            return cls.model_validate({**values, "seed": seed})
        except ValidationError as error:
            raise ValueError(cls._first_problem(error)) from None

    @classmethod
    def _first_problem(cls, error: ValidationError) -> str:
        problem = error.errors(include_url=False)[0]
        given, kind = problem["input"], problem["type"]
        if kind == "value_error":
            return str(problem["ctx"]["error"])
        name = str(problem["loc"][0])
        if kind in ("float_parsing", "int_parsing"):
            told = f"{given!r} is not a {'whole ' * (kind == 'int_parsing')}number"
        else:
            told = f"must be {cls.model_fields[name].title}"
        return f"fault '{name}={given}': {told}"

    def options(self) -> list[str]:
        """List what differs from the defaults, in the form that `parse` reads."""
        differing = self.model_dump(exclude_defaults=True, exclude={"seed"})
        return [f"{name}={value}" for name, value in differing.items()]

    def decide(self, n: int) -> Decision:
        """Decide the fate of the n-th call."""
        if not self._limits[-1] and self.latency == "none":
            return Decision(None, 0.0, 0.0)
        random = Random(f"{self.seed}:{n}")
        drawn, coin = random.random(), random.random()
        limits = zip(CALL_FAULTS, self._limits, strict=True)
        fault = next((name for name, limit in limits if drawn < limit), None)
        return Decision(fault, coin, self._latency_s(random))

    def slowed(self, latency: float, active: int) -> float:
        """Stretch a latency, or 50 ms if there is none, when more calls than slow_above are in."""
        if self.slow_above is None or active <= self.slow_above:
            return latency
        return max(latency, _LEAST_SERVICE_TIME_S) * active / self.slow_above

    @cached_property
    def _limits(self) -> list[float]:
        """The probabilities of CALL_FAULTS, each with those before it."""
        return list(accumulate(getattr(self, name) for name in CALL_FAULTS))

    def _latency_s(self, random: Random) -> float:
        kind, *numbers = re.split("[:,]", self.latency)
        median, sigma, *_ = (*map(float, numbers), _SIGMA, 0.0)
        if kind == "none":
            return 0.0
        if kind == "lognormal" and median:
            return random.lognormvariate(log(median), sigma)
        return median * (_HEAVY_FACTOR if kind == "heavy" and random.random() < _HEAVY_SHARE else 1)


FAULTS: Final = {
    name: str(field.description) for name, field in Faults.model_fields.items() if name != "seed"
}
"""What each option of `Faults.parse` does."""
CALL_FAULTS: Final = tuple(list(FAULTS)[: list(FAULTS).index("stall_seconds")])
"""The faults that are drawn for a call, one at most: their probabilities add up to at most 1."""
