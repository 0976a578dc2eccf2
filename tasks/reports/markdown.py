"""Reports as Markdown: the same text is the artifact in Prefect's UI and the end of a terminal run.

Text from articles and answers is escaped: it must not draw tables, links or images of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from article_flows.tasks.common.text_safety import clock, printable
from article_flows.tasks.summarize.report import SummarizeReport

# The last two keep bare addresses from becoming links, as GitHub's Markdown makes them.
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|#!~&@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
# At the start of a line: lists, rules, underlined headings.
_LEADING = re.compile(r"^(?=[-+=])|^\d+(?=[.)](?:\s|$))")
_EXCERPT = 240
_ANSWER_SHOWN = 2_000


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
    shown = _SPECIAL.sub(r"\\\g<0>", printable(str(text)))
    return _LEADING.sub(r"\g<0>\\", shown)


def code(text: str) -> str:
    """Text on one line in backticks; those that it holds itself do not end them."""
    text = printable(text)
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
