"""Collect the measurements of a run, for the report and the targets."""

from dataclasses import dataclass, field

from benchmarks.loading import Loaded
from benchmarks.measurement import Measurement
from benchmarks.scenarios import Scenario


@dataclass
class Results:
    """The measurements of a run.

    Attributes:
        scale: The share of the usual rows in every case.
        repeat: How often each case was measured; the run with the median rate is kept.
        machine: A description of the machine.
        by_scenario: The measurements by the name of their scenario.
        scenarios: The scenarios by name.
        journal_ms: The cost of the journal in CPU milliseconds per row, if it was measured.
        loaded: The measurements of loading a file.
    """

    scale: float = 1.0
    repeat: int = 1
    machine: str = ""
    by_scenario: dict[str, list[Measurement]] = field(default_factory=dict)
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    journal_ms: float | None = None
    loaded: list[Loaded] = field(default_factory=list)

    def find(self, scenario: str, way: str, note: str | None = None) -> Measurement | None:
        """Return the first measurement of a way, or of its case `note`, that did not crash."""
        for measured in self.by_scenario.get(scenario, []):
            if measured.way == way and note in (None, measured.note) and measured.seconds:
                return measured
        return None

    def efficiency(self, scenario: str, measured: Measurement) -> float | None:
        """Return the ideal time divided by the time taken; None without an ideal or with losses."""
        ideal_s = self.scenarios[scenario].ideal_s
        if ideal_s is None or not measured.seconds or not measured.in_flight or measured.lost:
            return None
        return ideal_s(measured.rows, measured.in_flight) / measured.seconds
