"""The commands that only look at a lake: what it holds, and whether all that must hold does."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson
from rich.filesize import decimal

from article_flows.flows.cli.exit_status import RUN_FAILED, SUCCESS
from article_flows.tasks.checks.status import LakeStatus, TableStatus, lake_status
from article_flows.tasks.checks.verify import Verified, verify_lake
from article_flows.tasks.lake.lake import Lake


def status(lake: str, *, as_json: bool) -> int:
    """Say what a lake holds; the exit status is 1 where a table cannot be told."""
    found = lake_status(Lake(lake))
    if as_json:
        print(orjson.dumps(_status_json(found)).decode())
    else:
        print("\n".join(_status_lines(found)))
    for problem in found.not_read:
        print(f"article-flows: {problem}", file=sys.stderr)
    return RUN_FAILED if found.not_read else SUCCESS


def verify(lake: str, *, as_json: bool) -> int:
    """Check what must hold of a lake; the status is 1 where something does not."""
    found = verify_lake(Lake(lake))
    if as_json:
        print(orjson.dumps({"well": found.well, **asdict(found)}).decode())
    else:
        _print_verified(found)
    return SUCCESS if found.well else RUN_FAILED


def _print_verified(found: Verified) -> None:
    for line in found.problems:
        print(f"problem: {line}")
    for line in found.notes:
        print(f"note: {line}")
    checked = (
        f"{_counted(found.articles, 'article')}, {_counted(found.answers, 'answer')}, "
        f"{_counted(found.parts, 'part')} checked"
    )
    if found.well:
        print(f"all is well: {checked}")
    else:
        print(f"{_counted(len(found.problems), 'problem')}: {checked}")


def _status_json(found: LakeStatus) -> dict[str, Any]:
    document = asdict(found)
    for table, plain in zip(found.tables, document["tables"], strict=True):
        plain |= {
            "asked_again": dict(table.asked_again),
            "failed_for_good": dict(table.failed_for_good),
            "failed": table.failed,
        }
    return document


def _status_lines(found: LakeStatus) -> list[str]:
    lines = [
        f"{found.lake}: {_counted(found.articles, 'article')} in "
        f"{_counted(found.parts, 'part')} ({decimal(found.size)}), "
        f"{found.superseded:,} superseded, {found.rejects:,} rejected"
    ]
    if found.loading:
        lines.append(f"being loaded now: {found.loading}")
    if not found.tables and not found.not_read:
        lines.append("no article was asked about yet")
    for table in found.tables:
        lines += ["", *_table_lines(table)]
    return lines


def _table_lines(table: TableStatus) -> list[str]:
    newest = ", the newest answers of the recipe" if table.newest else ""
    facts = _facts(table)
    width = max(map(len, facts))
    return [
        f"{table.recipe} by {table.model}{newest}",
        *(f"  {name:{width}}  {value}" for name, value in facts.items()),
    ]


def _facts(table: TableStatus) -> dict[str, str]:
    outdated = (
        f", and {table.outdated:,} to articles that changed or went" if table.outdated else ""
    )
    facts = {"answered": f"{table.answered:,}{outdated}"}
    if table.failed:
        again = _classes(table.asked_again, "asked again by the next run")
        for_good = _classes(table.failed_for_good, "asked again only with --retry-failed")
        facts["failed"] = "; ".join(filter(None, (again, for_good)))
    facts["left to do"] = f"{table.left:,}"
    if table.waiting:
        whose = (
            "the run under way"
            if table.held_by
            else "a killed run, not yet in what was paid; run again to take them in"
        )
        facts["in journals"] = f"{_counted(table.waiting, 'answer')} of {whose}"
    unpriced = f", and {table.unpriced:,} rows without a price" if table.unpriced else ""
    facts["paid so far"] = f"${table.cost_usd:,.4f}{unpriced}"
    if table.last_answered_at:
        facts["last answer"] = f"{table.last_answered_at:%Y-%m-%d %H:%M:%S} UTC"
    facts["parts"] = f"{table.parts:,} ({decimal(table.size)})"
    if table.held_by:
        facts["being written"] = table.held_by
    facts["table"] = table.table
    return facts


def _classes(counts: Mapping[str, int], what: str) -> str:
    if not counts:
        return ""
    named = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    return f"{sum(counts.values()):,} {what} ({named})"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
