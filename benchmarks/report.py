"""The results as Markdown tables, and as JSON."""

from dataclasses import asdict
from typing import Any

from benchmarks.loading import loading_markdown
from benchmarks.measurement import Measurement
from benchmarks.results import Results
from benchmarks.targets import figures
from benchmarks.ways import LABELS

_COLUMNS = [
    *(
        "way",
        "rows",
        "in flight",
        "rows/s",
        "seconds",
        "process s",
        "CPU ms a row",
        "efficiency",
        "429s",
    ),
    *("peak MiB", "rows lost", "paid twice", "endpoint busy"),
]


_LEGEND = (
    "Seconds are from the first request to the last row on disk; CPU, memory and process s are the "
    "whole process's, imports included. Efficiency is ideal time by time."
)


def markdown(results: Results) -> str:
    """One table for each scenario, then what it must show."""
    sections = [scenario_markdown(results, name) for name in results.by_scenario]
    if results.loaded:
        sections.append(loading_markdown(results.loaded))
    return "\n".join([_heading(results), *sections, summary_markdown(results)])


def _heading(results: Results) -> str:
    note = "" if results.scale == 1 else f" With {results.scale:g} of the usual rows: no figures."
    many = "" if results.repeat == 1 else f" Each case {results.repeat} times, the median shown."
    return f"On {results.machine}.{many}{note}\n\n{_LEGEND}\n"


def scenario_markdown(results: Results, name: str) -> str:
    """The table of one scenario."""
    scenario, measured = results.scenarios[name], results.by_scenario[name]
    rows = [_row(results, name, one) for one in measured]
    crashes = [f"{_label(one)}: {one.done.error}" for one in measured if one.done.error]
    crashed = "".join(f"\n- {crash}" for crash in crashes)
    return f"### {scenario.name}: {scenario.title}\n\n{_table(_COLUMNS, rows)}{crashed}\n"


def summary_markdown(results: Results) -> str:
    """What it must show, and whether it does."""
    words = {True: "yes", False: "**no**", None: "–"}
    rows = [
        [figure.name, figure.target, figure.measured, words[figure.reached]]
        for figure in figures(results)
    ]
    return "### What it must show\n\n" + _table(["figure", "target", "measured", "reached"], rows)


def as_json(results: Results) -> dict[str, Any]:
    """Everything that was measured, for programs."""
    return {
        "machine": results.machine,
        "scale": results.scale,
        "journal_ms_per_row": results.journal_ms,
        "scenarios": {
            name: [
                {
                    **asdict(one),
                    "rate": one.rate,
                    "cpu_ms_per_row": one.cpu_ms_per_row,
                    "efficiency": results.efficiency(name, one),
                    "answers_429": one.limited,
                    "lost": one.lost,
                    "left": one.left,
                    "paid_twice": one.paid_twice,
                    "endpoint_busy": one.endpoint_busy,
                    "settled_in_flight": one.settled_in_flight,
                }
                for one in measured
            ]
            for name, measured in results.by_scenario.items()
        },
        "figures": [asdict(figure) for figure in figures(results)],
    }


def one_line(measured: Measurement) -> str:
    """A measurement in one line, for whoever waits."""
    if measured.done.error:
        return f"{_label(measured)}: {measured.done.error}"
    return (
        f"{_label(measured)}: {_number(measured.rate)} rows/s, "
        f"{measured.cpu_ms_per_row:.3f} CPU ms a row, {measured.lost:,} lost, "
        f"{measured.limited:,} answers 429, {measured.peak_mib:.0f} MiB"
    )


def _row(results: Results, name: str, one: Measurement) -> list[str]:
    crashed = bool(one.done.error)
    return [
        _label(one),
        f"{one.rows:,}",
        f"{one.in_flight or 'default'}",
        "crashed" if crashed else _number(one.rate),
        _number(one.seconds, 1),
        _number(one.wall_s, 1),
        f"{one.cpu_ms_per_row:.3f}",
        _percent(results.efficiency(name, one)),
        f"{one.limited:,}",
        f"{one.peak_mib:.0f}",
        f"{one.lost:,}" + (f" and {one.left:,} left to do" if one.left else ""),
        f"{one.paid_twice:,}",
        _percent(one.endpoint_busy),
    ]


def _label(one: Measurement) -> str:
    return f"{LABELS[one.way]}, {one.note}" if one.note else LABELS[one.way]


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
