"""Define the scenarios: how the endpoint behaves, and which ways run against it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp

from benchmarks.measurement import Conditions, Measurement

RPM = 6000
BURST = 10
CAPACITY = 50
"""Concurrent requests that the endpoint handles before it rejects or slows down."""
PRICE_IN, PRICE_OUT = 1.0, 2.0
"""US dollars per million prompt and completion tokens."""
_LOGNORMAL_MEAN = exp(0.5**2 / 2)
"""Mean of the endpoint's lognormal latency divided by its median, with a sigma of 0.5."""
_HEAVY_TAIL_MEAN = 0.99 + 0.01 * 10
"""The same for the heavy tail: one call in a hundred takes ten times as long."""
_BASE_LATENCY_S = 0.25
_LOGNORMAL = Conditions(("latency=lognormal:0.5",))
_FAULTS = (
    *("http_500=0.03", "reset=0.02", "http_429=0.02", "stall=0.01", "truncated=0.01"),
    "latency=lognormal:0.5",
)
_PRICES = ("--price-in", str(PRICE_IN), "--price-out", str(PRICE_OUT))
Options = Callable[[list[Measurement]], tuple[str, ...]]


@dataclass(frozen=True)
class Case:
    """One way with a number of rows.

    Attributes:
        way: A key of `ways.LABELS`.
        rows: The number of articles.
        in_flight: Requests in flight; 0 for the way's default.
        options: More command-line options of article-flows, possibly derived from the
            previous measurements of the scenario.
        note: Distinguishes cases of the same way.
        conditions: Overrides the conditions of the scenario.
        short: Whether articles have two sentences only.
        again: Whether to measure a second run, which has nothing left to do.
    """

    way: str
    rows: int
    in_flight: int
    options: tuple[str, ...] | Options = ()
    note: str = ""
    conditions: Conditions | None = None
    short: bool = False
    again: bool = False


@dataclass(frozen=True)
class Scenario:
    """An endpoint and the cases that run against it.

    Attributes:
        ideal_s: Returns the ideal time in seconds for a number of rows and of calls in flight.
        optional: Whether it runs only on request.
    """

    name: str
    title: str
    conditions: Conditions
    cases: list[Case]
    ideal_s: Callable[[int, int], float] | None = None
    optional: bool = field(default=False)


def half_of_bill(measured: list[Measurement]) -> float:
    """Return half the bill of the run without a budget, in US dollars."""
    return measured[0].bill(PRICE_IN, PRICE_OUT) / 2


def _half_budget_options(measured: list[Measurement]) -> tuple[str, ...]:
    return (*_PRICES, "--budget-usd", f"{half_of_bill(measured):.6f}")


SCENARIOS = [
    Scenario(
        "zero-latency",
        "no latency",
        Conditions(),
        [
            Case("ours", 20_000, 256),
            Case("plain", 20_000, 256),
            Case("openai-gather", 2_000, 256),
            Case("barrier", 2_000, 256),
            Case("prefect-gather", 500, 256),
            Case("prefect-map", 200, 0),
        ],
    ),
    Scenario(
        "lognormal",
        "lognormal latency, median 0.5 s",
        _LOGNORMAL,
        [
            Case("ours", 20_000, 200),
            Case("plain", 20_000, 200),
            Case("openai-gather", 2_000, 200),
            Case("barrier", 2_000, 200),
        ],
        lambda rows, in_flight: rows * 0.5 * _LOGNORMAL_MEAN / in_flight,
    ),
    Scenario(
        "heavy-tail",
        "0.5 s, one call in a hundred takes ten times as long",
        Conditions(("latency=heavy:0.5",)),
        [
            Case("ours", 5_000, 200, ("--hedge",), "--hedge"),
            Case("plain", 5_000, 200),
        ],
        lambda rows, in_flight: rows * 0.5 * _HEAVY_TAIL_MEAN / in_flight,
    ),
    Scenario(
        "rpm",
        f"{RPM:,} requests a minute, {BURST} at once, no latency",
        Conditions((f"rpm={RPM}", f"burst={BURST}")),
        [
            Case("ours", 2_000, 100, note="defaults"),
            Case("ours", 2_000, 100, ("--rpm", str(RPM)), f"--rpm {RPM}"),
            Case("plain", 2_000, 100),
            Case("openai-gather", 2_000, 100),
            Case("barrier", 2_000, 100),
        ],
        lambda rows, _: max(rows - BURST, 1) * 60 / RPM,
    ),
    Scenario(
        "max-concurrent",
        f"at most {CAPACITY} at once, beyond that 429 without Retry-After; 0.5 s",
        Conditions((f"max_concurrent={CAPACITY}", "latency=fixed:0.5", "retry_after=0")),
        [
            Case("ours", 3_000, 200, note="defaults"),
            Case("plain", 3_000, CAPACITY, note="the best fixed setting"),
        ],
        lambda rows, _: rows * 0.5 / CAPACITY,
    ),
    Scenario(
        "slow-above",
        f"latency of {_BASE_LATENCY_S} s that grows past {CAPACITY} at once, never 429",
        Conditions((f"slow_above={CAPACITY}", f"latency=fixed:{_BASE_LATENCY_S}"), sampled=True),
        [Case("ours", 3_000, 200, note="defaults")],
        lambda rows, _: rows * _BASE_LATENCY_S / CAPACITY,
    ),
    Scenario(
        "faults",
        "3 % 500, 2 % reset, 2 % 429, 1 % stall, 1 % truncated; lognormal 0.5 s",
        Conditions(_FAULTS),
        [
            Case("ours", 2_000, 0, note="without faults", conditions=_LOGNORMAL),
            Case("ours", 2_000, 0, note="with faults"),
        ],
    ),
    Scenario(
        "budget",
        f"a budget of half the cost, at ${PRICE_IN:g} and ${PRICE_OUT:g} a million tokens",
        Conditions(("latency=lognormal:0.2",), answers="extractive"),
        [
            Case("ours", 2_000, 0, _PRICES, "no budget"),
            Case("ours", 2_000, 0, _half_budget_options, "half of it"),
        ],
    ),
    Scenario(
        "newcomer",
        "100 articles, lognormal latency, median 0.5 s",
        _LOGNORMAL,
        [Case("one-by-one", 100, 1), Case("ours", 100, 100)],
        lambda rows, in_flight: rows * 0.5 * _LOGNORMAL_MEAN / in_flight,
    ),
    Scenario(
        "memory",
        "10,000 and 1,000,000 short rows, no latency",
        Conditions(),
        [Case("ours", 10_000, 256, short=True), Case("ours", 1_000_000, 256, short=True)],
        optional=True,
    ),
    Scenario(
        "again",
        "a lake of 1,000,000 short rows, nothing left to do",
        Conditions(),
        [Case("ours", 1_000_000, 256, short=True, again=True)],
        optional=True,
    ),
]
