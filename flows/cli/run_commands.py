"""The commands that run a flow: validate the settings, start Prefect, run and report."""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from article_flows.flows.cli import output
from article_flows.tasks.checks.dry_run import estimate_run
from article_flows.tasks.cleaning.columns.options import parse_column_options
from article_flows.tasks.common.errors import StoppedRun, UserError
from article_flows.tasks.enriched.recipes import load_recipe
from article_flows.tasks.ingest.options import sources_of
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.llm.protocol.error_classification import one_line
from article_flows.tasks.orchestration.prefect_api_monitor import api_monitor
from article_flows.tasks.orchestration.sync_calls import result_or_error
from article_flows.tasks.settings import (
    IngestSettings,
    LakeSettings,
    PipelineSettings,
    SummarizeSettings,
)
from article_flows.tasks.summarize.endpoint import MOCK_MODEL, base_url_from, resolve_endpoint

if TYPE_CHECKING:
    from prefect import Flow

R = TypeVar("R")
S = TypeVar("S", bound=LakeSettings)


def run(load: IngestSettings, options: SummarizeSettings, *, dry_run: bool, as_json: bool) -> int:
    """Run the pipeline flow and return the exit status."""
    enrich = _resolve_endpoint(options, dry_run=dry_run)
    settings = PipelineSettings(**{**load.model_dump(), **enrich.model_dump()})
    _check_sources(settings)
    if dry_run:
        estimate = estimate_run(settings.for_summarize(), settings.for_ingest())
        return output.show_estimate(asdict(estimate), as_json=as_json)
    _prepare_prefect()
    from article_flows.flows.pipeline import PipelineReport, article_pipeline

    started = time.monotonic()
    report, stopped = _run_flow(PipelineReport, article_pipeline, settings)
    seconds = time.monotonic() - started
    return output.show_run(report.ingest, report.summarize, seconds, stopped, as_json=as_json)


def summarize(options: SummarizeSettings, *, dry_run: bool, as_json: bool) -> int:
    """Run the summarize flow and return the exit status."""
    settings = _resolve_endpoint(options, dry_run=dry_run)
    if not Lake(settings.lake).has_articles():
        raise UserError(f"lake {settings.lake}: has no articles; load some with `ingest` or `run`")
    if dry_run:
        return output.show_estimate(asdict(estimate_run(settings)), as_json=as_json)
    _prepare_prefect()
    from article_flows.flows.summarize import summarize_articles
    from article_flows.tasks.summarize.report import SummarizeReport

    started = time.monotonic()
    report, stopped = _run_flow(SummarizeReport, summarize_articles, settings)
    seconds = time.monotonic() - started
    return output.show_run(None, report, seconds, stopped, as_json=as_json)


def ingest(settings: IngestSettings, *, as_json: bool) -> int:
    """Run the ingest flow and return the exit status."""
    Lake(settings.lake)  # validates the location
    _check_sources(settings)
    _prepare_prefect()
    from article_flows.flows.ingest import ingest_articles
    from article_flows.tasks.ingest.report import IngestReport

    report, _ = _run_flow(IngestReport, ingest_articles, settings)
    return output.show_ingest(report, as_json=as_json)


def _check_sources(settings: IngestSettings) -> None:
    """Fail early if a column option or a local source is invalid; the run checks remote ones."""
    parse_column_options(settings.columns)
    local = [source for source in settings.source_names if "://" not in source]
    if local:
        sources_of(settings.model_copy(update={"sources": local}))


def _resolve_endpoint(options: SummarizeSettings, *, dry_run: bool) -> SummarizeSettings:
    """Return the options with the endpoint's URL, after validating recipe, endpoint and lake."""
    environment = dict(os.environ)
    if dry_run and options.model and options.model != MOCK_MODEL:
        # Estimating the cost of a model needs no API key.
        environment.setdefault("OPENAI_API_KEY", "none")
    base_url = base_url_from(options.base_url, environment)
    settings = SummarizeSettings(**{**options.model_dump(), "base_url": base_url})
    load_recipe(settings.recipe)
    resolve_endpoint(settings.model_copy(update={"api_key_secret": ""}))
    Lake(settings.lake)
    return settings


def _prepare_prefect() -> None:
    """Configure Prefect for a terminal run, and start a temporary server if none is configured.

    Prefect's log goes to its API and not to the terminal, unless
    PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL is set.
    """
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")
    # The temporary server shares this terminal; its failures are reported as API errors.
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    # On a busy machine the server needs longer to start than Prefect's default of 20 s.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "60")
    logging.captureWarnings(capture=True)
    # Prefect prints log records that it cannot send to its API to standard error.
    logging.raiseExceptions = False
    api_monitor.start_tracking()
    _start_server()


def _start_server() -> None:
    """Start a temporary server that ends with this process, unless one is configured."""
    from prefect.context import refresh_global_settings_context
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
        PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    )

    from article_flows.tasks.orchestration import temporary_server

    # Prefect has already read its settings; read them again with our changes.
    refresh_global_settings_context()
    if PREFECT_API_URL.value():
        return
    if not PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value():
        raise UserError("no Prefect server is configured; set PREFECT_API_URL")
    if sys.stderr.isatty():
        print(
            "Starting a temporary Prefect server; set PREFECT_API_URL to use your own.",
            file=sys.stderr,
        )
    timeout_s = PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    os.environ["PREFECT_API_URL"] = temporary_server.start(timeout_s)
    refresh_global_settings_context()


def _run_flow(report_type: type[R], flow: Flow[[S], Any], settings: S) -> tuple[R, str | None]:
    """Run a flow and return its report, and the reason if it stopped early.

    Raises:
        UserError: The flow failed without a report.
    """
    from article_flows.flows.flow_states import run_flow

    try:
        state = run_flow(flow, settings)
    except (httpx.HTTPError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "Failed to reach API" not in str(error):
            raise
        raise UserError(
            f"{one_line(error)}; start the server at PREFECT_API_URL, or unset that variable"
        ) from error
    if api_monitor.is_down:
        print(
            "article-flows: Prefect's API was unavailable; its UI does not show all of this run",
            file=sys.stderr,
        )
    result = result_or_error(state)
    if isinstance(result, report_type):
        return result, None
    if isinstance(result, StoppedRun) and isinstance(result.report, report_type):
        return result.report, str(result)
    if isinstance(result, UserError):
        raise result
    raise UserError(f"the flow run ended as {state.name}: {state.message}")
