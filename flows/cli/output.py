"""The output of commands that run a flow: Markdown, or one line of JSON."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import orjson
from rich.console import Console
from rich.markdown import Markdown

from article_flows.flows.cli.exit_status import (
    ARTICLES_FAILED,
    BUDGET_SPENT,
    RUN_FAILED,
    SUCCESS,
    status_of_signal,
)
from article_flows.tasks.common.text_safety import format_duration
from article_flows.tasks.ingest.report import IngestReport
from article_flows.tasks.reports.ingest_markdown import ingest_markdown
from article_flows.tasks.reports.run_json import run_as_json
from article_flows.tasks.reports.summarize_markdown import format_usd, summarize_markdown
from article_flows.tasks.summarize.report import SummarizeReport


def show_run(
    ingest: IngestReport | None,
    summarize: SummarizeReport,
    seconds: float,
    stopped: str | None,
    *,
    as_json: bool,
) -> int:
    """Print the report of a run of one or both flows, and return its exit status."""
    stopped = stopped or summarize.stopped
    if as_json:
        _print_json(run_as_json(ingest, summarize, seconds))
    elif summarize.answered or summarize.interrupted_by or not stopped:
        ingest_report = ingest_markdown(ingest) + "\n" if ingest else ""
        if stopped:
            # Sample answers would push the counts out of sight.
            summarize = replace(summarize, samples=[])
        _print_markdown(ingest_report + summarize_markdown(summarize))
    if stopped:
        print(f"article-flows: {stopped}", file=sys.stderr)
        if summarize.interrupted_by:
            return status_of_signal(summarize.interrupted_by)
        return BUDGET_SPENT if summarize.budget_spent else RUN_FAILED
    broken = ingest.broken if ingest else []
    return ARTICLES_FAILED if summarize.failures_total or broken else SUCCESS


def show_ingest(report: IngestReport, *, as_json: bool) -> int:
    """Print the report of an ingest run, and return its exit status."""
    if as_json:
        _print_json(report.as_json())
    else:
        _print_markdown(ingest_markdown(report))
    return ARTICLES_FAILED if report.broken else SUCCESS


def show_estimate(estimate: dict[str, Any], *, as_json: bool) -> int:
    """Print the estimate of a dry run, and return the exit status."""
    status = ARTICLES_FAILED if estimate["not_read"] else SUCCESS
    if as_json:
        _print_json({"dry_run": True, **estimate})
        return status
    facts = {
        "articles": f"{estimate['articles']:,}",
        "reused": f"{estimate['reused']:,} already answered, or with the text of another article",
        "calls": f"{estimate['calls']:,}",
        "tokens": f"about {estimate['prompt_tokens']:,} prompt, "
        f"at most {estimate['completion_tokens']:,} completion",
        "cost": _cost(estimate),
    }
    if estimate["quota_minutes"] is not None:
        facts["time"] = f"at most {format_duration(60 * estimate['quota_minutes'])} at this quota"
    if estimate["rows_in"]:
        facts["source rows"] = (
            f"{estimate['rows_in']:,} read, {estimate['duplicates']:,} duplicates, "
            f"{estimate['rejected']:,} rejected"
        )
    print(f"{estimate['recipe']} by {estimate['endpoint']}")
    for name, value in facts.items():
        print(f"  {name:11}  {value}")
    for error in estimate["not_read"]:
        print(f"  not read     {error}")
    print("Dry run: no calls were made and nothing was stored.")
    return status


def _cost(estimate: dict[str, Any]) -> str:
    budget, cost = estimate["budget_usd"], estimate["cost_usd"]
    if cost is None:
        return format_usd(None)
    shown = f"at most about {format_usd(cost)}, without retries"
    if not budget:
        return shown
    verdict = "is sufficient" if budget >= cost else "may be spent before the run is complete"
    return f"{shown}; the budget of {format_usd(budget)} {verdict}"


def _print_json(document: dict[str, Any]) -> None:
    print(orjson.dumps(document).decode(), flush=True)


def _print_markdown(text: str) -> None:
    Console().print(Markdown(text))
