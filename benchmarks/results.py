"""All that was measured, and how to find it again."""

from dataclasses import dataclass, field

from benchmarks.loading import Loaded
from benchmarks.measurement import Measurement
from benchmarks.scenarios import Scenario


@dataclass
class Results:
    """Measurements by the name of their scenario, and the journal's cost if it was measured.

    ``scale`` is the share of the usual rows that every case was given, ``repeat`` how often each
    was measured; the one with the median rate is kept.
    """

    scale: float = 1.0
    repeat: int = 1
    machine: str = ""
    by_scenario: dict[str, list[Measurement]] = field(default_factory=dict)
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    journal_ms: float | None = None
    loaded: list[Loaded] = field(default_factory=list)

    def find(self, scenario: str, way: str, note: str | None = None) -> Measurement | None:
        """The measurement of a way that did not crash; the first unless the note tells which."""
        for measured in self.by_scenario.get(scenario, []):
            if measured.way == way and note in (None, measured.note) and measured.seconds:
                return measured
        return None

    def efficiency(self, scenario: str, measured: Measurement) -> float | None:
        """Ideal time by time, where the scenario has an ideal and no row was lost."""
        ideal_s = self.scenarios[scenario].ideal_s
        if ideal_s is None or not measured.seconds or not measured.in_flight or measured.lost:
            return None
        return ideal_s(measured.rows, measured.in_flight) / measured.seconds
