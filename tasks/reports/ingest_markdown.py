"""The report of a load as Markdown: artifacts in Prefect's UI, and the end of a terminal run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from article_flows.tasks.ingest.profile import LENGTHS, LoadProfile
from article_flows.tasks.ingest.report import COUNTS, IngestReport
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.reports.markdown import code, escaped, table

_SOURCES_SHOWN = 20
_MANY_CHANGED = 2
_REASONS_SHOWN = 8
_SKIPPED_SHOWN = 10
_NAME_SHOWN = 23
"""What six columns of a terminal leave for the first."""
_MOST_ROWS = 12
_BAR = 30
_GUESSED = " (guessed)"
_FACTS = {
    "ignored": "other lists in the file are not read: {}",
    "sheets_passed_over": "sheets that are not read: {}",
    "cut_cells": "{}",
}
"""Facts of a source that mean that something may be missing, and how to say so."""


def ingest_markdown(report: IngestReport) -> str:
    """What was loaded, source by source, and what was not and why."""
    lines = [
        "## Articles",
        "",
        *_sources(report),
        *_mappings(report),
        *_not_read(report),
        *_replaced(report),
    ]
    if report.skipped:
        named = report.skipped[:_SKIPPED_SHOWN]
        names = ", ".join(f"{each.name} ({each.reason})" for each in named)
        more = len(report.skipped) - len(named)
        also = f" and {more:,} more" if more else ""
        lines += ["", f"Passed over: {escaped(names)}{also}"]
    if report.rejected:
        lines += ["", f"Rejected rows and their reasons: {code(report.rejects)}"]
        lines += [f"\n- {count:,} × {escaped(reason)}" for count, reason in _reasons(report)]
    if report.profile.flags:
        flags = report.profile.flags.most_common()
        noticed = ", ".join(f"{flag} {count:,}" for flag, count in flags)
        lines += ["", f"Noticed (column {code('flags')}): {escaped(noticed)}"]
    return "\n".join([*lines, "", f"Articles: {code(report.articles)}", ""])


def _sources(report: IngestReport) -> list[str]:
    rows = [
        [_end_of(source.source), *(f"{getattr(source, name):,}" for name in COUNTS)]
        for source in report.sources[:_SOURCES_SHOWN]
    ]
    lines = table(["source", *(name.replace("_", " ") for name in COUNTS)], rows)
    if (more := len(report.sources) - _SOURCES_SHOWN) > 0:
        lines += ["", f"… and {more:,} more sources; {report.rows_in:,} rows in all."]
    return lines


def _not_read(report: IngestReport) -> list[str]:
    lines = []
    for broken in report.broken[:_SOURCES_SHOWN]:
        lines += ["", f"**Not read:** {escaped(broken.error or '')}"]
    if (more := len(report.broken) - _SOURCES_SHOWN) > 0:
        lines += ["", f"… and {more:,} more sources were not read."]
    return lines + [f"\nMind: {escaped(remark)}" for remark in _remarks(report)[:_SOURCES_SHOWN]]


def _replaced(report: IngestReport) -> list[str]:
    lines = []
    if report.repeated_ids:
        lines += [
            "",
            f"{_rows(report.repeated_ids)} the id of another row of this load, with other "
            "content; all of them stay, as nobody can say which is right.",
        ]
    if report.superseded:
        lines += [
            "",
            f"Of earlier loads {report.superseded:,} rows are current no longer: {_why(report)}. "
            f"They are kept in {code(report.superseded_articles)}."
            f"{_perhaps_other_articles(report)}",
        ]
    return lines


def _rows(count: int) -> str:
    return "1 row has" if count == 1 else f"{count:,} rows have"


def _why(report: IngestReport) -> str:
    changed = min(report.changed, report.superseded)
    gone = report.superseded - changed
    words = [f"{changed:,} came again with other content"] if changed else []
    return "; ".join(words + ([f"{gone:,} are not in the sources any more"] if gone else []))


def _perhaps_other_articles(report: IngestReport) -> str:
    if report.changed < _MANY_CHANGED or report.changed < report.stored / 2:
        return ""
    return (
        " If these are other articles whose ids merely repeat, load what is there with "
        "--keep-versions: both stay then."
    )


def _remarks(report: IngestReport) -> list[str]:
    """What readers have found that a user should look at: what was left aside, what was guessed."""
    remarks = []
    for source in report.sources:
        facts = source.facts
        words = [said.format(facts[fact]) for fact, said in _FACTS.items() if fact in facts]
        if (encoding := facts.get("encoding", "")).endswith(_GUESSED):
            words.append(f"its encoding is a guess, {encoding.removesuffix(_GUESSED)}")
        words += [f"{column}: {why}" for column, why in _notes(source)]
        if words:
            remarks.append(f"{source.source}: {'; '.join(words)}")
    return remarks


def _notes(source: SourceReport) -> list[tuple[str, str]]:
    """Why columns are not what their names say; of those inside another one that is usual."""
    return [(column, why) for column, why in source.notes.items() if "." not in column]


def _end_of(source: str) -> str:
    """The end of a long name, which tells one file from the next."""
    return source if len(source) <= _NAME_SHOWN else f"…{source[1 - _NAME_SHOWN :]}"


def _reasons(report: IngestReport) -> list[tuple[int, str]]:
    """The most frequent reasons of rejects."""
    reasons = report.profile.told_reasons()
    shown, others = reasons[:_REASONS_SHOWN], reasons[_REASONS_SHOWN:]
    rest = sum(count for count, _ in others)
    return [*shown, (rest, f"{len(others):,} other reasons")] if others else shown


def _mappings(report: IngestReport) -> list[str]:
    """What was taken for what, once for each way in which it was, and of which sources."""
    alike: dict[str, list[str]] = {}
    for source in report.sources:
        if source.columns:
            taken = (f"{target} from {column}" for target, column in source.columns.items())
            alike.setdefault(", ".join(taken), []).append(source.source)
    lines = []
    for columns, names in list(alike.items())[:_SOURCES_SHOWN]:
        first = names[0].rpartition("/")[2]
        others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        of_which = f" of {escaped(first)}{others}" if len(alike) > 1 else ""
        lines.append(f"\nColumns{of_which}: {escaped(columns)}")
    return lines


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


def _lengths(profile: LoadProfile) -> list[tuple[str, int]]:
    names = [f"under {LENGTHS[0]:,}"]
    names += [f"{low:,} to {high - 1:,}" for low, high in pairwise(LENGTHS)]
    names.append(f"{LENGTHS[-1]:,} and more")
    return [(name, profile.lengths[index]) for index, name in enumerate(names)]


def _years(profile: LoadProfile) -> list[tuple[str, int]]:
    years = sorted(year for year in profile.years if year is not None)
    counts = [(str(year), profile.years[year]) for year in years]
    if len(counts) > _MOST_ROWS:
        earlier = sum(count for _, count in counts[:-_MOST_ROWS])
        counts = [(f"before {counts[-_MOST_ROWS][0]}", earlier), *counts[-_MOST_ROWS:]]
    return counts + ([("no date", profile.years[None])] if profile.years[None] else [])


def _most(counter: Mapping[Any, int], none: str) -> list[tuple[str, int]]:
    ordered = Counter(counter).most_common()
    shown = [(none if name is None else str(name), count) for name, count in ordered[:_MOST_ROWS]]
    rest = sum(count for _, count in ordered[_MOST_ROWS:])
    return shown + ([("others", rest)] if rest else [])


def _section(title: str, name: str, counts: Sequence[tuple[str, int]]) -> Iterable[str]:
    most = max((count for _, count in counts), default=1)
    rows = [
        [label, f"{count:,}", "█" * round(_BAR * count / max(most, 1))] for label, count in counts
    ]
    return ["", f"### {title}", "", *table([name, "articles", ""], rows)]
