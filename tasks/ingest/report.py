"""The report of a load: row counts, unreadable sources, and statistics of the articles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from article_flows.tasks.ingest.profile import LoadProfile
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.reading.sources.files import Skipped

_MAX_SKIPPED_LISTED = 100
"""The maximum number of skipped files named in ``--json``; all are counted."""

COUNTS = ("rows_in", "stored", "duplicates", "already_there", "rejected")
"""The names of the row counts of a load; the first is the sum of the others."""


@dataclass
class IngestReport:
    """The report of an ingest run. The row counts are the sums of those of `SourceReport`.

    Attributes:
        skipped: Files that were skipped because they hold no data.
        articles: The location of the articles table.
        rejects: The location of the rejects table.
        seconds: The duration.
        superseded: Rows of earlier loads that are superseded now.
        superseded_articles: The location of the table that lists them.
        profile: Statistics of the stored articles and the rejects.
    """

    sources: list[SourceReport]
    skipped: list[Skipped]
    articles: str
    rejects: str
    seconds: float
    superseded: int = 0
    superseded_articles: str = ""
    profile: LoadProfile = field(default_factory=LoadProfile)
    rows_in: int = field(init=False)
    stored: int = field(init=False)
    changed: int = field(init=False)
    repeated_ids: int = field(init=False)
    duplicates: int = field(init=False)
    already_there: int = field(init=False)
    rejected: int = field(init=False)

    def __post_init__(self) -> None:
        for name in (*COUNTS, "changed", "repeated_ids"):
            setattr(self, name, sum(getattr(source, name) for source in self.sources))

    @property
    def broken(self) -> list[SourceReport]:
        """The sources that could not be read completely."""
        return [source for source in self.sources if source.error]

    @property
    def skipped_json(self) -> dict[str, Any]:
        """The number of skipped files and the first of them, for the JSON report."""
        first = [f"{each.name}: {each.reason}" for each in self.skipped[:_MAX_SKIPPED_LISTED]]
        return {"skipped_count": len(self.skipped), "skipped": first}

    @classmethod
    def nothing(cls) -> Self:
        """Return the report of a load that did not run."""
        return cls([], [], "", "", 0.0)

    def counts(self) -> dict[str, int]:
        """Return the row counts by name."""
        return {name: getattr(self, name) for name in COUNTS}

    def line(self) -> str:
        """Return the report on one line, for the log."""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.counts().items())
        return f"{counts}; {len(self.broken)} sources not read; {self.articles}"

    def as_json(self) -> dict[str, Any]:
        """Return the JSON report that ``--json`` prints."""
        return {
            **self.counts(),
            "changed": self.changed,
            "repeated_ids": self.repeated_ids,
            "superseded": self.superseded,
            "seconds": round(self.seconds, 3),
            "articles_table": self.articles,
            "rejects": self.rejects,
            "not_read": [source.error for source in self.broken],
            **self.skipped_json,
            **self.profile.as_json(),
        }
