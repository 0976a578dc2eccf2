"""The Markdown report of a summarize run, and the building blocks of all Markdown reports.

The same text is the artifact in Prefect's UI and the output of a terminal run. Text from articles
and answers is escaped, so that it cannot add tables, links or images to a report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from article_flows.tasks.common.text_safety import format_duration, printable
from article_flows.tasks.summarize.report import SummarizeReport

# The last two alternatives prevent GitHub's Markdown from linking bare addresses.
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|#!~&@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
# Characters that start a list, a rule or an underlined heading at the beginning of a line.
_LEADING = re.compile(r"^(?=[-+=])|^\d+(?=[.)](?:\s|$))")
_BODY_EXCERPT_CHARS = 240
_ANSWER_EXCERPT_CHARS = 2_000


def summarize_markdown(report: SummarizeReport) -> str:
    """Return the report of a summarize run: counts, tokens, cost, tables and sample answers."""
    lines = [f"## {escaped(report.recipe)} by {escaped(report.endpoint)}", ""]
    if report.stopped:
        lines += [f"**Stopped:** {escaped(report.stopped)}", ""]
    elif not report.articles:
        lines += ["The lake has no articles yet; load some with the ingest-articles flow.", ""]
    elif report.reused == report.articles:
        lines += [f"Nothing to do: all {report.articles:,} articles already have an answer.", ""]
    lines += table(["metric", "value"], _metrics(report))
    lines += ["", f"Table: {code(report.table)}"]
    if report.failures_total:
        lines += ["", f"Failures: {code(report.failures)}"]
    for number, sample in enumerate(report.samples, start=1):
        lines += ["", *_sample(number, sample)]
    return "\n".join([*lines, ""])


def escaped(text: object) -> str:
    r"""Return text on one line, escaped so that Markdown shows it unchanged.

    Example:
        >>> print(escaped("[link](http://example.org)"))
        \[link\](http\://example.org)
    """
    shown = _SPECIAL.sub(r"\\\g<0>", printable(str(text)))
    return _LEADING.sub(r"\g<0>\\", shown)


def code(text: str) -> str:
    """Return text on one line as a code span, whose fence is longer than any backticks in it."""
    text = printable(text)
    if "`" not in text:
        return f"`{text}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", text))))
    return f"{fence} {text} {fence}"


def table(header: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Return the lines of a table with escaped cells."""
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(escaped(cell) for cell in row)} |" for row in rows),
    ]


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural unless it is one.

    Example:
        >>> counted(1, "article"), counted(2_000, "article")
        ('1 article', '2,000 articles')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def format_usd(amount: float | None) -> str:
    """Return US dollars as text, with four decimals below 100.

    Example:
        >>> format_usd(0.00012), format_usd(1234.5)
        ('$0.0001', '$1,234.50')
    """
    if amount is None:
        return "unknown price (set --price-in and --price-out)"
    return f"${amount:,.2f}" if amount >= 100 or amount == 0 else f"${amount:,.4f}"


def format_seconds(seconds: float) -> str:
    """Return a duration as text, with tenths of a second below ten seconds."""
    return f"{seconds:.1f} s" if seconds < 10 else format_duration(seconds)


def _metrics(report: SummarizeReport) -> list[list[str]]:
    hedges = f", {report.hedges:,} of them hedges" if report.hedges else ""
    metrics = [
        ["articles", f"{report.articles:,}"],
        ["answered in this run", f"{report.answered:,}"],
        ["reused at no cost", f"{report.reused:,}"],
        ["failed", _total_by_class(report.failed)],
        ["remaining", f"{report.left:,}"],
        ["requests", f"{report.attempts:,} for {counted(report.calls, 'article')}{hedges}"],
    ]
    if report.errors:
        metrics.append(["failed requests", _total_by_class(report.errors)])
    usage = report.usage
    tokens = f"{usage.prompt:,} prompt ({usage.cached:,} cached), {usage.completion:,} completion"
    durations = (f"{name} {format_seconds(s)}" for name, s in report.seconds.items())
    return [
        *metrics,
        ["tokens", tokens],
        ["cost", format_usd(report.cost_usd)],
        ["throughput", f"{report.articles_per_second:,.1f} articles/s" if report.answered else "–"],
        ["time", ", ".join(durations)],
    ]


def _total_by_class(counts: Mapping[str, int]) -> str:
    total = f"{sum(counts.values()):,}"
    if not counts:
        return total
    return f"{total} ({', '.join(f'{name} {count:,}' for name, count in sorted(counts.items()))})"


def _sample(number: int, sample: dict[str, Any]) -> list[str]:
    lines = [f"### {number}. {escaped(sample['title'] or sample['article_id'])}", ""]
    lines.append(f"> {escaped(_excerpt(sample['body'], _BODY_EXCERPT_CHARS))}")
    for name, value in sample["answer"].items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        lines += ["", f"**{escaped(name)}:** {escaped(_excerpt(shown, _ANSWER_EXCERPT_CHARS))}"]
    return lines


def _excerpt(text: str, max_chars: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= max_chars else text[:max_chars] + "…"
