from typing import Any

import pytest

from benchmarks.measurement import Measurement
from benchmarks.report import as_json, markdown, scenario_markdown
from benchmarks.results import Results
from benchmarks.scenarios import SCENARIOS
from benchmarks.targets import Figure, figures
from benchmarks.work import Done

STATS: dict[str, Any] = {
    "calls": 100,
    "calls_per_status": {"200": 100},
    "answered_twice": 0,
    "billed_prompt_tokens": 1_000_000,
    "billed_completion_tokens": 500_000,
}


def measurement(
    way: str, seconds: float, answered: int = 100, note: str = "", **changes: Any
) -> Measurement:
    done = changes.pop("done", None) or Done(seconds, answered)
    values: dict[str, Any] = {
        "rows": 100,
        "in_flight": 50,
        "wall_s": seconds + 1,
        "cpu_s": 0.02,
        "peak_mib": 100.0,
        "cores": [0],
        "stats": STATS,
        "active": [],
        "endpoint_cpu_s": 0.1,
        **changes,
    }
    return Measurement(way=way, note=note, done=done, **values)


def results_of(name: str, *measured: Measurement) -> Results:
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    return Results(
        machine="a machine", by_scenario={name: list(measured)}, scenarios={name: scenarios[name]}
    )


def figure(results: Results, name: str) -> Figure:
    (found,) = (figure for figure in figures(results) if figure.name == name)
    return found


def test_figures_without_measurements_are_neither_reached_nor_missed() -> None:
    judged = figures(Results())
    assert len(judged) == 25
    assert {each.reached for each in judged} == {None}
    assert {each.measured for each in judged} == {"not measured"}


@pytest.mark.parametrize(("seconds", "reached"), [(1.0, True), (1.4, True), (1.5, False)])
def test_a_ratio_compares_rows_per_second(seconds: float, reached: bool) -> None:
    results = results_of("zero-latency", measurement("ours", seconds), measurement("plain", 1.0))
    judged = figure(results, "no latency: rows/s against the plain loop")
    assert judged.reached is reached
    assert float(judged.measured) == pytest.approx(1 / seconds, abs=0.001)


def test_a_crash_yields_no_figure_and_is_shown() -> None:
    crashed = measurement("plain", 0.0, 0, done=Done(0.0, 0, 1, "OSError: gone"))
    results = results_of("zero-latency", measurement("ours", 1.0), crashed)
    assert figure(results, "no latency: rows/s against the plain loop").reached is None
    shown = scenario_markdown(results, "zero-latency")
    assert "crashed" in shown
    assert "plain aiohttp + orjson loop: OSError: gone" in shown


def test_use_of_the_quota_is_ideal_time_divided_by_time() -> None:
    limited = {**STATS, "calls_per_status": {"200": 99, "429": 1}}
    results = results_of("rpm", measurement("ours", 1.0, note="defaults", stats=limited))
    # 100 rows, 10 of them at once and 100 a second: 0.9 s.
    use = figure(results, "6,000 a minute, defaults: use of the quota")
    assert (use.measured, use.reached) == ("0.9", False)
    share = figure(results, "6,000 a minute, defaults: calls answered 429")
    assert (share.measured, share.reached) == ("0.01", False)
    assert figure(results, "6,000 a minute, --rpm: answers 429").reached is None


def test_the_first_half_of_the_run_does_not_count_as_settled() -> None:
    settling = measurement("ours", 1.0, active=[200, 200, 150, 60, 50, 55])
    results = results_of("slow-above", settling)
    judged = figure(results, "latency grows past 50 at once: in flight settles")
    assert (judged.measured, judged.reached) == ("55", True)


@pytest.mark.parametrize(
    ("tokens", "status", "reached"),
    [(500_000, 4, (True, True, True)), (400_000, 4, (True, False, True)), (510_000, 0, (0, 1, 0))],
)
def test_a_budget_is_compared_with_the_bill(
    tokens: int, status: int, reached: tuple[bool, bool, bool]
) -> None:
    bill = {**STATS, "billed_prompt_tokens": tokens, "billed_completion_tokens": tokens // 2}
    spent = measurement("ours", 1.0, stats=bill, done=Done(1.0, 50, status))
    results = results_of("budget", measurement("ours", 1.0), spent)
    names = ["share billed by the endpoint", "share used", "exit status"]
    assert tuple(figure(results, f"budget: {name}").reached for name in names) == reached


def test_a_missed_target_is_shown() -> None:
    results = results_of("zero-latency", measurement("ours", 9.0), measurement("plain", 1.0))
    assert "| at least 0.7 | 0.111 | **no** |" in markdown(results)
    (judged,) = (each for each in as_json(results)["figures"] if "plain loop" in each["name"][:45])
    assert judged["reached"] is False


def test_rows_left_to_do_are_shown_but_not_lost() -> None:
    stopped = Done(1.0, 50, 4, report={"left": 48})
    results = results_of("budget", measurement("ours", 1.0, done=stopped))
    assert "| 2 and 48 left to do |" in scenario_markdown(results, "budget")


def test_every_row_must_be_answered_under_faults() -> None:
    stopped = Done(1.0, 50, 3, report={"left": 50})
    results = results_of("faults", measurement("ours", 1.0, note="with faults", done=stopped))
    judged = figure(results, "faults: rows not answered")
    assert (judged.measured, judged.reached) == ("50", False)
