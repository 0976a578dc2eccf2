"""The progress of a load, shown in the terminal, the log and the Prefect UI."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.reading.base.rows import Source


class LoadProgress:
    """The progress of a load over all of its sources. Thread-safe.

    Args:
        sources: The number of sources.
    """

    def __init__(self, sources: int) -> None:
        self._total = sources
        self._started_reports: dict[str, SourceReport] = {}
        self._rows_done = self._sources_done = 0
        self._lock = threading.Lock()
        self._started_at = time.monotonic()

    def reports_of(self, group: Sequence[Source]) -> list[tuple[Source, SourceReport]]:
        """Return each source with its report, which a previous attempt may have started."""
        reports = self._started_reports
        with self._lock:
            return [
                (source, reports.setdefault(source.file.identity, SourceReport(source.name)))
                for source in group
            ]

    def done(self, group: Sequence[Source]) -> None:
        """Count a group's sources as done, and drop their reports."""
        with self._lock:
            for source in group:
                report = self._started_reports.pop(source.file.identity)
                self._rows_done += report.rows_in
            self._sources_done += len(group)

    @property
    def percent(self) -> float:
        """The share of sources that are done, 0 to 100."""
        with self._lock:
            finished = sum(report.finished for report in self._started_reports.values())
            done = self._sources_done + finished
        return 100.0 * done / self._total if self._total else 100.0

    def line(self) -> str:
        """Return the progress on one line: rows, rows per second, sources done and in progress."""
        with self._lock:
            started = list(self._started_reports.values())
            rows = self._rows_done + sum(report.rows_in for report in started)
            done = self._sources_done + sum(report.finished for report in started)
            reading = [each.source for each in started if each.rows_in and not each.finished]
        rate = rows / max(time.monotonic() - self._started_at, 1e-9)
        words = [f"{rows:,} rows", f"{rate:,.0f}/s"]
        if self._total > 1:
            words.append(f"{done:,} of {self._total:,} sources done")
        if reading:
            words.append(f"reading {reading[0].rpartition('/')[2][:30]}")
        return " · ".join(words)
