"""Statistics of a load for its report: lengths, languages, dates, flags, reasons of rejects."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.reading.base.rows import Reject

LENGTHS = (100, 500, 2_000, 10_000, 50_000, 200_000)
"""Upper bounds of the bins of body lengths, in characters; the last bin has none."""

_NUMBER = re.compile(r"\d[\d,]*")
_QUOTED_ID = re.compile(r"(near duplicate of) .*?( \(|$)")
_MAX_REASONS = 200


class Example(NamedTuple):
    """The first reject with a kind of reason."""

    source: str
    row: int
    reason: str

    @property
    def location(self) -> str:
        """The file and row of the reject, for display."""
        return f"{self.source.rpartition('/')[2]} row {self.row:,}"


@dataclass
class LoadProfile:
    """Statistics of the stored rows of a load and of its rejects.

    Attributes:
        rows: The number of stored articles.
        characters: The total length of their bodies, in characters.
        lengths: Articles by bin of body length: an index into `LENGTHS`, or its length.
        languages: Articles by language; None for articles without a language.
        years: Articles by year of publication; None for articles without a date.
        flags: Articles by flag, see `FLAGS`.
        reasons: Rejects by reason, with numbers replaced by ``…``.
        examples: The first reject with each reason.
        first: The earliest publication date.
        last: The latest publication date.
    """

    rows: int = 0
    characters: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    languages: Counter[str | None] = field(default_factory=Counter)
    years: Counter[int | None] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Example] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None

    def add(self, rows: pa.RecordBatch) -> None:
        """Add stored rows, with `ARTICLES_SCHEMA`."""
        lengths = pc.utf8_length(rows["body"])
        dates = rows["published_at"]
        ends = pc.min_max(dates).as_py()
        self.rows += rows.num_rows
        self.characters += pc.sum(lengths).as_py() or 0
        _count(self.lengths, pa.array(np.digitize(lengths, LENGTHS)))
        _count(self.languages, rows["language"])
        _count(self.years, pc.year(dates))
        _count(self.flags, pc.list_flatten(rows["flags"]))
        if ends["min"] is not None:
            self.first = min(filter(None, (self.first, ends["min"])))
            self.last = max(filter(None, (self.last, ends["max"])))

    def add_rejects(self, source: str, rejects: Iterable[Reject]) -> None:
        """Add rejects of a source."""
        for reject in rejects:
            reason = _QUOTED_ID.sub(r"\1 another\2", reject.reason)
            kind = _NUMBER.sub("…", reason)[:200]
            if len(self.reasons) >= _MAX_REASONS and kind not in self.reasons:
                kind = "other reasons"
            self.reasons[kind] += 1
            self.examples.setdefault(kind, Example(source, reject.row, reject.reason[:200]))

    def top_reasons(self) -> list[tuple[int, str]]:
        """Return the count and the description of each reason of rejects, most frequent first."""
        described = []
        for kind, count in self.reasons.most_common():
            example = self.examples[kind]
            words = example.reason if count == 1 else kind
            if count > 1 and kind != example.reason:
                words = f"{kind}, such as {example.reason!r}"
            described.append((count, f"{words} ({example.location})"))
        return described

    def as_json(self) -> dict[str, Any]:
        """Return the fields of the profile in the JSON report."""
        return {
            "characters": self.characters,
            "languages": {name or "unknown": n for name, n in self.languages.most_common()},
            "flags": dict(self.flags.most_common()),
            "reject_reasons": {
                kind if count > 1 else self.examples[kind].reason: count
                for kind, count in self.reasons.most_common()
            },
            "first_date": self.first.isoformat() if self.first else None,
            "last_date": self.last.isoformat() if self.last else None,
        }


def _count(counter: Counter[Any], values: pa.Array) -> None:
    for each in pc.value_counts(values).to_pylist():
        counter[each["values"]] += each["counts"]
