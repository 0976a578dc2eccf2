"""Command line of the benchmarks: `make bench`, or `python -m benchmarks --help`."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.articles import articles
from benchmarks.cores import machine, stay_off_client_core
from benchmarks.journal_cost import journal_ms_per_row
from benchmarks.lakes import Lakes
from benchmarks.loading import ROWS as LOADED_ROWS
from benchmarks.loading import measure_loading
from benchmarks.measurement import Measurement, measure
from benchmarks.report import as_json, markdown, one_line
from benchmarks.results import Results
from benchmarks.scenarios import SCENARIOS, Case, Scenario
from benchmarks.servers.prefect_server import prefect_server, wait_until_quiet
from benchmarks.ways import LABELS

_MIN_ROWS = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks and return the exit status: 0, also if targets are missed."""
    options = _parser().parse_args(argv)
    if options.only:
        scenarios = [scenario for scenario in SCENARIOS if scenario.name in options.only]
    else:
        scenarios = [scenario for scenario in SCENARIOS if options.memory or not scenario.optional]
    results = Results(scale=options.scale, repeat=options.repeat, machine=machine())
    stay_off_client_core()
    try:
        _run_all(scenarios, results, options.ways)
        if not options.only or "journal" in options.only:
            results.journal_ms = journal_ms_per_row()
        if not options.only or "loading" in options.only:
            results.loaded = measure_loading(round(LOADED_ROWS * options.scale))
    except KeyboardInterrupt:
        _log("interrupted; showing the measurements so far")
    if options.json:
        options.json.write_text(json.dumps(as_json(results), indent=1, default=str) + "\n")
    print(markdown(results))
    return 0


def _run_all(scenarios: list[Scenario], results: Results, ways: list[str]) -> None:
    """Run the scenarios, with one Prefect server if any of their cases needs it."""
    cases = [case for scenario in scenarios for case in scenario.cases if _is_selected(case, ways)]
    with ExitStack() as stack:
        if any(case.way == "ours" or case.way.startswith("prefect") for case in cases):
            _log("starting a Prefect server")
            stack.enter_context(prefect_server())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-lakes-"))
        for scenario in scenarios:
            run_scenario(scenario, results, Lakes(Path(folder)), ways)


def run_scenario(scenario: Scenario, results: Results, lakes: Lakes, ways: list[str]) -> None:
    """Measure the selected cases of a scenario `results.repeat` times and keep the medians."""
    _log(f"{scenario.name}: {scenario.title}")
    cases = [case for case in scenario.cases if _is_selected(case, ways)]
    rounds: list[list[Measurement]] = []
    for _ in range(results.repeat):
        rounds.append([])
        for case in cases:
            wait_until_quiet()
            rounds[-1].append(_measure_case(case, scenario, rounds[-1], lakes, results.scale))
            _log(f"  {one_line(rounds[-1][-1])}")
    results.scenarios[scenario.name] = scenario
    results.by_scenario[scenario.name] = [_median_run(runs) for runs in zip(*rounds, strict=True)]


def _median_run(runs: Sequence[Measurement]) -> Measurement:
    """Return the run with the median rate; a crashed run counts as the slowest."""
    return sorted(runs, key=lambda run: run.rate or 0.0)[len(runs) // 2]


def _is_selected(case: Case, ways: list[str]) -> bool:
    return not ways or case.way in ways


def _measure_case(
    case: Case, scenario: Scenario, previous: list[Measurement], lakes: Lakes, scale: float
) -> Measurement:
    rows = max(round(case.rows * scale), min(case.rows, _MIN_ROWS))
    file = articles(rows, short=case.short)
    case_options = case.options if isinstance(case.options, tuple) else case.options(previous)
    with ExitStack() as stack:
        lake = stack.enter_context(lakes.copy(file)) if case.way == "ours" else None
        run = partial(
            measure,
            case.way,
            file,
            rows,
            conditions=case.conditions or scenario.conditions,
            in_flight=case.in_flight,
            lake=lake,
            options=case_options,
            note=case.note,
        )
        if case.again:
            run()
        return run()


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure every way to query a model about a table of articles.",
    )
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument(
        "--only",
        type=_names_of([*names, "journal", "loading"]),
        default=[],
        metavar="SCENARIO,...",
        help=f"some of: {', '.join(names)}, journal, loading",
    )
    parser.add_argument(
        "--ways",
        type=_names_of(list(LABELS)),
        default=[],
        metavar="WAY,...",
        help=f"some of: {', '.join(LABELS)}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results as JSON")
    parser.add_argument(
        "--memory",
        action="store_true",
        help="also run the scenarios of a million rows, which take minutes",
    )
    parser.add_argument(
        "--repeat",
        type=_at_least_one,
        default=1,
        help="measure each case this many times and show the median (default: %(default)s)",
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="share of the usual rows, for a quick trial (default: %(default)s)",
    )
    return parser


def _at_least_one(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _names_of(known: list[str]) -> Callable[[str], list[str]]:
    """Return an argparse type for a comma-separated list of known names."""

    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return names

    return parse


if __name__ == "__main__":
    sys.exit(main())
