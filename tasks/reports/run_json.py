"""The result of a run as JSON, for `--json`."""

from __future__ import annotations

from typing import Any

from article_flows.tasks.ingest.report import IngestReport
from article_flows.tasks.summarize.report import SummarizeReport


def run_as_json(
    ingest: IngestReport | None, summarize: SummarizeReport, seconds: float
) -> dict[str, Any]:
    """Return the document that `--json` prints; `seconds` is the duration of the whole run."""
    return {
        **(ingest or IngestReport.nothing()).counts(),
        "articles": summarize.articles,
        "answered": summarize.answered,
        "reused": summarize.reused,
        "failed": summarize.failures_total,
        "left": summarize.left,
        "calls": summarize.calls,
        "attempts": summarize.attempts,
        "hedges": summarize.hedges,
        "prompt_tokens": summarize.usage.prompt,
        "cached_tokens": summarize.usage.cached,
        "completion_tokens": summarize.usage.completion,
        "cost_usd": None if summarize.cost_usd is None else round(summarize.cost_usd, 9),
        "seconds": round(seconds, 3),
        "asking_seconds": round(summarize.asking_seconds, 4),
        "articles_per_second": round(summarize.articles_per_second, 2),
        "failed_by_class": summarize.failed,
        "failed_requests": summarize.errors,
        "recipe": summarize.recipe,
        "model": summarize.model,
        "table": summarize.table,
        "failures": summarize.failures,
        "rejects": ingest.rejects if ingest else None,
        "not_read": [source.error for source in ingest.broken] if ingest else [],
        **(ingest or IngestReport.nothing()).skipped_json,
        "stopped": summarize.stopped,
    }
