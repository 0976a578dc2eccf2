"""The Prefect tasks of a summarise run, thin over the job that they share."""

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
from article_flows.tasks.enriched.upkeep import keep_up
from article_flows.tasks.lake.sorted_keys import KeySet
from article_flows.tasks.orchestration.concurrency_slot import batch_slot
from article_flows.tasks.orchestration.event_loop_task_runner import untraced
from article_flows.tasks.settings import SummarizeSettings
from article_flows.tasks.summarize.batch_runs import BatchRuns
from article_flows.tasks.summarize.batches import Batch
from article_flows.tasks.summarize.copies import copy_outcomes
from article_flows.tasks.summarize.job import Counts, Job
from article_flows.tasks.summarize.planner import Planner
from article_flows.tasks.summarize.report import SummarizeReport

LLM_TAG = "article-flows-llm"
"""Set a concurrency limit on this tag to bound the batches that call a model, over all flow runs of
a Prefect server (`article-flows bootstrap` does). No task run carries the tag, or Prefect's engine
would take a second slot for each: `batch_slot` takes them."""


def worth_retrying(task: Any, task_run: Any, state: State[Any]) -> bool:
    """A fault of storage may pass; what the user has to mend does not."""
    problem = getattr(state.data, "result", state.data)
    return not isinstance(problem, UserError) or isinstance(problem, StorageUnavailable)


_COMMON: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 2,
    "retry_delay_seconds": [2, 20],
    "retry_jitter_factor": 1,
    "retry_condition_fn": worth_retrying,
    "persist_result": False,
}


@task(name="plan-batches", **_COMMON)
def plan_batches(job: Job, settings: SummarizeSettings, only: KeySet | None = None) -> Planner:
    """Get ready to compare the articles with the existing answers, batch by batch."""
    return Planner(
        job.table,
        recovered=job.recovered,
        limit=settings.limit or None,
        batch_size=settings.batch_size,
        retry_refused=settings.retry_failed,
        only=only,
    )


@task(name="check-endpoint", **_COMMON)
async def check_endpoint(job: Job) -> None:
    """See that the endpoint is there and takes the key, before anything is sent."""
    await job.gateway.probe()


@task(
    name="summarize-batch",
    task_run_name="batch {batch[number]}: {batch[size]} articles",
    **_COMMON,
)
async def summarize_batch(batch: Batch, job: Job) -> Counts:
    """Ask about every article of a batch and commit the answers as one Parquet part.

    The task's own retries are for storage and the like: a batch that is tried again finds the
    answers that it has paid for. It holds a slot of the tag's limit while it is at work, and none
    while it waits to be tried again.
    """
    async with batch_slot(LLM_TAG, unless=lambda: bool(job.gateway.stopped)):
        return await job.run_batch(batch)


@task(name="copy-answers", task_run_name="copies {batch[number]}: {batch[size]} rows", **_COMMON)
def copy_answers(batch: Batch, job: Job) -> Counts:
    """Give articles of the same text the answer that was paid for once."""
    return copy_outcomes(batch, job)


@task(name="close-endpoint", **_COMMON)
async def close_endpoint(job: Job) -> None:
    """Give the connections back, on the loop that they belong to."""
    await job.gateway.close()


def submit_batches(planner: Planner, job: Job) -> BatchRuns:
    """Map the batches as they are planned and as the task runner has room, until all are.

    Once the run has to stop, no more are: their rows are left to do.
    """
    shared, runs, checked = untraced(job), BatchRuns(), False
    for batch in planner.batches():
        if planner.plan.to_ask and not checked:
            check_endpoint.submit(shared).wait()
            checked = True
        runs.add(batch, summarize_batch.submit(batch, shared))
        if job.gateway.stopped:
            break
    planner.count_the_rest()
    job.expect(len(runs))
    return runs


def submit_copies(planner: Planner, job: Job) -> BatchRuns:
    """Map the copies of answers to articles of the same text."""
    runs = BatchRuns()
    for batch in planner.plan.copies:
        runs.add(batch, copy_answers.submit(batch, untraced(job)))
    return runs


def _seconds(laps: dict[str, float], asking_s: float) -> dict[str, float]:
    """The laps, with what came before the first request and after the last commit apart."""
    ask_s = laps.get("ask", 0.0)
    parts = {"plan": laps.get("plan", 0.0), "start": max(ask_s - asking_s, 0.0), "ask": asking_s}
    return parts | {name: s for name, s in laps.items() if name not in parts}


@task(name="settle", **_COMMON)
def settle_report(
    job: Job, planner: Planner, asked: BatchRuns, copied: BatchRuns, watch: Stopwatch
) -> SummarizeReport:
    """Count what the batches did, bring the failures up to date, and report."""
    plan, totals = planner.plan, job.gateway.totals
    counts = Counts(failed=Counter(plan.refused_classes))
    counts += asked.counts()
    counts += copied.counts()
    keep_up(job.table, all_rows_current=planner.found_all_rows)
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
        stopped=job.gateway.stopped or asked.broken or copied.broken,
        budget_spent=job.gateway.budget_spent,
    )
    make_current(job.table, complete=not (report.left or report.stopped))
    watch.lap("settle")
    report.seconds = _seconds(watch.laps, report.asking_seconds)
    return report
