"""What `article-flows inspect` shows to people: tables that fit a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tasks.inspection import Inspection
from tasks.inspection_columns import ColumnSeen
from tasks.printable import printable

if TYPE_CHECKING:
    from flows.cli_sources import Group

_MOST_COLUMNS = 40
_MOST_SKIPPED = 5
_UNITS = ("bytes", "KB", "MB", "GB", "TB")
_WHOLE = ("title", "author", "published_at", "language", "category", "url", "article_id")


class Commands(NamedTuple):
    """What a user can do next; empty: not that.

    Attributes:
        load: loads what was looked at.
        again: looks again, with an option that was missing.
    """

    load: str
    again: str = ""


def show(
    groups: Sequence[Group], broken: list[str], skipped: list[str], commands: Commands
) -> None:
    """Print what was found on standard output, and what is wrong on standard error."""
    console = Console(highlight=False)
    for group in groups:
        _show_group(console, group)
    for line in skipped[:_MOST_SKIPPED]:
        console.print(_text(f"passed over: {line}"))
    if len(skipped) > _MOST_SKIPPED:
        console.print(f"passed over: {len(skipped) - _MOST_SKIPPED:,} more")
    if sum(1 + group.more for group in groups) > 1:
        console.print(_in_all(groups))
    # Not wrapped: they are to be copied.
    if commands.again:
        console.print(f"\nlook again with\n  {escape(commands.again)}", soft_wrap=True)
    elif commands.load and not (broken or any(group.first.error for group in groups)):
        console.print(f"\nload it with\n  {escape(commands.load)}", soft_wrap=True)
    for line in [*broken, *(group.problem for group in groups if group.problem)]:
        print(f"article-flows: {printable(line)}", file=sys.stderr)


def _show_group(console: Console, group: Group) -> None:
    seen = group.first
    console.print(_text(seen.name, style="bold"))
    if group.more:
        also = "1 more file" if group.more == 1 else f"{group.more:,} more files"
        looked = f"{group.looked_at:,} of {group.more + 1:,} were looked at"
        console.print(f"  and {also} like it ({looked})")
    console.print(_pairs(_facts(seen)))
    if seen.columns:
        console.print(_columns_table(seen.columns, console.width))
        console.print(_reasons(seen.columns))
    if seen.rejects:
        console.print(_counts(f"would be rejected{_of(seen, seen.rows)}", seen.rejects))
    if seen.flags:
        console.print(_counts(f"noticed{_of(seen, seen.articles)}", seen.flags))
    for number, row in enumerate(seen.samples, start=1):
        console.print(_text(f"as it would be stored ({number})", style="bold"))
        console.print(_pairs(_article(row)))
    console.print()


def _of(seen: Inspection, count: int) -> str:
    """Say of how many something was counted, if not of all."""
    is_all = seen.counted and seen.total_rows == seen.rows
    return "" if is_all else f" of {count:,} looked at"


def _text(shown: str, style: str = "", indent: str = "") -> Text:
    """Text that neither rich's markup nor a terminal's control characters have a say in."""
    return Text(f"{indent}{printable(shown)}", style)


def _pairs(facts: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(f"  {name}", _text(value))
    return table


def _facts(seen: Inspection) -> dict[str, str]:
    packed = f", {seen.size.compression}" if seen.size.compression else ""
    facts = {"format": f"{seen.format}{packed}", **seen.facts}
    facts = {name.replace("_", " "): _visible(value) for name, value in facts.items()}
    if seen.size.stored is not None:
        unpacked = seen.size.unpacked
        more = f", unpacked {_size(unpacked)}" if packed and unpacked is not None else ""
        facts["size"] = f"{_size(seen.size.stored)}{more}"
    facts["rows"] = _rows(seen)
    if seen.tokens is not None and seen.articles:
        facts["tokens"] = f"about {seen.tokens:,} in all bodies"
    if seen.day_first is not None:
        facts["dates"] = "the day comes first" if seen.day_first else "the month comes first"
    return facts


def _rows(seen: Inspection) -> str:
    if seen.counted and seen.total_rows == seen.rows:
        looked = f"{seen.articles:,} of them articles"
    else:
        looked = f"{seen.rows:,} looked at, {seen.articles:,} of them articles"
    if rejected := sum(seen.rejects.values()):
        looked += f", {rejected:,} rejected"
    if seen.total_rows is None:
        return looked
    return f"{'' if seen.counted else 'about '}{seen.total_rows:,} ({looked})"


def _visible(value: str) -> str:
    names = {"\t": "tab", " ": "space"}
    return names.get(value, value if value.isprintable() else repr(value))


def _columns_table(columns: Sequence[ColumnSeen], width: int) -> Table:
    shown = columns[:_MOST_COLUMNS]
    names = max(_width(each.name, 22) for each in shown)
    targets = max(_width(", ".join(each.taken_for), 17) for each in shown)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("column", overflow="fold", width=max(names, 6))
    table.add_column("type", no_wrap=True)
    table.add_column("filled", justify="right", no_wrap=True)
    table.add_column("taken for", overflow="fold", width=max(targets, 9))
    table.add_column("example", no_wrap=True)
    # What is left beside the others and the space around them; rich would shrink those instead.
    left = max(width - max(names, 6) - max(targets, 9) - 6 - 6 - 14, 8)
    for each in shown:
        example = _text(each.example)
        example.truncate(left, overflow="ellipsis")
        taken = ", ".join(each.taken_for) or "-"
        table.add_row(_text(each.name), each.type, _share(each.filled), taken, example)
    if len(columns) > len(shown):
        table.add_row(_text(f"{len(columns) - len(shown):,} more"))
    return table


def _width(text: str, most: int) -> int:
    return min(cell_len(text), most)


def _share(share: float) -> str:
    """A percentage that is 0% and 100% only where it is so."""
    return f"{min(max(share, 0.01), 0.99):.0%}" if 0 < share < 1 else f"{share:.0%}"


def _reasons(columns: Sequence[ColumnSeen]) -> Table:
    """Why each column is taken for what it is, and why others are not what their names say."""
    table = Table.grid()
    table.add_column(overflow="fold")
    taken = [each for each in columns if each.taken_for]
    for each in (*taken, *(each for each in columns if each.why and not each.taken_for)):
        target = ", ".join(each.taken_for)
        what = f"{target} from {each.name}" if target else f"{each.name} is kept in extra"
        table.add_row(_text(f"{what}: {each.why}", indent="  "))
    return table


def _counts(title: str, counts: Mapping[str, int]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for number, (name, count) in enumerate(counts.items()):
        table.add_row("" if number else f"  {title}", f"{count:,}", _text(name))
    return table


def _article(row: Mapping[str, Any]) -> dict[str, str]:
    shown = {name: str(row[name]) for name in _WHOLE if name in row}
    for name in ("body", "reference_summary"):
        if name in row:
            shown[name.replace("_", " ")] = " ".join(row[name].split())
    if row.get("flags"):
        shown["flags"] = ", ".join(row["flags"])
    return {name.replace("_", " "): value for name, value in shown.items()}


def _in_all(groups: Sequence[Group]) -> str:
    files = sum(1 + group.more for group in groups)
    rows = [group.rows for group in groups if group.rows is not None]
    tokens = [group.tokens for group in groups if group.tokens is not None]
    at_least = "" if len(rows) == len(groups) else "at least "
    return (
        f"in all {files:,} files, {at_least}about {sum(rows):,} rows "
        f"and {sum(tokens):,} tokens in their bodies"
    )


def _size(size: float) -> str:
    unit = 0
    while size >= 1_000 and unit < len(_UNITS) - 1:
        size, unit = size / 1_000, unit + 1
    return f"{size:,.1f} {_UNITS[unit]}" if unit else f"{size:,.0f} {_UNITS[0]}"
