"""How far a load is: sources done, rows, and their rate; in the terminal, the log and the UI."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.reading.base.rows import Source


class LoadProgress:
    """The reports of all sources of a load as they grow; safe to share by threads.

    Args:
        sources: how many there are.
    """

    def __init__(self, sources: int) -> None:
        self._total = sources
        self._begun: dict[str, SourceReport] = {}
        self._rows_done = self._sources_done = 0
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def reports_of(self, group: Sequence[Source]) -> list[tuple[Source, SourceReport]]:
        """The report of each source, as it is where an earlier try has begun it."""
        with self._lock:
            return [
                (source, self._begun.setdefault(source.place.identity, SourceReport(source.name)))
                for source in group
            ]

    def done(self, group: Sequence[Source]) -> None:
        """Count a group's sources as done; their reports are kept no longer."""
        with self._lock:
            for source in group:
                report = self._begun.pop(source.place.identity)
                self._rows_done += report.rows_in
            self._sources_done += len(group)

    @property
    def percent(self) -> float:
        """Share of the sources that are done, 0 to 100."""
        with self._lock:
            done = self._sources_done + sum(each.finished for each in self._begun.values())
        return 100.0 * done / self._total if self._total else 100.0

    def line(self) -> str:
        """For people: rows so far, their rate, sources done and begun."""
        with self._lock:
            begun = list(self._begun.values())
            rows = self._rows_done + sum(report.rows_in for report in begun)
            done = self._sources_done + sum(report.finished for report in begun)
            reading = [report.source for report in begun if report.rows_in and not report.finished]
        rate = rows / max(time.monotonic() - self._started, 1e-9)
        words = [f"{rows:,} rows", f"{rate:,.0f}/s"]
        if self._total > 1:
            words.append(f"{done:,} of {self._total:,} sources done")
        if reading:
            words.append(f"reading {reading[0].rpartition('/')[2][:30]}")
        return " · ".join(words)
