"""Define the targets of the benchmarks and compare them with the measurements."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.measurement import Measurement
from benchmarks.results import Results
from benchmarks.scenarios import PRICE_IN, PRICE_OUT, RPM, half_of_bill

BUDGET_SPENT_STATUS = 4
"""Exit status of `article-flows summarize` if the budget is spent."""


@dataclass(frozen=True)
class Figure:
    """A target and the measured value.

    Attributes:
        reached: Whether the target is reached; None if it was not measured.
    """

    name: str
    target: str
    measured: str
    reached: bool | None


def figures(results: Results) -> list[Figure]:
    """Return all figures, whether measured or not."""
    sources: list[Callable[[Results], Iterator[Figure]]] = [
        *(_zero_latency, _journal, _lognormal, _heavy_tail, _rpm, _max_concurrent, _slow_above),
        *(_memory, _again, _faults, _budget, _newcomer),
    ]
    return [figure for source in sources for figure in source(results)]


def _zero_latency(results: Results) -> Iterator[Figure]:
    ours = results.find("zero-latency", "ours")
    plain = results.find("zero-latency", "plain")
    openai = results.find("zero-latency", "openai-gather")
    yield _at_least("no latency: rows/s against the plain loop", 0.7, _ratio(ours, plain))
    yield _at_least("no latency: rows/s against AsyncOpenAI", 10, _ratio(ours, openai))
    busy = max((each.endpoint_busy or 0 for each in (ours, plain) if each), default=None)
    yield _at_most("no latency: load of the endpoint's core", 0.8, busy)
    cpu = ours.cpu_ms_per_row if ours else None
    yield _at_most("no latency: CPU ms a row, whole process", 0.35, cpu)


def _journal(results: Results) -> Iterator[Figure]:
    yield _at_most("journal: CPU ms a row", 0.03, results.journal_ms, digits=4)


def _lognormal(results: Results) -> Iterator[Figure]:
    ours, plain = results.find("lognormal", "ours"), results.find("lognormal", "plain")
    yield _at_least("lognormal 0.5 s: rows/s against the plain loop", 0.98, _ratio(ours, plain))


def _heavy_tail(results: Results) -> Iterator[Figure]:
    ours, plain = results.find("heavy-tail", "ours"), results.find("heavy-tail", "plain")
    yield _at_least("heavy tail, --hedge: rows/s against the plain loop", 1.1, _ratio(ours, plain))
    extra = ours.calls / ours.rows - 1 if ours else None
    yield _at_most("heavy tail, --hedge: extra calls", 0.01, extra, digits=4)


def _rpm(results: Results) -> Iterator[Figure]:
    unlimited = results.find("rpm", "ours", "defaults")
    limited = results.find("rpm", "ours", f"--rpm {RPM}")
    name = f"{RPM:,} a minute"
    use = results.efficiency("rpm", unlimited) if unlimited else None
    yield _at_least(f"{name}, defaults: use of the quota", 0.95, use)
    share = unlimited.limited / unlimited.calls if unlimited else None
    yield _below(f"{name}, defaults: calls answered 429", 0.01, share)
    use = results.efficiency("rpm", limited) if limited else None
    yield _at_least(f"{name}, --rpm: use of the quota", 0.98, use)
    yield _at_most(f"{name}, --rpm: answers 429", 0, limited.limited if limited else None)


def _max_concurrent(results: Results) -> Iterator[Figure]:
    ours, best = results.find("max-concurrent", "ours"), results.find("max-concurrent", "plain")
    yield _at_least("room for 50: rows/s against the best fixed setting", 0.9, _ratio(ours, best))


def _slow_above(results: Results) -> Iterator[Figure]:
    ours = results.find("slow-above", "ours")
    settled = ours.settled_in_flight if ours else None
    yield Figure(
        "latency grows past 50 at once: in flight settles",
        "between 40 and 90",
        _formatted(settled),
        None if settled is None else 40 <= settled <= 90,
    )


def _memory(results: Results) -> Iterator[Figure]:
    measured = [each for each in results.by_scenario.get("memory", []) if each.seconds]
    few, many = measured if len(measured) == 2 else (None, None)
    growth = many.peak_mib / few.peak_mib if few and many else None
    yield _at_most("peak memory, 1,000,000 rows against 10,000", 1.2, growth)
    # The target is in decimal megabytes.
    peak_mb = many.peak_mib * 2**20 / 1e6 if many else None
    yield _below("peak memory, 1,000,000 rows, MB", 350, peak_mb)


def _again(results: Results) -> Iterator[Figure]:
    again = next(iter(results.by_scenario.get("again", [])), None)
    calls = again.calls if again else None
    yield _at_most("1,000,000 rows, nothing to do: calls", 0, calls)
    seconds = f"{again.wall_s:.1f}" if again else "not measured"
    yield Figure("1,000,000 rows, nothing to do: seconds of the process", "–", seconds, None)
    peak_mb = again.peak_mib * 2**20 / 1e6 if again else None
    yield _below("1,000,000 rows, nothing to do: peak memory, MB", 350, peak_mb)


def _faults(results: Results) -> Iterator[Figure]:
    ours = results.find("faults", "ours", "with faults")
    without = results.find("faults", "ours", "without faults")
    yield _at_most("faults: rows not answered", 0, ours.unanswered if ours else None)
    slower = None
    if ours and without and ours.seconds and without.seconds:
        slower = ours.seconds / without.seconds
    yield _at_most("faults: time against a run without faults", 3, slower)


def _budget(results: Results) -> Iterator[Figure]:
    measured = results.by_scenario.get("budget", [])
    share = status = None
    if len(measured) == 2:
        share = measured[1].bill(PRICE_IN, PRICE_OUT) / half_of_bill(measured)
        status = measured[1].done.status
    yield _at_most("budget: share billed by the endpoint", 1, share, digits=4)
    yield _at_least("budget: share used", 0.95, share)
    yield Figure(
        "budget: exit status",
        str(BUDGET_SPENT_STATUS),
        _formatted(status),
        None if status is None else status == BUDGET_SPENT_STATUS,
    )


def _newcomer(results: Results) -> Iterator[Figure]:
    ours, slow = results.find("newcomer", "ours"), results.find("newcomer", "one-by-one")
    times = _ratio(ours, slow)
    yield Figure("100 articles: times faster than one by one", "(shown)", _formatted(times), None)


def _ratio(ours: Measurement | None, other: Measurement | None) -> float | None:
    if ours is None or other is None or not ours.rate or not other.rate:
        return None
    return ours.rate / other.rate


def _at_least(name: str, bound: float, measured: float | None) -> Figure:
    reached = None if measured is None else measured >= bound
    return Figure(name, f"at least {bound:g}", _formatted(measured), reached)


def _at_most(name: str, bound: float, measured: float | None, digits: int = 3) -> Figure:
    reached = None if measured is None else measured <= bound
    return Figure(name, f"at most {bound:g}", _formatted(measured, digits), reached)


def _below(name: str, bound: float, measured: float | None) -> Figure:
    reached = None if measured is None else measured < bound
    return Figure(name, f"under {bound:g}", _formatted(measured), reached)


def _formatted(number: float | None, digits: int = 3) -> str:
    if number is None:
        return "not measured"
    if isinstance(number, int):
        return f"{number:,}"
    return f"{number:,.{digits}f}".rstrip("0").rstrip(".")
