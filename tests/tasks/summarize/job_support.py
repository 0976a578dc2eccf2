"""Helpers for tests of summarize jobs: small lakes, endpoints, and runs without Prefect."""

import asyncio
import atexit
import json
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.dataset as ds

from article_flows.tasks.cleaning.filters.rules import Rules
from article_flows.tasks.enriched.outcomes import Outcome
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.enriched.upkeep import maintain_table
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_source
from article_flows.tasks.ingest.options import LoadOptions
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.llm.protocol.results import Totals
from article_flows.tasks.mock_endpoint.faults import Faults
from article_flows.tasks.mock_endpoint.process import running_mock_endpoint
from article_flows.tasks.reading.sources.find import find_sources
from article_flows.tasks.settings import SummarizeSettings
from article_flows.tasks.summarize.batches import Batch
from article_flows.tasks.summarize.copies import copy_outcomes
from article_flows.tasks.summarize.job import Job, OutcomeCounts
from article_flows.tasks.summarize.open_job import open_job
from article_flows.tasks.summarize.planner import Plan, Planner
from benchmarks.servers.endpoints import MockEndpoint

POISON = "unspeakable"
"""A word that `endpoint()` always rejects, with the error class content_filter."""
MODEL = "extractive-v1"


@dataclass(frozen=True)
class RunResult:
    """A run's plan, its outcome counts, its calls, and the failures after it."""

    plan: "WholePlan"
    counts: OutcomeCounts
    totals: Totals
    failures: pa.Table


@cache
def _running(faults: Faults) -> MockEndpoint:
    endpoint = MockEndpoint(faults).start()
    atexit.register(endpoint.stop)
    return endpoint


def endpoint(**faults: Any) -> MockEndpoint:
    """Return an endpoint with these faults and reset counters; each is started once per process."""
    server = _running(Faults(**{"poison": POISON, **faults}))
    server.reset_stats()
    return server


def summarize_settings(lake: Lake, base_url: str, **options: Any) -> SummarizeSettings:
    """Return settings for a run against an endpoint."""
    values = {"lake": str(lake), "wait_s": 0.0, "base_url": base_url, "model": MODEL, **options}
    return SummarizeSettings(**values)


def article(article_id: str, body: str | None = None, **columns: Any) -> dict[str, Any]:
    """Return a source row, with a unique text unless a body is given."""
    text = f"The story of {article_id} is short. It ends in the second sentence."
    return {"id": article_id, "title": None, "body": body or text, **columns}


AS_GIVEN = LoadOptions(rules=Rules(detect_language=False))
"""Loads articles without detecting their language."""


def fill(lake: Lake, rows: Sequence[dict[str, Any]]) -> None:
    """Ingest rows from a JSON Lines file beside the lake."""
    at(lake).parent.mkdir(parents=True, exist_ok=True)
    source = at(lake).parent / f"{uuid4().hex}.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    load = Load(lake)
    for each in find_sources([str(source)]):
        report = ingest_source(each, load, AS_GIVEN)
        assert report.error is None
        assert report.rejected == 0
    load.finish()


def run(settings: SummarizeSettings) -> RunResult:
    """Run a complete job."""
    with open_job(settings, "run-id", mock_endpoint=running_mock_endpoint) as job:
        return run_open(job, settings)


def run_open(job: Job, settings: SummarizeSettings) -> RunResult:
    """Run an open job, as the flow does."""
    plan = plan_job(job, settings)
    counts = asyncio.run(_run_batches(job, plan))
    for batch in plan.copies:
        counts += copy_outcomes(batch, job)
    return RunResult(
        plan, counts, job.gateway.totals, maintain_table(job.table, all_rows_current=False)
    )


@dataclass
class WholePlan(Plan):
    """A plan and all its batches."""

    batches: list[Batch] = field(default_factory=list)


def plan_run(table: EnrichedTable, **options: Any) -> WholePlan:
    """Compute a complete plan; the options are those of `Planner`."""
    planner = Planner(table, **options)
    batches = list(planner.batches())
    return WholePlan(**vars(planner.plan), batches=batches)


def plan_job(job: Job, settings: SummarizeSettings) -> WholePlan:
    return plan_run(
        job.table,
        recovered=job.recovered,
        limit=settings.limit or None,
        batch_size=settings.batch_size,
        retry_failed=settings.retry_failed,
    )


async def _run_batches(job: Job, plan: WholePlan) -> OutcomeCounts:
    counts = OutcomeCounts()
    try:
        for each in await asyncio.gather(*map(job.run_batch, plan.batches)):
            counts += each
    finally:
        await job.gateway.close()
    return counts


def at(lake: Lake, name: str = "") -> Path:
    """Return the path of a folder or a part of a local lake."""
    return Path(lake.location(name))


def rows_of(lake: Lake, folder: str) -> list[dict[str, Any]]:
    """Read all rows of a table with a plain Parquet reader, sorted by article id."""
    if not at(lake, folder).is_dir():
        return []
    rows: list[dict[str, Any]] = ds.dataset(at(lake, folder)).to_table().to_pylist()
    return sorted(rows, key=lambda row: str(row["article_id"]))


def ids_of(lake: Lake, folder: str) -> list[str]:
    """Return the sorted article ids of a table's rows, including duplicates."""
    return [row["article_id"] for row in rows_of(lake, folder)]


def count_duplicate_answers(endpoint: MockEndpoint) -> int:
    """Count the successful answers to prompts that had been answered before."""
    return sum(endpoint.prompt_counts().values()) - len(endpoint.prompt_counts())


def answer(content_hash: str, **fields: Any) -> Outcome:
    """Return an answer as if from an endpoint."""
    return Outcome(
        content_hash=content_hash,
        fields=fields,
        error_class=None,
        message=None,
        finish_reason="stop",
        model=MODEL,
        prompt_tokens=100,
        cached_tokens=10,
        completion_tokens=20,
        cost_usd=0.25,
        attempts=1,
        latency_s=0.5,
        answered_at=1_700_000_000.25,
    )


def failure(content_hash: str, error_class: str) -> Outcome:
    """Return a failure as if from an endpoint."""
    return Outcome(
        content_hash=content_hash,
        fields=None,
        error_class=error_class,
        message=f"it was {error_class}",
        finish_reason=None,
        model=None,
        prompt_tokens=0,
        cached_tokens=0,
        completion_tokens=0,
        cost_usd=None,
        attempts=4,
        latency_s=None,
        answered_at=1_700_000_000.25,
    )


def write_outcomes(
    table: EnrichedTable, articles: pa.Table, outcomes: Sequence[Outcome | None], name: str
) -> None:
    """Write a part of answers and one of failures, as an earlier run would."""
    for folder, build, answered in (
        (table.folder, table.rows, True),
        (table.failures, table.failure_rows, False),
    ):
        chosen = [
            (row, outcome)
            for row, outcome in enumerate(outcomes)
            if outcome and outcome.answered is answered
        ]
        if chosen:
            taken = articles.take(pa.array([row for row, _ in chosen]))
            rows = build(taken, [outcome for _, outcome in chosen], "earlier")
            table.lake.write_part(folder, f"part-{name}.parquet", rows)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Limit the size of files in bytes, so that writes fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
