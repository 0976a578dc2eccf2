"""What `article-flows inspect` shows to people: tables that fit a terminal, in bounds."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from article_flows.tasks.checks.inspection import ColumnSeen, Inspection
from article_flows.tasks.checks.source_groups import Group
from article_flows.tasks.common.text_safety import printable
from article_flows.tasks.reading.sources.find import Sources

_MOST_GROUPS = 10
_MOST_COLUMNS = 40
_MOST_LINES = 10
"""Of files that are passed over, and of problems."""
_NAMES = 3
_WHOLE = ("title", "author", "published_at", "language", "category", "url", "article_id")


def show(groups: Sequence[Group], sources: Sources, advice: str) -> None:
    """Print what was found on standard output, and what is wrong on standard error.

    `advice` is what to do next; it is not wrapped, as there is a command in it to be copied.
    """
    console = Console(highlight=False)
    largest = sorted(groups, key=lambda group: group.more, reverse=True)
    for group in largest[:_MOST_GROUPS]:
        _show_group(console, group)
    if others := largest[_MOST_GROUPS:]:
        files = sum(group.more + 1 for group in others)
        console.print(f"and {len(others):,} more kinds of files, {files:,} files in all\n")
    skipped = [f"passed over: {each.name}: {each.reason}" for each in sources.skipped]
    for line in _first(skipped, "passed over: and {} more"):
        console.print(_text(line))
    if len(sources) > 1:
        console.print(_in_all(groups))
    if advice:
        console.print(f"\n{escape(advice)}", soft_wrap=True)
    problems = [each.reason for each in sources.broken]
    problems += [group.problem for group in groups if group.problem]
    for line in _first(problems, "and {} more such lines; all are in --json"):
        print(f"article-flows: {printable(line)}", file=sys.stderr)


def _first(lines: Sequence[str], more: str) -> list[str]:
    """The first lines, and how many more there are."""
    left = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([more.format(f"{left:,}")] if left > 0 else [])]


def _show_group(console: Console, group: Group) -> None:
    seen = group.first
    console.print(_text(seen.name, style="bold"))
    if group.more:
        also = "1 more file" if group.more == 1 else f"{group.more:,} more files"
        looked = f"{len(group.looked):,} of {group.more + 1:,} were looked at"
        console.print(f"  and {also} like it ({looked}):")
        for name in group.names[1 : _NAMES + 1]:
            console.print(_indented(name))
        if group.more > _NAMES:
            console.print(f"  and {group.more - _NAMES:,} more")
    console.print(_pairs(_facts(seen)))
    if seen.columns:
        console.print(_columns_table(seen.columns))
        for line in _reasons(seen.columns):
            console.print(_indented(line))
    for title, of, counts in (
        ("would be rejected", seen.rows, seen.rejects),
        ("noticed", seen.articles, seen.flags),
    ):
        if counts:
            is_all = seen.counted and seen.total_rows == seen.rows
            console.print(f"  {title}{'' if is_all else f' of {of:,} looked at'}")
            console.print(_pairs({f"{count:>9,}": name for name, count in counts.items()}))
    for number, row in enumerate(seen.samples, start=1):
        console.print(_text(f"as it would be stored ({number})", style="bold"))
        console.print(_pairs(_article(row)))
    console.print()


def _text(shown: str, style: str = "") -> Text:
    """Text that neither rich's markup nor a terminal's control characters have a say in."""
    return Text(printable(shown), style)


def _indented(shown: str) -> Padding:
    return Padding(_text(shown), (0, 0, 0, 2))


def _pairs(facts: Mapping[str, str]) -> Padding:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, _text(value))
    return Padding(table, (0, 0, 0, 2), expand=False)


def _facts(seen: Inspection) -> dict[str, str]:
    packed = f", {seen.size.compression}" if seen.size.compression else ""
    facts = {"format": f"{seen.format}{packed}", **seen.facts}
    facts = {name.replace("_", " "): _visible(value) for name, value in facts.items()}
    if seen.size.stored is not None:
        unpacked = seen.size.unpacked
        more = f", unpacked {decimal(unpacked)}" if packed and unpacked is not None else ""
        facts["size"] = f"{decimal(seen.size.stored)}{more}"
    facts["rows"] = _rows(seen)
    if seen.tokens is not None and seen.articles:
        facts["tokens"] = f"about {seen.tokens:,} in all bodies"
    if seen.day_first is not None:
        facts["dates"] = "the day comes first" if seen.day_first else "the month comes first"
    return facts


def _rows(seen: Inspection) -> str:
    looked = f"{seen.articles:,} of them articles"
    if not (seen.counted and seen.total_rows == seen.rows):
        looked = f"{seen.rows:,} looked at, {looked}"
    if rejected := sum(seen.rejects.values()):
        looked += f", {rejected:,} rejected"
    if seen.total_rows is None:
        return looked
    return f"{'' if seen.counted else 'about '}{seen.total_rows:,} ({looked})"


def _visible(value: str) -> str:
    names = {"\t": "tab", " ": "space"}
    return names.get(value, value if value.isprintable() else repr(value))


def _columns_table(columns: Sequence[ColumnSeen]) -> Table:
    shown = columns[:_MOST_COLUMNS]
    names = [each.name for each in shown]
    targets = [", ".join(each.taken_for) or "-" for each in shown]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("column", overflow="fold", width=_width(names, 6, 22))
    table.add_column("type", no_wrap=True)
    table.add_column("filled", justify="right", no_wrap=True)
    table.add_column("taken for", overflow="fold", width=_width(targets, 9, 17))
    # The only column that rich makes narrower; its cells are cut, not wrapped.
    table.add_column("example")
    for each, target in zip(shown, targets, strict=True):
        example = _text(each.example)
        example.no_wrap, example.overflow = True, "ellipsis"
        table.add_row(_text(each.name), each.type, _share(each.filled), target, example)
    if len(columns) > len(shown):
        table.add_row(_text(f"{len(columns) - len(shown):,} more"))
    return table


def _width(cells: Sequence[str], least: int, most: int) -> int:
    return max(least, min(max(map(cell_len, cells)), most))


def _share(share: float) -> str:
    """A percentage that is 0% and 100% only where it is so."""
    return f"{min(max(share, 0.01), 0.99):.0%}" if 0 < share < 1 else f"{share:.0%}"


def _reasons(columns: Sequence[ColumnSeen]) -> list[str]:
    """Why each column is taken for what it is, and why others are not what their names say."""
    return [
        *(f"{', '.join(e.taken_for)} from {e.name}: {e.why}" for e in columns if e.taken_for),
        *(f"{e.name} is kept in extra: {e.why}" for e in columns if e.why and not e.taken_for),
    ]


def _article(row: Mapping[str, Any]) -> dict[str, str]:
    shown = {name: str(row[name]) for name in _WHOLE if name in row}
    for name in ("body", "reference_summary"):
        if name in row:
            shown[name] = " ".join(row[name].split())
    if row.get("flags"):
        shown["flags"] = ", ".join(row["flags"])
    return {name.replace("_", " "): value for name, value in shown.items()}


def _in_all(groups: Sequence[Group]) -> str:
    files = sum(1 + group.more for group in groups)
    rows = [group.rows for group in groups if group.rows is not None]
    tokens = sum(group.tokens or 0 for group in groups)
    at_least = "" if len(rows) == len(groups) else "at least "
    return (
        f"in all {files:,} files, {at_least}about {sum(rows):,} rows "
        f"and {tokens:,} tokens in their bodies"
    )
