"""The Prefect tasks of a summarize run, which the flow submits; thin wrappers over the job."""

from __future__ import annotations

from collections import Counter
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from article_flows.tasks.common.errors import StorageUnavailable, UserError
from article_flows.tasks.common.stopwatch import Stopwatch
from article_flows.tasks.enriched.current import make_current
from article_flows.tasks.enriched.table import sample_rows
from article_flows.tasks.enriched.upkeep import maintain_table
from article_flows.tasks.lake.sorted_keys import KeySet
from article_flows.tasks.orchestration.concurrency_slot import concurrency_slot
from article_flows.tasks.orchestration.event_loop_task_runner import untraced
from article_flows.tasks.settings import SummarizeSettings
from article_flows.tasks.summarize.batch_runs import BatchRuns
from article_flows.tasks.summarize.batches import Batch
from article_flows.tasks.summarize.copies import copy_outcomes
from article_flows.tasks.summarize.job import Job, OutcomeCounts
from article_flows.tasks.summarize.planner import Planner
from article_flows.tasks.summarize.report import SummarizeReport

LLM_TAG = "article-flows-llm"
"""The tag whose concurrency limit bounds the batches in progress over all flow runs of a Prefect
server; `article-flows bootstrap` creates the limit. No task run has the tag, because Prefect's
engine would take a second slot in addition to that of `concurrency_slot`."""


def is_retryable(task: Any, task_run: Any, state: State[Any]) -> bool:
    """Return False for an error that the user has to fix, because a retry would repeat it."""
    error = getattr(state.data, "result", state.data)
    return not isinstance(error, UserError) or isinstance(error, StorageUnavailable)


_TASK_OPTIONS: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 2,
    "retry_delay_seconds": [2, 20],
    "retry_jitter_factor": 1,
    "retry_condition_fn": is_retryable,
    "persist_result": False,
}


@task(name="plan-batches", **_TASK_OPTIONS)
def plan_batches(job: Job, settings: SummarizeSettings, only: KeySet | None = None) -> Planner:
    """Create the planner, which compares the articles with the tables batch by batch."""
    return Planner(
        job.table,
        recovered=job.recovered,
        limit=settings.limit or None,
        batch_size=settings.batch_size,
        retry_failed=settings.retry_failed,
        only=only,
    )


@task(name="check-endpoint", **_TASK_OPTIONS)
async def check_endpoint(job: Job) -> None:
    """Check that the endpoint responds and accepts the key; stop the gateway if not."""
    await job.gateway.probe()


@task(
    name="summarize-batch",
    task_run_name="batch {batch[number]}: {batch[size]} articles",
    **_TASK_OPTIONS,
)
async def summarize_batch(batch: Batch, job: Job) -> OutcomeCounts:
    """Request an answer for every article of a batch, and commit them as one Parquet part.

    If Prefect retries the batch, for example after a storage error, the answers received before
    are reused. The batch holds a slot of the concurrency limit while it runs, not between retries.
    """
    async with concurrency_slot(LLM_TAG, skip_if=lambda: bool(job.gateway.stopped)):
        return await job.run_batch(batch)


@task(
    name="copy-answers", task_run_name="copies {batch[number]}: {batch[size]} rows", **_TASK_OPTIONS
)
def copy_answers(batch: Batch, job: Job) -> OutcomeCounts:
    """Copy the outcomes of texts to the other articles with the same text."""
    return copy_outcomes(batch, job)


@task(name="close-endpoint", **_TASK_OPTIONS)
async def close_endpoint(job: Job) -> None:
    """Close the connections, on the event loop that they belong to."""
    await job.gateway.close()


def submit_batches(planner: Planner, job: Job) -> BatchRuns:
    """Submit each batch once it is planned and the task runner has a free slot.

    Stops once the gateway has stopped; the remaining rows are left for the next run.
    """
    shared, runs, is_checked = untraced(job), BatchRuns(), False
    for batch in planner.batches():
        if planner.plan.to_request and not is_checked:
            check_endpoint.submit(shared).wait()
            is_checked = True
        runs.add(batch, summarize_batch.submit(batch, shared))
        if job.gateway.stopped:
            break
    planner.finish_counts()
    job.expect_batches(len(runs))
    return runs


def submit_copies(planner: Planner, job: Job) -> BatchRuns:
    """Submit the batches of copies; call this after all requested batches have ended."""
    runs = BatchRuns()
    for batch in planner.plan.copies:
        runs.add(batch, copy_answers.submit(batch, untraced(job)))
    return runs


def _seconds(laps: dict[str, float], asking_s: float) -> dict[str, float]:
    """Split the lap "ask" into the time without requests ("start") and ``asking_s``."""
    start_s = max(laps.get("ask", 0.0) - asking_s, 0.0)
    parts = {"plan": laps.get("plan", 0.0), "start": start_s, "ask": asking_s}
    return parts | {name: s for name, s in laps.items() if name not in parts}


@task(name="settle", **_TASK_OPTIONS)
def settle_report(
    job: Job, planner: Planner, batches: BatchRuns, copies: BatchRuns, watch: Stopwatch
) -> SummarizeReport:
    """Count the outcomes of all batches, maintain the tables, and build the report."""
    plan, totals = planner.plan, job.gateway.totals
    counts = OutcomeCounts(failed=Counter(plan.failed_classes))
    counts += batches.wait()
    counts += copies.wait()
    maintain_table(job.table, all_rows_current=planner.all_rows_current)
    report = SummarizeReport(
        recipe=job.table.recipe.name,
        model=job.table.model,
        endpoint=job.endpoint.describe(),
        table=job.table.lake.location(job.table.folder),
        failures=job.table.lake.location(job.table.failures),
        articles=plan.articles,
        answered=counts.answered + counts.recovered,
        reused=plan.reused + counts.copied,
        failed=dict(counts.failed),
        left=plan.left + counts.left,
        calls=totals.calls,
        attempts=totals.attempts,
        hedges=totals.hedges,
        usage=totals.usage,
        cost_usd=totals.cost_usd if job.gateway.price else None,
        errors=dict(totals.errors),
        asking_seconds=job.asking_seconds,
        samples=sample_rows(job.table) if counts.answered + counts.recovered else [],
        stopped=job.gateway.stopped or batches.error or copies.error,
        budget_spent=job.gateway.budget_spent,
    )
    make_current(job.table, complete=not (report.left or report.stopped))
    watch.lap("settle")
    report.seconds = _seconds(watch.laps, report.asking_seconds)
    return report
