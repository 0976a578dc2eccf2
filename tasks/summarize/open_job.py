"""Open the job of a summarize run (locks, mock endpoint, journals, gateway), and close it."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from article_flows.tasks.common.errors import UsageError
from article_flows.tasks.common.signals import Interrupted
from article_flows.tasks.enriched.recipes import load_recipe
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.enriched.upkeep import repair_table
from article_flows.tasks.journal.open import open_journals
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parquet_parts import part_name
from article_flows.tasks.lake.tombstones import ARTICLE_PARTS_LOCK
from article_flows.tasks.settings import SummarizeSettings
from article_flows.tasks.summarize.endpoint import Endpoint, build_gateway, resolve_endpoint
from article_flows.tasks.summarize.job import Job
from article_flows.tasks.summarize.prompts import answer_parser, article_prompt, chat_template
from article_flows.tasks.summarize.storage_guard import StorageGuard

_OTHER_FILES = 200
"""Files that a run has open in addition to its connections: journals, parts, Prefect's sockets."""

GRACE_S = 10.0
"""Seconds that an interrupted run waits for responses in flight, which are paid for."""


def open_table(settings: SummarizeSettings) -> tuple[EnrichedTable, Endpoint]:
    """Return the enriched table that the settings name, and the endpoint that fills it.

    Raises:
        UserError: The recipe, the lake or the endpoint is invalid.
    """
    recipe = load_recipe(settings.recipe)
    endpoint = resolve_endpoint(settings)
    return EnrichedTable(Lake(settings.lake), recipe, endpoint.model), endpoint


def allow_connections(count: int) -> int:
    """Raise the limit on open files for ``count`` connections; return how many are possible.

    Each connection is an open file. The default soft limit is 1,024 on Linux and 256 on macOS.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    required = count + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < required:
        # The kernel has its own maximum, even where the hard limit is "unlimited".
        with contextlib.suppress(ValueError, OSError):
            allowed = required if hard == resource.RLIM_INFINITY else min(required, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            soft = allowed
    return count if soft == resource.RLIM_INFINITY else min(count, max(1, soft - _OTHER_FILES))


@contextmanager
def open_job(
    settings: SummarizeSettings,
    flow_run_id: str,
    label: str = "",
    on_wait: Callable[[str], None] | None = None,
    mock_endpoint: Callable[[], AbstractContextManager[str]] | None = None,
) -> Iterator[Job]:
    """Open a job: lock the table, start the mock endpoint if it is requested, open the journals.

    If the block raises, the gateway stops, and running batches have `GRACE_S` seconds to commit.

    Args:
        settings: The settings of the run.
        flow_run_id: Stored in each row.
        label: The name of the flow run, shown to other runs that wait for this one.
        on_wait: Called once with a message if this run waits for another one.
        mock_endpoint: Runs the mock endpoint and yields its base URL.

    Raises:
        UserError: See `open_table`; or the lake cannot be written.
        Locked: Another run has been writing the table for longer than ``settings.wait_s`` seconds.
    """
    table, endpoint = open_table(settings)
    max_in_flight = allow_connections(settings.max_in_flight)
    settings = settings.model_copy(update={"max_in_flight": max_in_flight})
    run_name = part_name("run").removeprefix("run-").removesuffix(".parquet")
    with contextlib.ExitStack() as stack:
        lock = partial(table.lake.locked, wait_s=settings.wait_s, on_wait=on_wait, label=label)
        # Shared for the articles: several runs may read their parts while no run replaces them.
        locks = [
            stack.enter_context(lock(table.name)),
            stack.enter_context(lock(ARTICLE_PARTS_LOCK, shared=True)),
        ]
        base_url = endpoint.base_url
        if endpoint.is_mock:
            if mock_endpoint is None:
                raise UsageError("no mock endpoint is available here; set a base URL")
            base_url = stack.enter_context(mock_endpoint())
        journals = open_journals(
            *(table.lake.storage, table.name, run_name),
            max_in_flight=max_in_flight,
        )
        stack.enter_context(journals)
        job = Job(
            table=table,
            endpoint=endpoint,
            template=chat_template(table.recipe, table.model, base_url),
            prompt=article_prompt(table.recipe),
            parse=answer_parser(table.recipe),
            gateway=build_gateway(endpoint, base_url, settings),
            journals=journals,
            flow_run_id=flow_run_id,
            run_name=run_name,
            locks=locks,
        )
        _prepare(job, settings)
        try:
            yield job
        except BaseException as error:
            _stop(job, wait=not (isinstance(error, Interrupted) and error.again))
            raise
        job.discard_leftovers()


def _prepare(job: Job, settings: SummarizeSettings) -> None:
    """Guard requests against storage outages, and recover what earlier runs left."""
    lake = job.table.lake
    if lake.storage.folder is None:
        job.gateway.limits.pause_reason = StorageGuard(
            job.gateway, lake.storage, job.journals, job.locks
        )
    lake.sweep()
    repair_table(job.table)
    job.recover_outcomes(retry_failed=settings.retry_failed)
    job.table.write_description()


def _stop(job: Job, *, wait: bool) -> None:
    """Stop sending requests, and wait up to `GRACE_S` seconds for running batches to commit."""
    job.gateway.stop("the run was interrupted")
    deadline = time.monotonic() + GRACE_S
    while wait and job.running_batches and time.monotonic() < deadline:
        time.sleep(0.05)
