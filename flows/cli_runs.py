"""The commands that run a flow: check what was asked, start Prefect, run, report."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

from flows import cli_print
from tasks.columns import parse_column_options
from tasks.dry_run import estimate_run
from tasks.endpoint import EMBEDDED_MODEL, base_url_from, resolve_endpoint
from tasks.errors import StoppedRun, UsageError, UserError
from tasks.lake import Lake
from tasks.recipes import load_recipe
from tasks.settings import IngestSettings, PipelineSettings, SummarizeSettings
from tasks.sources import find_sources

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

R = TypeVar("R")


def run(
    sources: list[str],
    columns: list[str],
    options: SummarizeSettings,
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """The pipeline flow."""
    if not sources:
        raise UsageError("no source given; name files, folders or globs, or the word demo")
    asking = _resolved(options, dry_run=dry_run)
    settings = PipelineSettings(**asking.model_dump(), sources=sources, columns=columns)
    find_sources(sources)
    parse_column_options(columns)
    if dry_run:
        estimate = estimate_run(settings.for_summarize(), settings.for_ingest())
        return cli_print.show_estimate(asdict(estimate), as_json=as_json)
    _prepare_prefect()
    from flows.pipeline import PipelineReport, article_pipeline

    started = time.monotonic()
    report, stopped = _report_of(
        PipelineReport, lambda: article_pipeline(settings, return_state=True)
    )
    return cli_print.show_run(
        *(report.ingest, report.summarize, time.monotonic() - started),
        stopped or report.summarize.stopped,
        as_json=as_json,
    )


def summarize(options: SummarizeSettings, *, dry_run: bool, as_json: bool) -> int:
    """The summarise flow."""
    settings = _resolved(options, dry_run=dry_run)
    if not Lake(settings.lake).articles.is_dir():
        raise UserError(f"lake {settings.lake}: has no articles; load some with `ingest` or `run`")
    if dry_run:
        return cli_print.show_estimate(asdict(estimate_run(settings)), as_json=as_json)
    _prepare_prefect()
    from flows.summarize import summarize_articles
    from tasks.reports import SummarizeReport

    started = time.monotonic()
    report, stopped = _report_of(
        SummarizeReport, lambda: summarize_articles(settings, return_state=True)
    )
    return cli_print.show_run(
        *(None, report, time.monotonic() - started),
        stopped or report.stopped,
        as_json=as_json,
    )


def ingest(sources: list[str], columns: list[str], lake: str, *, as_json: bool) -> int:
    """The ingest flow."""
    if not sources:
        raise UsageError("no source given; name files, folders or globs, or the word demo")
    settings = IngestSettings(sources=sources, columns=columns, lake=lake)
    Lake(lake)
    find_sources(sources)
    parse_column_options(columns)
    _prepare_prefect()
    from flows.ingest import ingest_articles
    from tasks.reports import IngestReport

    report, _ = _report_of(IngestReport, lambda: ingest_articles(settings, return_state=True))
    return cli_print.show_ingest(report, as_json=as_json)


def _resolved(options: SummarizeSettings, *, dry_run: bool) -> SummarizeSettings:
    """The options with the endpoint filled in, checked before anything is started."""
    values = options.model_dump()
    environment = dict(os.environ)
    if dry_run and options.model and options.model != EMBEDDED_MODEL:
        # Who asks for the price of a model may have no key for it yet.
        environment.setdefault("OPENAI_API_KEY", "none")
    values["base_url"] = base_url_from(options.base_url, environment)
    settings = SummarizeSettings(**values)
    load_recipe(settings.recipe)
    resolve_endpoint(settings.model_copy(update={"api_key_secret": ""}))
    Lake(settings.lake)
    return settings


def _prepare_prefect() -> None:
    """Leave the terminal to the report: Prefect's own log goes to its API.

    To see it here too, set PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL=INFO.
    """
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    # The server that Prefect starts for a run where none is set shares this terminal; what goes
    # wrong there comes back as an error of the API.
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    # It takes longer to start than the default allows on a busy machine.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "60")
    logging.captureWarnings(capture=True)
    _start_server()


def _start_server() -> None:
    """Where no server is set, have Prefect start its temporary one now, deaf to Ctrl-C.

    Ctrl-C goes to the whole foreground group of a terminal. The server must outlive it, or the
    run waits in vain for it to take its last events. A blocked signal stays blocked in the child.
    """
    from prefect import get_client
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():
        return
    if sys.stderr.isatty():
        print("Starting a temporary Prefect server; PREFECT_API_URL names yours.", file=sys.stderr)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with get_client(sync_client=True):
            pass
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _report_of(kind: type[R], flow: Callable[[], State[R]]) -> tuple[R, str | None]:
    """A flow's report, and why it had to stop if it had.

    Raises:
        UserError: the flow failed before it had anything to report.
    """
    try:
        state = flow()
    except RuntimeError as error:
        if "Failed to reach API" in str(error):
            raise UserError(
                f"{' '.join(str(error).split())}; "
                "start the server that PREFECT_API_URL names, or unset it"
            ) from error
        raise
    result = state.result(raise_on_failure=False)
    if isinstance(result, kind):
        return result, None
    if isinstance(result, StoppedRun) and isinstance(result.report, kind):
        return result.report, str(result)
    if isinstance(result, UserError):
        raise result
    raise UserError(f"the flow run ended as {state.name}: {state.message}")
