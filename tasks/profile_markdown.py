"""What a load has stored, as Markdown: lengths, languages, dates; an artifact in Prefect's UI."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tasks.profiles import LENGTHS, Profile
from tasks.report_markdown import code, table
from tasks.reports import IngestReport

_SHOWN = 12
_BAR = 30


def profile_markdown(report: IngestReport) -> str:
    """The articles that a load has stored: counts, histograms of lengths, languages and dates."""
    profile = report.profile
    lines = [
        f"## What was stored in {code(report.articles)}",
        "",
        *table(["rows", "count"], [[name, f"{n:,}"] for name, n in report.counts().items()]),
        "",
        f"{profile.characters:,} characters of text in {profile.rows:,} articles.",
    ]
    if profile.rows:
        lines += _section("Length of the text", "characters", _lengths(profile))
        lines += _section("Languages", "language", _most(profile.languages, "unknown"))
        lines += _section("Dates", "year", _years(profile))
    if profile.flags:
        lines += _section("Noticed", "flag", _most(profile.flags, ""))
    if profile.reasons:
        lines += _section("Rejected", "reason", _most(profile.reasons, ""))
    return "\n".join([*lines, ""])


def _lengths(profile: Profile) -> list[tuple[str, int]]:
    names = [f"under {LENGTHS[0]:,}"]
    names += [f"{low:,} to {high - 1:,}" for low, high in pairwise(LENGTHS)]
    names.append(f"{LENGTHS[-1]:,} and more")
    return [(name, profile.lengths[index]) for index, name in enumerate(names)]


def _years(profile: Profile) -> list[tuple[str, int]]:
    years = sorted(year for year in profile.years if year is not None)
    counts = [(str(year), profile.years[year]) for year in years]
    if len(counts) > _SHOWN:
        earlier = sum(count for _, count in counts[:-_SHOWN])
        counts = [(f"before {counts[-_SHOWN][0]}", earlier), *counts[-_SHOWN:]]
    return counts + ([("no date", profile.years[None])] if profile.years[None] else [])


def _most(counter: Mapping[Any, int], none: str) -> list[tuple[str, int]]:
    ordered = Counter(counter).most_common()
    shown = [(none if name is None else str(name), count) for name, count in ordered[:_SHOWN]]
    rest = sum(count for _, count in ordered[_SHOWN:])
    return shown + ([("others", rest)] if rest else [])


def _section(title: str, name: str, counts: Sequence[tuple[str, int]]) -> Iterable[str]:
    most = max((count for _, count in counts), default=1)
    rows = [
        [label, f"{count:,}", "█" * round(_BAR * count / max(most, 1))] for label, count in counts
    ]
    return ["", f"### {title}", "", *table([name, "articles", ""], rows)]
