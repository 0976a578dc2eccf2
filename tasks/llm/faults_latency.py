"""How long an endpoint takes: a distribution, written "lognormal:0.5,0.4"."""

from dataclasses import dataclass
from math import cos, exp, log, pi, sqrt
from typing import Final

_SIGMA: Final = 0.5
"""The spread of a lognormal latency unless told: the 95th percentile is 2.3 times the median."""
_HEAVY_SHARE: Final = 0.01
_HEAVY_FACTOR: Final = 10


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution of seconds; `sigma` is for the lognormal alone."""

    kind: str
    median: float = 0.0
    sigma: float = _SIGMA

    @classmethod
    def parse(cls, text: str) -> "Latency":
        """Read "none", "fixed:S", "lognormal:MEDIAN[,SIGMA]" or "heavy:S"; S in seconds."""
        if text == "none":
            return NO_LATENCY
        kind, _, rest = text.partition(":")
        parts = rest.split(",")
        try:
            numbers = [float(part) for part in parts]
        except ValueError:
            numbers = []
        allowed = {"fixed": (1,), "heavy": (1,), "lognormal": (1, 2)}.get(kind, ())
        if len(numbers) not in allowed or not all(0 <= number < 3600 for number in numbers):
            raise ValueError(
                "write none, fixed:SECONDS, lognormal:MEDIAN[,SIGMA] or heavy:SECONDS, "
                "from 0 to 3600"
            )
        return cls(kind, *numbers)

    def seconds(self, one: float, two: float, three: float) -> float:
        """Turn three independent numbers from [0, 1) into a latency."""
        if self.kind == "lognormal":
            # Box and Muller: two uniform numbers make a normal one.
            normal = sqrt(-2 * log(1 - one)) * cos(2 * pi * two)
            return self.median * exp(self.sigma * normal)
        if self.kind == "heavy" and three < _HEAVY_SHARE:
            return _HEAVY_FACTOR * self.median
        return self.median

    def __str__(self) -> str:
        if self.kind == "none":
            return "none"
        sigma = f",{self.sigma}" if self.kind == "lognormal" else ""
        return f"{self.kind}:{self.median}{sigma}"


NO_LATENCY: Final = Latency("none")
