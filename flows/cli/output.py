"""What the commands print: Markdown for people, or one line of JSON for programs."""

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
from article_flows.tasks.common.text_safety import clock
from article_flows.tasks.ingest.report import IngestReport
from article_flows.tasks.reports.ingest_markdown import ingest_markdown
from article_flows.tasks.reports.markdown import dollars, summarize_markdown
from article_flows.tasks.reports.run_json import run_as_json
from article_flows.tasks.summarize.report import SummarizeReport


def show_run(
    ingest: IngestReport | None,
    summarize: SummarizeReport,
    seconds: float,
    stopped: str | None,
    *,
    as_json: bool,
) -> int:
    """Report a run of one or both flows, and say its exit status."""
    stopped = stopped or summarize.stopped
    if as_json:
        _print_json(run_as_json(ingest, summarize, seconds))
    elif summarize.answered or summarize.interrupted_by or not stopped:
        loaded = ingest_markdown(ingest) + "\n" if ingest else ""
        if stopped:
            # What was done is the news now.
            summarize = replace(summarize, samples=[])
        _print_markdown(loaded + summarize_markdown(summarize))
    if stopped:
        print(f"article-flows: {stopped}", file=sys.stderr)
        if summarize.interrupted_by:
            return status_of_signal(summarize.interrupted_by)
        return BUDGET_SPENT if summarize.budget_spent else RUN_FAILED
    broken = ingest.broken if ingest else []
    return ARTICLES_FAILED if summarize.failures_total or broken else SUCCESS


def show_ingest(report: IngestReport, *, as_json: bool) -> int:
    """Report a load, and say its exit status."""
    if as_json:
        _print_json(report.as_json())
    else:
        _print_markdown(ingest_markdown(report))
    return ARTICLES_FAILED if report.broken else SUCCESS


def show_estimate(estimate: dict[str, Any], *, as_json: bool) -> int:
    """Say what a run would take; the status is that of a run that could not read a source."""
    status = ARTICLES_FAILED if estimate["not_read"] else SUCCESS
    if as_json:
        _print_json({"dry_run": True, **estimate})
        return status
    print(
        f"{estimate['recipe']} by {estimate['endpoint']}: {estimate['articles']:,} articles, "
        f"{estimate['reused']:,} of them answered already or sharing a text\n"
        f"calls       {estimate['calls']:,}\n"
        f"tokens in   about {estimate['prompt_tokens']:,}\n"
        f"tokens out  at most {estimate['completion_tokens']:,}\n"
        f"cost        at most about {dollars(estimate['cost_usd'])}, without retries"
        f"{_budget_words(estimate)}\n"
        f"{_quota_words(estimate)}"
        f"rows        {estimate['rows_in']:,} read, {estimate['duplicates']:,} of them duplicates, "
        f"{estimate['rejected']:,} rejected\n"
        + "".join(f"not read    {error}\n" for error in estimate["not_read"])
        + "No call was made and nothing was stored."
    )
    return status


def _budget_words(estimate: dict[str, Any]) -> str:
    budget, cost = estimate["budget_usd"], estimate["cost_usd"]
    if not budget or cost is None:
        return ""
    enough = "is enough" if budget >= cost else "may end the run before its end"
    return f"; the budget of {dollars(budget)} {enough}"


def _quota_words(estimate: dict[str, Any]) -> str:
    minutes = estimate["quota_minutes"]
    return "" if minutes is None else f"time        {clock(60 * minutes)} or less at this quota\n"


def _print_json(document: dict[str, Any]) -> None:
    print(orjson.dumps(document).decode(), flush=True)


def _print_markdown(text: str) -> None:
    Console().print(Markdown(text))
