"""Open a summarise job: everything that its batches share, and the end of it in order."""

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
from article_flows.tasks.enriched.upkeep import finish_upkeep
from article_flows.tasks.journal.open import open_journals
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parts import part_name
from article_flows.tasks.lake.superseded import ARTICLE_PARTS
from article_flows.tasks.settings import SummarizeSettings
from article_flows.tasks.summarize.endpoint import Endpoint, build_gateway, resolve_endpoint
from article_flows.tasks.summarize.job import Job
from article_flows.tasks.summarize.pauses import Pauses
from article_flows.tasks.summarize.prompts import answer_parser, article_prompt, chat_template

_OTHER_FILES = 200
"""Files that a run has open beside its connections: journals, parts, sockets, Prefect's."""

GRACE_S = 10.0
"""Seconds that an interrupted run waits for answers that are paid for and under way."""


def open_table(settings: SummarizeSettings) -> tuple[EnrichedTable, Endpoint]:
    """The table that the settings name and the endpoint that fills it.

    Raises:
        UserError: the recipe, the lake or the endpoint is not what it should be.
    """
    recipe = load_recipe(settings.recipe)
    endpoint = resolve_endpoint(settings)
    return EnrichedTable(Lake(settings.lake), recipe, endpoint.model), endpoint


def allow_connections(count: int) -> int:
    """Let this process have so many connections open; gives how many it may have.

    The usual limit on open files is 1,024, and 256 on a Mac; each connection is one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # The kernel has a bound of its own, below what "unlimited" promises.
        with contextlib.suppress(ValueError, OSError):
            allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
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
    """Hold the table's lock, start the mock endpoint if it is asked for, open the journals.

    Args:
        settings: of the run.
        flow_run_id: for the rows.
        label: the flow run's name, for other runs that wait for this one.
        on_wait: told, once, which other run this one waits for.
        mock_endpoint: runs the mock endpoint and gives its base URL; for settings that ask for it.

    Raises:
        UserError: as open_table, or the lake cannot be written.
        Locked: another run is writing the table, for longer than the settings wait.
    """
    table, endpoint = open_table(settings)
    room = {"max_in_flight": allow_connections(settings.max_in_flight)}
    settings = settings.model_copy(update=room)
    run_name = part_name("run").removeprefix("run-").removesuffix(".parquet")
    with contextlib.ExitStack() as stack:
        hold = partial(table.lake.locked, wait_s=settings.wait_s, on_wait=on_wait, label=label)
        # The table's only writer, while nobody replaces the parts of articles that we read.
        locks = [
            stack.enter_context(hold(table.name)),
            stack.enter_context(hold(ARTICLE_PARTS, shared=True)),
        ]
        base_url = endpoint.base_url
        if endpoint.is_mock:
            if mock_endpoint is None:
                raise UsageError("there is no mock endpoint here; give a base URL")
            base_url = stack.enter_context(mock_endpoint())
        journals = open_journals(
            *(table.lake.storage, table.name, run_name),
            max_in_flight=settings.max_in_flight,
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
        _take_up(job, settings)
        try:
            yield job
        except BaseException as error:
            _wind_down(job, wait=not (isinstance(error, Interrupted) and error.again))
            raise
        job.discard_leftovers()


def _take_up(job: Job, settings: SummarizeSettings) -> None:
    """Take in what earlier runs left, and stop paying whenever the storage does not answer."""
    lake = job.table.lake
    if lake.storage.folder is None:
        job.gateway.limits.paused = Pauses(job.gateway, lake.storage, job.journals, job.locks)
    lake.sweep()
    finish_upkeep(job.table)
    job.take_in_journals(retry_refused=settings.retry_failed)
    job.table.describe()


def _wind_down(job: Job, *, wait: bool) -> None:
    """Send nothing more, and give the batches under way a while to take in what is paid for."""
    job.gateway.stop("the run was interrupted")
    deadline = time.monotonic() + GRACE_S
    while wait and job.under_way and time.monotonic() < deadline:
        time.sleep(0.05)
