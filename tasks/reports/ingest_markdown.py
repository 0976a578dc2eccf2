"""The Markdown reports of an ingest run: artifacts in Prefect's UI and output in a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from article_flows.tasks.ingest.profile import LENGTHS, LoadProfile
from article_flows.tasks.ingest.report import COUNTS, IngestReport
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.reports.summarize_markdown import code, escaped, table

_MAX_SOURCES = 20
_MIN_CHANGED_FOR_HINT = 2
_MAX_REASONS = 8
_MAX_SKIPPED = 10
_MAX_NAME_CHARS = 23
"""The width that is left for the first of six columns in a terminal."""
_MAX_ROWS = 12
_BAR_CHARS = 30
_GUESSED_SUFFIX = " (guessed)"
_FACT_NOTES = {
    "ignored": "other lists in the file were not read: {}",
    "sheets_passed_over": "sheets that were not read: {}",
    "cut_cells": "{}",
}
"""Notes on facts about a source that may mean missing data."""


def ingest_markdown(report: IngestReport) -> str:
    """Return the report of an ingest run: counts by source, and why rows were not loaded."""
    lines = [
        "## Articles",
        "",
        *_source_table(report),
        *_column_mappings(report),
        *_unread_and_notes(report),
        *_superseded(report),
    ]
    if report.skipped:
        named = report.skipped[:_MAX_SKIPPED]
        names = ", ".join(f"{file.name} ({file.reason})" for file in named)
        others = len(report.skipped) - len(named)
        more = f" and {others:,} more" if others else ""
        lines += ["", f"Skipped: {escaped(names)}{more}"]
    if report.rejected:
        lines += ["", f"Rejected rows: {code(report.rejects)}"]
        lines += [f"\n- {count:,} × {escaped(reason)}" for count, reason in _reject_reasons(report)]
    if report.profile.flags:
        counts = report.profile.flags.most_common()
        flags = ", ".join(f"{flag} {count:,}" for flag, count in counts)
        lines += ["", f"Flags (column {code('flags')}): {escaped(flags)}"]
    return "\n".join([*lines, "", f"Table: {code(report.articles)}", ""])


def _source_table(report: IngestReport) -> list[str]:
    rows = [
        [_shortened(source.source), *(f"{getattr(source, name):,}" for name in COUNTS)]
        for source in report.sources[:_MAX_SOURCES]
    ]
    lines = table(["source", *(name.replace("_", " ") for name in COUNTS)], rows)
    if (more := len(report.sources) - _MAX_SOURCES) > 0:
        lines += ["", f"… and {more:,} more sources; {report.rows_in:,} rows in total."]
    return lines


def _unread_and_notes(report: IngestReport) -> list[str]:
    lines = []
    for broken in report.broken[:_MAX_SOURCES]:
        lines += ["", f"**Not read:** {escaped(broken.error or '')}"]
    if (more := len(report.broken) - _MAX_SOURCES) > 0:
        lines += ["", f"… and {more:,} more sources were not read."]
    return lines + [f"\nNote: {escaped(note)}" for note in _source_notes(report)[:_MAX_SOURCES]]


def _superseded(report: IngestReport) -> list[str]:
    lines = []
    if report.repeated_ids:
        lines += [
            "",
            "Rows that repeat an id of this load with different content: "
            f"{report.repeated_ids:,} (all were kept).",
        ]
    if report.superseded:
        lines += [
            "",
            f"Superseded rows of earlier loads: {report.superseded:,} ({_why_superseded(report)}). "
            f"They are kept in {code(report.superseded_articles)}."
            f"{_keep_versions_hint(report)}",
        ]
    return lines


def _why_superseded(report: IngestReport) -> str:
    changed = min(report.changed, report.superseded)
    removed = report.superseded - changed
    reasons = [f"{changed:,} with new content"] if changed else []
    return ", ".join(reasons + ([f"{removed:,} no longer in the sources"] if removed else []))


def _keep_versions_hint(report: IngestReport) -> str:
    if report.changed < _MIN_CHANGED_FOR_HINT or report.changed < report.stored / 2:
        return ""
    return (
        " If the new rows are different articles that reuse the same ids, load them with "
        "--keep-versions to keep both."
    )


def _source_notes(report: IngestReport) -> list[str]:
    """Return what a user should check in each source: unread parts, guesses, odd columns."""
    notes = []
    for source in report.sources:
        facts = source.facts
        found = [note.format(facts[fact]) for fact, note in _FACT_NOTES.items() if fact in facts]
        if (encoding := facts.get("encoding", "")).endswith(_GUESSED_SUFFIX):
            found.append(f"the encoding {encoding.removesuffix(_GUESSED_SUFFIX)} is a guess")
        found += [f"{column}: {why}" for column, why in _column_notes(source)]
        if found:
            notes.append(f"{source.source}: {'; '.join(found)}")
    return notes


def _column_notes(source: SourceReport) -> list[tuple[str, str]]:
    """Return why columns are not what their names suggest, except for nested columns."""
    return [(column, why) for column, why in source.notes.items() if "." not in column]


def _shortened(source: str) -> str:
    """Return the end of a long name, which distinguishes files of one folder."""
    return source if len(source) <= _MAX_NAME_CHARS else f"…{source[1 - _MAX_NAME_CHARS :]}"


def _reject_reasons(report: IngestReport) -> list[tuple[int, str]]:
    reasons = report.profile.top_reasons()
    shown, others = reasons[:_MAX_REASONS], reasons[_MAX_REASONS:]
    rest = sum(count for count, _ in others)
    return [*shown, (rest, f"{len(others):,} other reasons")] if others else shown


def _column_mappings(report: IngestReport) -> list[str]:
    """Return each column mapping once, with the sources that have it."""
    sources_by_mapping: dict[str, list[str]] = {}
    for source in report.sources:
        if source.columns:
            pairs = (f"{target} from {column}" for target, column in source.columns.items())
            sources_by_mapping.setdefault(", ".join(pairs), []).append(source.source)
    lines = []
    for mapping, names in list(sources_by_mapping.items())[:_MAX_SOURCES]:
        first = names[0].rpartition("/")[2]
        others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        where = f" in {escaped(first)}{others}" if len(sources_by_mapping) > 1 else ""
        lines.append(f"\nColumns{where}: {escaped(mapping)}")
    return lines


def profile_markdown(report: IngestReport) -> str:
    """Return the profile of the stored articles: histograms of lengths, languages and dates."""
    profile = report.profile
    lines = [
        f"## Articles stored in {code(report.articles)}",
        "",
        *table(["rows", "count"], [[name, f"{n:,}"] for name, n in report.counts().items()]),
        "",
        f"{profile.characters:,} characters of text in {profile.rows:,} articles.",
    ]
    if profile.rows:
        lines += _histogram("Body length", "characters", _length_counts(profile))
        lines += _histogram("Languages", "language", _most_common(profile.languages, "unknown"))
        lines += _histogram("Publication dates", "year", _year_counts(profile))
    if profile.flags:
        lines += _histogram("Flags", "flag", _most_common(profile.flags, ""))
    if profile.reasons:
        lines += _histogram("Rejected", "reason", _most_common(profile.reasons, ""), "rows")
    return "\n".join([*lines, ""])


def _length_counts(profile: LoadProfile) -> list[tuple[str, int]]:
    names = [f"under {LENGTHS[0]:,}"]
    names += [f"{low:,} to {high - 1:,}" for low, high in pairwise(LENGTHS)]
    names.append(f"{LENGTHS[-1]:,} and more")
    return [(name, profile.lengths[index]) for index, name in enumerate(names)]


def _year_counts(profile: LoadProfile) -> list[tuple[str, int]]:
    years = sorted(year for year in profile.years if year is not None)
    counts = [(str(year), profile.years[year]) for year in years]
    if len(counts) > _MAX_ROWS:
        earlier = sum(count for _, count in counts[:-_MAX_ROWS])
        counts = [(f"before {counts[-_MAX_ROWS][0]}", earlier), *counts[-_MAX_ROWS:]]
    return counts + ([("no date", profile.years[None])] if profile.years[None] else [])


def _most_common(counter: Mapping[Any, int], unnamed: str) -> list[tuple[str, int]]:
    ordered = Counter(counter).most_common()
    shown = [(unnamed if name is None else str(name), count) for name, count in ordered[:_MAX_ROWS]]
    rest = sum(count for _, count in ordered[_MAX_ROWS:])
    return shown + ([("others", rest)] if rest else [])


def _histogram(
    title: str, name: str, counts: Sequence[tuple[str, int]], unit: str = "articles"
) -> Iterable[str]:
    largest = max((count for _, count in counts), default=1)
    rows = [
        [label, f"{count:,}", "█" * round(_BAR_CHARS * count / max(largest, 1))]
        for label, count in counts
    ]
    return ["", f"### {title}", "", *table([name, unit, ""], rows)]
