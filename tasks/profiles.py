"""What the articles of a load are like: lengths, languages, dates, what was noticed of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.reading.readers_base import Reject

LENGTHS = (100, 500, 2_000, 10_000, 50_000, 200_000)
"""Upper ends of the classes of body lengths, in characters; the last class has none."""

_NUMBER = re.compile(r"\d[\d,]*")
_QUOTED = re.compile(r"(near duplicate of) .*?( \(|$)")
_MOST_REASONS = 200


@dataclass
class Profile:
    """Counts over the stored rows of a load, and the reasons of its rejects.

    Attributes:
        rows: stored articles.
        characters: of all their bodies.
        lengths: articles by class of body length: the index into `LENGTHS`, or one past its end.
        languages: articles by language; the key None for those without.
        years: articles by the year of their date; None for those without.
        flags: articles by flag (`tasks.cleaning.flags`).
        reasons: rejects by reason, numbers left out.
        first: the earliest date; ``last`` the latest.
    """

    rows: int = 0
    characters: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    languages: Counter[str | None] = field(default_factory=Counter)
    years: Counter[int | None] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None

    def add(self, rows: pa.RecordBatch) -> None:
        """Count rows of the articles' schema."""
        lengths = pc.utf8_length(rows["body"])
        classes = pa.array([0] * rows.num_rows, pa.int32())
        for bound in LENGTHS:
            classes = pc.add(classes, pc.cast(pc.greater_equal(lengths, bound), pa.int32()))
        dates = rows["published_at"]
        ends = pc.min_max(dates).as_py()
        self.rows += rows.num_rows
        self.characters += pc.sum(lengths).as_py() or 0
        _count(self.lengths, classes)
        _count(self.languages, rows["language"])
        _count(self.years, pc.year(dates))
        _count(self.flags, pc.list_flatten(rows["flags"]))
        if ends["min"] is not None:
            self.first = min(filter(None, (self.first, ends["min"])))
            self.last = max(filter(None, (self.last, ends["max"])))

    def add_rejects(self, rejects: Iterable[Reject]) -> None:
        """Count the reasons of rejects."""
        for reject in rejects:
            reason = _QUOTED.sub(r"\1 another\2", reject.reason)
            kind = _NUMBER.sub("…", reason)[:200]
            if len(self.reasons) < _MOST_REASONS or kind in self.reasons:
                self.reasons[kind] += 1
            else:
                self.reasons["other reasons"] += 1

    def as_json(self) -> dict[str, Any]:
        """What `--json` tells of it."""
        return {
            "characters": self.characters,
            "languages": {name or "unknown": n for name, n in self.languages.most_common()},
            "flags": dict(self.flags.most_common()),
            "reject_reasons": dict(self.reasons.most_common()),
            "first_date": self.first.isoformat() if self.first else None,
            "last_date": self.last.isoformat() if self.last else None,
        }


def _count(counter: Counter[Any], values: pa.Array) -> None:
    for each in pc.value_counts(values).to_pylist():
        counter[each["values"]] += each["counts"]
