"""Format the results as Markdown and JSON."""

from dataclasses import asdict
from typing import Any

from benchmarks.loading import loading_markdown
from benchmarks.measurement import Measurement
from benchmarks.results import Results
from benchmarks.targets import figures
from benchmarks.ways import LABELS

_COLUMNS = [
    *("way", "rows", "in flight", "rows/s", "seconds", "process s", "CPU ms a row", "efficiency"),
    *("429s", "peak MiB", "rows lost", "paid twice", "endpoint busy"),
]
_LEGEND = (
    "Seconds are from the first request to the last row on disk; CPU, memory and process s are for "
    "the whole process, including imports. Efficiency is the ideal time divided by the time taken."
)


def markdown(results: Results) -> str:
    """Return a table for each scenario, and one of the targets."""
    sections = [scenario_markdown(results, name) for name in results.by_scenario]
    if results.loaded:
        sections.append(loading_markdown(results.loaded))
    return "\n".join([_heading(results), *sections, summary_markdown(results)])


def _heading(results: Results) -> str:
    scale, repeat = results.scale, results.repeat
    note = "" if scale == 1 else f" Run with {scale:g} of the usual rows, so not comparable."
    runs = "" if repeat == 1 else f" Each case was run {repeat} times; the median run is shown."
    return f"On {results.machine}.{runs}{note}\n\n{_LEGEND}\n"


def scenario_markdown(results: Results, name: str) -> str:
    """Return the table of a scenario, and the errors of crashed cases."""
    scenario, measured = results.scenarios[name], results.by_scenario[name]
    rows = [_row(results, name, each) for each in measured]
    errors = [f"\n- {_label(each)}: {each.done.error}" for each in measured if each.done.error]
    table = _table(_COLUMNS, rows)
    return f"### {scenario.name}: {scenario.title}\n\n{table}{''.join(errors)}\n"


def summary_markdown(results: Results) -> str:
    """Return the table of targets, and whether they are reached."""
    labels = {True: "yes", False: "**no**", None: "–"}
    rows = [
        [figure.name, figure.target, figure.measured, labels[figure.reached]]
        for figure in figures(results)
    ]
    return "### Targets\n\n" + _table(["figure", "target", "measured", "reached"], rows)


def as_json(results: Results) -> dict[str, Any]:
    """Return all measurements and targets for serialization."""
    return {
        "machine": results.machine,
        "scale": results.scale,
        "journal_ms_per_row": results.journal_ms,
        "scenarios": {
            name: [
                {
                    **asdict(each),
                    "rate": each.rate,
                    "cpu_ms_per_row": each.cpu_ms_per_row,
                    "efficiency": results.efficiency(name, each),
                    "answers_429": each.limited,
                    "lost": each.lost,
                    "left": each.left,
                    "paid_twice": each.paid_twice,
                    "endpoint_busy": each.endpoint_busy,
                    "settled_in_flight": each.settled_in_flight,
                }
                for each in measured
            ]
            for name, measured in results.by_scenario.items()
        },
        "figures": [asdict(figure) for figure in figures(results)],
    }


def one_line(measured: Measurement) -> str:
    """Return a measurement in one line, to show progress."""
    if measured.done.error:
        return f"{_label(measured)}: {measured.done.error}"
    return (
        f"{_label(measured)}: {_number(measured.rate)} rows/s, "
        f"{measured.cpu_ms_per_row:.3f} CPU ms a row, {measured.lost:,} lost, "
        f"{measured.limited:,} answers 429, {measured.peak_mib:.0f} MiB"
    )


def _row(results: Results, name: str, measured: Measurement) -> list[str]:
    left = f" and {measured.left:,} left to do" if measured.left else ""
    return [
        _label(measured),
        f"{measured.rows:,}",
        f"{measured.in_flight or 'default'}",
        "crashed" if measured.done.error else _number(measured.rate),
        _number(measured.seconds, 1),
        _number(measured.wall_s, 1),
        f"{measured.cpu_ms_per_row:.3f}",
        _percent(results.efficiency(name, measured)),
        f"{measured.limited:,}",
        f"{measured.peak_mib:.0f}",
        f"{measured.lost:,}{left}",
        f"{measured.paid_twice:,}",
        _percent(measured.endpoint_busy),
    ]


def _label(measured: Measurement) -> str:
    label = LABELS[measured.way]
    return f"{label}, {measured.note}" if measured.note else label


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
