"""Seeded faults for the mock endpoint, as real endpoints show them.

The n-th decision depends only on (seed, n), so two servers with the same seed misbehave alike at
any timing. This module only decides; `service` and `server` carry out the faults.
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
_MIN_SLOWED_LATENCY_S: Final = 0.05
_SECONDS: Final = r"\d+(\.\d+)?"
_LATENCY: Final = rf"^(none|(fixed|heavy):{_SECONDS}|lognormal:{_SECONDS}(,{_SECONDS})?)$"


class Decision(NamedTuple):
    """What happens to one request.

    Attributes:
        fault: The name of its fault, if any.
        coin: A random number in [0, 1) for faults that have two forms.
        latency: In seconds.
    """

    fault: str | None
    coin: float
    latency: float


# The titles describe valid values, for error messages.
def _probability(description: str) -> Any:
    title = "a probability from 0 to 1"
    return Field(default=0.0, ge=0, le=1, title=title, description=description)


def _seconds(default: float, description: str) -> Any:
    title = "seconds, 0 or more"
    return Field(default=default, ge=0, allow_inf_nan=False, title=title, description=description)


def _count(description: str, minimum: int = 1) -> Any:
    title = f"a whole number of at least {minimum}"
    return Field(default=None, ge=minimum, title=title, description=description)


def _text(default: str | None, title: str, description: str, **bounds: Any) -> Any:
    return Field(default=default, title=title, description=description, **bounds)


class Faults(BaseModel):
    """The faults and limits of an endpoint; by default none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    http_500: float = _probability("an internal server error")
    http_503: float = _probability("the server is overloaded")
    http_429: float = _probability("a rate limit at random, with Retry-After")
    insufficient_quota: float = _probability("429 with this code, as without credit")
    reset: float = _probability("a TCP reset instead of a response")
    stall: float = _probability("the request is accepted and never answered")
    truncated: float = _probability("Content-Length promises more than is sent")
    garbage: float = _probability("200 with a body that is not JSON")
    invalid_json: float = _probability("a structured answer whose content is not JSON")
    content_filter: float = _probability("400 as in Azure, or 200 with this finish_reason")
    cut: float = _probability('finish_reason "length" and half the content')
    empty: float = _probability('200 with "" as content')
    stall_seconds: float = _seconds(600.0, "seconds after which a stalled connection is reset")
    retry_after: float = _seconds(
        1.0, "seconds, for http_429 and max_concurrent; 0 sends no header"
    )
    quota_after: int | None = _count(
        "answers after which every request gets insufficient_quota", minimum=0
    )
    rpm: int | None = _count("requests per minute; above, 429 rate_limit_exceeded")
    tpm: int | None = _count("tokens per minute; above, 429 rate_limit_exceeded")
    burst: int | None = _count("requests that rpm allows at once; by default a minute's")
    max_concurrent: int | None = _count("concurrent requests; above, 429")
    slow_above: int | None = _count("concurrent requests above which latency grows in proportion")
    poison: str | None = _text(
        None, "a word", "a word; the content filter rejects every prompt with it", min_length=1
    )
    too_long: int | None = _count("prompt tokens; above, 400 context_length_exceeded")
    latency: str = _text(
        *("none", "none, fixed:SECONDS, lognormal:MEDIAN[,SIGMA] or heavy:SECONDS"),
        "none, fixed:0.2, lognormal:0.5 (median, optionally sigma) or heavy:0.5 (one request in a "
        "hundred takes ten times as long), in seconds",
        pattern=_LATENCY,
    )
    seed: int = 0

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        total = self._cumulative[-1]
        if total > 1 + 1e-9:
            raise ValueError(f"the fault probabilities add up to {total:g}; keep the sum within 1")
        if self.burst is not None and self.rpm is None:
            raise ValueError("fault 'burst' must be set together with rpm")
        return self

    @classmethod
    def parse(cls, options: Iterable[str], seed: int = 0) -> Self:
        """Parse options of the form NAME=VALUE.

        Raises:
            ValueError: An option is unknown or out of range; the one-line message names it.

        Example:
            >>> Faults.parse(["http_500=0.05", "latency=lognormal:0.5"]).http_500
            0.05
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
            reason = f"{given!r} is not a {'whole ' * (kind == 'int_parsing')}number"
        else:
            reason = f"must be {cls.model_fields[name].title}"
        return f"fault '{name}={given}': {reason}"

    def options(self) -> list[str]:
        """Return the options that differ from the defaults, as `parse` reads them."""
        changed = self.model_dump(exclude_defaults=True, exclude={"seed"})
        return [f"{name}={value}" for name, value in changed.items()]

    def decide(self, n: int) -> Decision:
        """Decide what happens to the n-th request."""
        if not self._cumulative[-1] and self.latency == "none":
            return Decision(None, 0.0, 0.0)
        random = Random(f"{self.seed}:{n}")
        drawn, coin = random.random(), random.random()
        bounds = zip(CALL_FAULTS, self._cumulative, strict=True)
        fault = next((name for name, bound in bounds if drawn < bound), None)
        return Decision(fault, coin, self._latency_s(random))

    def slowed(self, latency: float, active: int) -> float:
        """Return the latency with ``active`` requests; above slow_above it is at least 50 ms."""
        if self.slow_above is None or active <= self.slow_above:
            return latency
        return max(latency, _MIN_SLOWED_LATENCY_S) * active / self.slow_above

    @cached_property
    def _cumulative(self) -> list[float]:
        """Cumulative probabilities of CALL_FAULTS."""
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
"""Descriptions of the options of `Faults.parse`."""
CALL_FAULTS: Final = tuple(list(FAULTS)[: list(FAULTS).index("stall_seconds")])
"""The faults with a probability per request, of which at most one occurs."""
