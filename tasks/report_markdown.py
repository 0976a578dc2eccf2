"""Reports as Markdown: the same text is the artifact in Prefect's UI and the end of a terminal run.

Text from articles and answers is escaped: it must not draw tables, links or images of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.progress import clock
from tasks.reports import IngestReport, SummarizeReport

# The last two keep bare addresses from becoming links, as GitHub's Markdown makes them.
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|#!~&@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
# At the start of a line: lists, rules, underlined headings.
_LEADING = re.compile(r"^(?=[-+=])|^\d+(?=[.)](?:\s|$))")
_EXCERPT = 240
_ANSWER_SHOWN = 2_000
_SOURCES_SHOWN = 20
_MANY_CHANGED = 10
_REASONS_SHOWN = 5


def ingest_markdown(report: IngestReport) -> str:
    """What was loaded, source by source, and what was not and why."""
    lines = [
        "## Articles",
        "",
        *table(
            ["source", "rows in", "stored", "duplicates", "already there", "rejected"],
            [
                [
                    each.source,
                    *(
                        f"{count:,}"
                        for count in (
                            each.rows_in,
                            each.stored,
                            each.duplicates,
                            each.already_there,
                            each.rejected,
                        )
                    ),
                ]
                for each in report.sources[:_SOURCES_SHOWN]
            ],
        ),
    ]
    if (more := len(report.sources) - _SOURCES_SHOWN) > 0:
        lines += ["", f"… and {more:,} more sources; {report.rows_in:,} rows in all."]
    lines += [f"\nColumns: {escaped(mapping)}" for mapping in _mappings(report)]
    for broken in report.broken:
        lines += ["", f"**Not read:** {escaped(broken.error or '')}"]
    if report.repeated_ids:
        lines += [
            "",
            f"{report.repeated_ids:,} rows have the id of another row of this load, with other "
            "content; all of them stay, as nobody can say which is right.",
        ]
    if report.superseded:
        lines += [
            "",
            f"{report.superseded:,} rows of earlier loads are current no longer, "
            f"{report.changed:,} for being here with other content; they are kept in "
            f"{code(report.superseded_articles)}.{_perhaps_other_articles(report)}",
        ]
    if report.skipped:
        names = ", ".join(f"{each.name} ({each.reason})" for each in report.skipped[:10])
        lines += ["", f"Passed over: {escaped(names)}"]
    if report.rejected:
        lines += ["", f"Rejected rows and their reasons: {code(report.rejects)}"]
        lines += [f"\n- {count:,}: {escaped(reason)}" for reason, count in _reasons(report)]
    if report.profile.flags:
        flags = report.profile.flags.most_common()
        noticed = ", ".join(f"{flag} {count:,}" for flag, count in flags)
        lines += ["", f"Noticed (column {code('flags')}): {escaped(noticed)}"]
    return "\n".join([*lines, "", f"Articles: {code(report.articles)}", ""])


def _perhaps_other_articles(report: IngestReport) -> str:
    if report.changed < _MANY_CHANGED or report.changed < report.stored / 2:
        return ""
    return (
        " If these are other articles whose ids merely repeat, load what is there with "
        "--keep-versions: both stay then."
    )


def _reasons(report: IngestReport) -> list[tuple[str, int]]:
    """The most frequent reasons of rejects."""
    reasons = report.profile.reasons.most_common()
    shown, others = reasons[:_REASONS_SHOWN], reasons[_REASONS_SHOWN:]
    return shown + ([("other reasons", sum(count for _, count in others))] if others else [])


def _mappings(report: IngestReport) -> list[str]:
    """What was taken for what, once for each way in which it was."""
    told = (
        ", ".join(f"{target} from {column}" for target, column in source.columns.items())
        for source in report.sources
        if source.columns
    )
    return list(dict.fromkeys(told))[:_SOURCES_SHOWN]


def summarize_markdown(report: SummarizeReport) -> str:
    """What was asked, what came back, what it cost and where it is."""
    lines = [f"## {escaped(report.recipe)} by {escaped(report.endpoint)}", ""]
    if report.stopped:
        lines += [f"**Stopped:** {escaped(report.stopped)}", ""]
    elif not report.articles:
        lines += ["The lake has no articles yet: load some with ingest-articles.", ""]
    elif report.reused == report.articles:
        lines += [f"Nothing to do: all {report.articles:,} articles are answered already.", ""]
    lines += table(["what", "how much"], _facts(report))
    lines += ["", f"Table: {code(report.table)}"]
    if report.failures_total:
        lines += ["", f"Failures: {code(report.failures)}"]
    for number, sample in enumerate(report.samples, start=1):
        lines += ["", *_sample(number, sample)]
    return "\n".join([*lines, ""])


def escaped(text: object) -> str:
    """Text on one line that Markdown shows as it is."""
    shown = _SPECIAL.sub(r"\\\g<0>", " ".join(str(text).split()))
    return _LEADING.sub(r"\g<0>\\", shown)


def code(text: str) -> str:
    """Text on one line in backticks; those that it holds itself do not end them."""
    text = " ".join(text.split())
    if "`" not in text:
        return f"`{text}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", text))))
    return f"{fence} {text} {fence}"


def dollars(amount: float | None) -> str:
    """US dollars, with cents of cents where they matter."""
    if amount is None:
        return "unknown price (give --price-in and --price-out)"
    return f"${amount:,.2f}" if amount >= 100 or amount == 0 else f"${amount:,.4f}"


def _facts(report: SummarizeReport) -> list[list[str]]:
    facts = [
        ["articles", f"{report.articles:,}"],
        ["answered now", f"{report.answered:,}"],
        ["reused, not paid again", f"{report.reused:,}"],
        ["failed", _counted(report.failed)],
        ["left to do", f"{report.left:,}"],
        ["asked", f"{report.calls:,} articles, {report.attempts:,} requests{_hedges(report)}"],
    ]
    if report.errors:
        facts.append(["requests that failed", _counted(report.errors)])
    usage = report.usage
    return [
        *facts,
        ["tokens", f"{usage.prompt:,} in ({usage.cached:,} cached), {usage.completion:,} out"],
        ["cost", dollars(report.cost_usd)],
        ["speed", f"{report.articles_per_second:,.1f} articles/s" if report.answered else "–"],
        ["time", ", ".join(f"{name} {clock_fine(s)}" for name, s in report.seconds.items())],
    ]


def _hedges(report: SummarizeReport) -> str:
    return f", {report.hedges:,} of them second copies of slow ones" if report.hedges else ""


def clock_fine(seconds: float) -> str:
    """Seconds for people, with tenths below ten seconds."""
    return f"{seconds:.1f} s" if seconds < 10 else clock(seconds)


def _counted(counts: Mapping[str, int]) -> str:
    total = f"{sum(counts.values()):,}"
    if not counts:
        return total
    return f"{total} ({', '.join(f'{name} {count:,}' for name, count in sorted(counts.items()))})"


def _sample(number: int, sample: dict[str, Any]) -> list[str]:
    lines = [f"### {number}. {escaped(sample['title'] or sample['article_id'])}", ""]
    lines.append(f"> {escaped(_excerpt(sample['body']))}")
    for name, value in sample["answer"].items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        lines += ["", f"**{escaped(name)}:** {escaped(_excerpt(str(shown), _ANSWER_SHOWN))}"]
    return lines


def _excerpt(text: str, most: int = _EXCERPT) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[:most] + "…"


def table(header: list[str], rows: Iterable[list[str]]) -> list[str]:
    """The lines of a table; its cells are escaped."""
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(escaped(cell) for cell in row)} |" for row in rows),
    ]
