import os
from pathlib import Path

import orjson
import pytest

from article_flows.tasks.mock_endpoint.faults import Faults
from benchmarks.__main__ import main
from benchmarks.cores import client_core
from benchmarks.journal_cost import journal_ms_per_row
from benchmarks.scenarios import SCENARIOS
from benchmarks.ways import LABELS


def test_scenarios_use_known_ways_and_faults() -> None:
    for scenario in SCENARIOS:
        assert {case.way for case in scenario.cases} <= set(LABELS)
        for conditions in (scenario.conditions, *(case.conditions for case in scenario.cases)):
            if conditions is not None:
                Faults.parse(conditions.faults)


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--ways", "plain,fast"]])
def test_an_unknown_name_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert f"unknown: {arguments[1].split(',')[-1]}" in capsys.readouterr().err


def test_the_cost_of_the_journal_is_measured() -> None:
    assert journal_ms_per_row(200) > 0


@pytest.mark.slow
def test_a_scenario_runs_with_few_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cores, core = os.sched_getaffinity(0), client_core()
    try:
        status = main(
            [
                *("--only", "zero-latency", "--ways", "plain,barrier", "--scale", "0.001"),
                *("--json", str(tmp_path / "results.json")),
            ]
        )
    finally:
        os.sched_setaffinity(0, cores)
    shown = capsys.readouterr()
    results = orjson.loads((tmp_path / "results.json").read_bytes())
    plain, barrier = results["scenarios"]["zero-latency"]
    assert status == 0
    assert "| plain aiohttp + orjson loop | 20 | 256 |" in shown.out
    assert "plain aiohttp + orjson loop: " in shown.err
    for measured in (plain, barrier):
        assert (measured["rows"], measured["lost"], measured["paid_twice"]) == (20, 0, 0)
        assert measured["stats"]["calls"] == 20
        assert measured["cpu_s"] > 0
        assert measured["peak_mib"] > 10
        assert measured["cores"] == [core] if core is not None else measured["cores"]
