"""The read-only commands for a lake: `article-flows status` and `article-flows verify`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson
from rich.filesize import decimal

from article_flows.flows.cli.exit_status import RUN_FAILED, SUCCESS
from article_flows.tasks.checks.status import LakeStatus, TableStatus, lake_status
from article_flows.tasks.checks.verify import Verification, verify_lake
from article_flows.tasks.enriched.current import current_table
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.reports.summarize_markdown import counted, format_usd


def status(lake: str, *, as_json: bool) -> int:
    """Print the contents of a lake; return exit status 1 if a table cannot be read."""
    found = lake_status(Lake(lake))
    if as_json:
        print(orjson.dumps(_status_json(found)).decode())
    else:
        print("\n".join(_status_lines(found)))
    for problem in found.not_read:
        print(f"article-flows: {problem}", file=sys.stderr)
    return RUN_FAILED if found.not_read else SUCCESS


def verify(lake: str, *, as_json: bool) -> int:
    """Check the integrity of a lake; return exit status 1 if there are problems."""
    result = verify_lake(Lake(lake))
    if as_json:
        print(orjson.dumps({"well": result.passed, **asdict(result)}).decode())
    else:
        _print_verification(result)
    return SUCCESS if result.passed else RUN_FAILED


def table(recipe: str, lake: str) -> int:
    """Print where the current table of a recipe is."""
    print(current_table(lake, recipe))
    return SUCCESS


def _print_verification(result: Verification) -> None:
    for line in result.problems:
        print(f"problem: {line}")
    for line in result.notes:
        print(f"note: {line}")
    found = "no problems" if result.passed else counted(len(result.problems), "problem")
    print(
        f"{found}: checked {counted(result.articles, 'article')}, "
        f"{counted(result.answers, 'answer')}, {counted(result.parts, 'part')}"
    )


def _status_json(found: LakeStatus) -> dict[str, Any]:
    document = asdict(found)
    for table, table_json in zip(found.tables, document["tables"], strict=True):
        table_json |= {
            "asked_again": dict(table.asked_again),
            "failed_for_good": dict(table.failed_for_good),
            "failed": table.failed,
        }
    return document


def _status_lines(found: LakeStatus) -> list[str]:
    lines = [
        f"{found.lake}: {counted(found.articles, 'article')} in "
        f"{counted(found.parts, 'part')} ({decimal(found.size)}), "
        f"{found.superseded:,} superseded, {found.rejects:,} rejected"
    ]
    if found.loading:
        lines.append(f"being loaded by {found.loading}")
    if not found.tables and not found.not_read:
        lines.append("no enriched tables yet")
    for table in found.tables:
        lines += ["", *_table_lines(table)]
    return lines


def _table_lines(table: TableStatus) -> list[str]:
    newest = " (newest table of this recipe)" if table.newest else ""
    facts = _facts(table)
    width = max(map(len, facts))
    return [
        f"{table.recipe} by {table.model}{newest}",
        *(f"  {name:{width}}  {value}" for name, value in facts.items()),
    ]


def _facts(table: TableStatus) -> dict[str, str]:
    facts = {"answered": f"{table.answered:,}"}
    if table.outdated:
        facts["outdated"] = (
            f"{counted(table.outdated, 'answer')} to articles that were changed or removed"
        )
    if table.failed:
        retried = _by_class(table.asked_again, "retried by the next run")
        permanent = _by_class(table.failed_for_good, "retried only with --retry-failed")
        facts["failed"] = "; ".join(filter(None, (retried, permanent)))
    facts["remaining"] = f"{table.left:,}"
    if table.waiting:
        owner = (
            "the current run"
            if table.held_by
            else "a killed run, not included in the cost; run again to recover them"
        )
        facts["in journals"] = f"{counted(table.waiting, 'answer')} of {owner}"
    unpriced = f", and {counted(table.unpriced, 'row')} without a price" if table.unpriced else ""
    facts["cost so far"] = f"{format_usd(table.cost_usd)}{unpriced}"
    if table.last_answered_at:
        facts["last answer"] = f"{table.last_answered_at:%Y-%m-%d %H:%M:%S} UTC"
    facts["parts"] = f"{table.parts:,} ({decimal(table.size)})"
    if table.held_by:
        facts["locked by"] = table.held_by
    facts["table"] = table.table
    return facts


def _by_class(counts: Mapping[str, int], description: str) -> str:
    if not counts:
        return ""
    classes = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    return f"{sum(counts.values()):,} {description} ({classes})"
