"""What a load did: counts of rows, sources that could not be read, a profile of what was stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from article_flows.tasks.ingest.profile import LoadProfile
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.reading.sources.files import Skipped

_SKIPPED_LISTED = 100
"""Files that were passed over and are named in ``--json``; all are counted."""


COUNTS = ("rows_in", "stored", "duplicates", "already_there", "rejected")
"""Rows of a load by what became of them."""


@dataclass
class IngestReport:
    """Counts of an ingest run; ``rows_in`` = stored + duplicates + already_there + rejected.

    Rows are counted as in `SourceReport`, for all sources together. ``superseded`` rows of earlier
    loads are current no longer. ``profile`` is of what was stored.
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
        """Sources that could not be read, or not to their end."""
        return [source for source in self.sources if source.error]

    @property
    def passed_over(self) -> dict[str, Any]:
        """What was not read, as no data: how many files, and the first of them."""
        first = [f"{each.name}: {each.reason}" for each in self.skipped[:_SKIPPED_LISTED]]
        return {"skipped_count": len(self.skipped), "skipped": first}

    @classmethod
    def nothing(cls) -> Self:
        """The report of a load that was not made."""
        return cls([], [], "", "", 0.0)

    def counts(self) -> dict[str, int]:
        """Rows by what became of them."""
        return {name: getattr(self, name) for name in COUNTS}

    def line(self) -> str:
        """In one line, for a log."""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.counts().items())
        return f"{counts}; {len(self.broken)} sources not read; {self.articles}"

    def as_json(self) -> dict[str, Any]:
        """The line that ``--json`` ends with."""
        return {
            **self.counts(),
            "changed": self.changed,
            "repeated_ids": self.repeated_ids,
            "superseded": self.superseded,
            "seconds": round(self.seconds, 3),
            "articles_table": self.articles,
            "rejects": self.rejects,
            "not_read": [source.error for source in self.broken],
            **self.passed_over,
            **self.profile.as_json(),
        }
