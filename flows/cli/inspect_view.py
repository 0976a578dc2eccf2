"""The human-readable output of `article-flows inspect`: bounded in length and width."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from article_flows.tasks.checks.inspection import InspectedColumn, Inspection
from article_flows.tasks.checks.source_groups import SourceGroup
from article_flows.tasks.common.text_safety import printable
from article_flows.tasks.reading.sources.find import Sources

_MAX_GROUPS = 10
_MAX_COLUMNS = 40
_MAX_LINES = 10
"""Skipped files, and problems, that are listed."""
_MAX_SIMILAR_NAMES = 3
_SAMPLE_COLUMNS = ("title", "author", "published_at", "language", "category", "url", "article_id")


def show(groups: Sequence[SourceGroup], sources: Sources, next_step: str) -> None:
    """Print the groups to standard output, and problems to standard error.

    Args:
        groups: The inspected sources.
        sources: All sources, with skipped and broken ones.
        next_step: A command for the user to copy, so it is not wrapped.
    """
    console = Console(highlight=False)
    largest = sorted(groups, key=lambda group: group.others, reverse=True)
    for group in largest[:_MAX_GROUPS]:
        _show_group(console, group)
    if hidden := largest[_MAX_GROUPS:]:
        files = sum(group.others + 1 for group in hidden)
        console.print(f"and {files:,} files in {len(hidden):,} more groups\n")
    skipped = [f"skipped: {file.name}: {file.reason}" for file in sources.skipped]
    for line in _shortened(skipped, "skipped: and {} more"):
        console.print(_text(line))
    if len(sources) > 1:
        console.print(_totals(groups))
    if next_step:
        console.print(f"\n{escape(next_step)}", soft_wrap=True)
    problems = [source.reason for source in sources.broken]
    problems += [group.problem for group in groups if group.problem]
    for line in _shortened(problems, "and {} more problems; list all with --json"):
        print(f"article-flows: {printable(line)}", file=sys.stderr)


def _shortened(lines: Sequence[str], more: str) -> list[str]:
    """Return the first lines and, formatted into `more`, the number of the others."""
    others = len(lines) - _MAX_LINES
    return [*lines[:_MAX_LINES], *([more.format(f"{others:,}")] if others > 0 else [])]


def _show_group(console: Console, group: SourceGroup) -> None:
    first = group.first
    console.print(_text(first.name, style="bold"))
    if group.others:
        files = "1 similar file" if group.others == 1 else f"{group.others:,} similar files"
        inspected = f"{len(group.inspected):,} of {group.others + 1:,} inspected"
        console.print(f"  and {files} ({inspected}):")
        for name in group.names[1 : _MAX_SIMILAR_NAMES + 1]:
            console.print(_indented(name))
        if group.others > _MAX_SIMILAR_NAMES:
            console.print(f"  and {group.others - _MAX_SIMILAR_NAMES:,} more")
    console.print(_pairs(_facts(first).items()))
    if first.columns:
        console.print(_columns_table(first.columns))
        for line in _reasons(first.columns):
            console.print(_indented(line))
    for title, unit, total, counts in (
        ("would be rejected", "rows", first.rows, first.rejects),
        ("flags", "articles", first.articles, first.flags),
    ):
        if counts:
            is_complete = first.counted and first.total_rows == first.rows
            scope = "" if is_complete else f" (of {total:,} {unit} inspected)"
            console.print(f"  {title}{scope}")
            console.print(_pairs((f"{count:>9,}", name) for name, count in counts.items()))
    for number, row in enumerate(first.samples, start=1):
        console.print(_text(f"sample article {number}", style="bold"))
        console.print(_pairs(_article(row).items()))
    console.print()


def _text(text: str, style: str = "") -> Text:
    """Return text without control characters, in which rich interprets no markup."""
    return Text(printable(text), style)


def _indented(text: str) -> Padding:
    return Padding(_text(text), (0, 0, 0, 2))


def _pairs(pairs: Iterable[tuple[str, str]]) -> Padding:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in pairs:
        table.add_row(label, _text(value))
    return Padding(table, (0, 0, 0, 2), expand=False)


def _facts(inspection: Inspection) -> dict[str, str]:
    size = inspection.size
    compression = f", {size.compression}" if size.compression else ""
    facts = {"format": f"{inspection.format}{compression}", **inspection.facts}
    facts = {name.replace("_", " "): _visible(value) for name, value in facts.items()}
    if size.stored is not None:
        facts["size"] = decimal(size.stored)
        if compression and size.unpacked is not None:
            facts["size"] += f", uncompressed {decimal(size.unpacked)}"
    facts["rows"] = _rows(inspection)
    if inspection.tokens is not None and inspection.articles:
        facts["tokens"] = f"about {inspection.tokens:,} in all bodies"
    if inspection.day_first is not None:
        facts["date order"] = "day first" if inspection.day_first else "month first"
    return facts


def _rows(inspection: Inspection) -> str:
    result = f"{inspection.articles:,} articles"
    if rejected := sum(inspection.rejects.values()):
        result += f", {rejected:,} rejected"
    if not (inspection.counted and inspection.total_rows == inspection.rows):
        result = f"{inspection.rows:,} inspected: {result}"
    if inspection.total_rows is None:
        return result
    return f"{'' if inspection.counted else 'about '}{inspection.total_rows:,} ({result})"


def _visible(value: str) -> str:
    names = {"\t": "tab", " ": "space"}
    return names.get(value, value if value.isprintable() else repr(value))


def _columns_table(columns: Sequence[InspectedColumn]) -> Table:
    shown = columns[:_MAX_COLUMNS]
    names = [column.name for column in shown]
    targets = [", ".join(column.taken_for) or "-" for column in shown]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("column", overflow="fold", width=_width(names, 6, 22))
    table.add_column("type", no_wrap=True)
    table.add_column("filled", justify="right", no_wrap=True)
    table.add_column("loaded as", overflow="fold", width=_width(targets, 9, 17))
    # The only column that rich may narrow; its cells are truncated, not wrapped.
    table.add_column("example")
    for column, target in zip(shown, targets, strict=True):
        example = _text(column.example)
        example.no_wrap, example.overflow = True, "ellipsis"
        table.add_row(_text(column.name), column.type, _percentage(column.filled), target, example)
    if len(columns) > len(shown):
        table.add_row(_text(f"{len(columns) - len(shown):,} more"))
    return table


def _width(cells: Sequence[str], minimum: int, maximum: int) -> int:
    return max(minimum, min(max(map(cell_len, cells)), maximum))


def _percentage(share: float) -> str:
    """Return a percentage that is not rounded to 0% or 100%."""
    return f"{min(max(share, 0.01), 0.99):.0%}" if 0 < share < 1 else f"{share:.0%}"


def _reasons(columns: Sequence[InspectedColumn]) -> list[str]:
    """Return the reasons of the column mapping, and why other columns are not what they seem."""
    return [
        *(
            f"{', '.join(each.taken_for)} from {each.name}: {each.why}"
            for each in columns
            if each.taken_for
        ),
        *(
            f"{each.name} is kept in extra: {each.why}"
            for each in columns
            if each.why and not each.taken_for
        ),
    ]


def _article(row: Mapping[str, Any]) -> dict[str, str]:
    shown = {name: str(row[name]) for name in _SAMPLE_COLUMNS if name in row}
    for name in ("body", "reference_summary"):
        if name in row:
            shown[name] = " ".join(row[name].split())
    if row.get("flags"):
        shown["flags"] = ", ".join(row["flags"])
    return {name.replace("_", " "): value for name, value in shown.items()}


def _totals(groups: Sequence[SourceGroup]) -> str:
    files = sum(1 + group.others for group in groups)
    rows = [group.rows for group in groups if group.rows is not None]
    tokens = sum(group.tokens or 0 for group in groups)
    at_least = "" if len(rows) == len(groups) else "at least "
    return f"total: {files:,} files, {at_least}about {sum(rows):,} rows and {tokens:,} tokens"
