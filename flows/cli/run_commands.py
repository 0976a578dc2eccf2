"""The commands that run a flow: check what was asked, start Prefect, run, report."""

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
from article_flows.tasks.orchestration.api_outage import absence
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
    """The pipeline flow."""
    asking = _resolved(options, dry_run=dry_run)
    settings = PipelineSettings(**{**load.model_dump(), **asking.model_dump()})
    _see_sources(settings)
    if dry_run:
        estimate = estimate_run(settings.for_summarize(), settings.for_ingest())
        return output.show_estimate(asdict(estimate), as_json=as_json)
    _prepare_prefect()
    from article_flows.flows.pipeline import PipelineReport, article_pipeline

    started = time.monotonic()
    report, stopped = _report_of(PipelineReport, article_pipeline, settings)
    seconds = time.monotonic() - started
    return output.show_run(report.ingest, report.summarize, seconds, stopped, as_json=as_json)


def summarize(options: SummarizeSettings, *, dry_run: bool, as_json: bool) -> int:
    """The summarise flow."""
    settings = _resolved(options, dry_run=dry_run)
    if not Lake(settings.lake).has_articles():
        raise UserError(f"lake {settings.lake}: has no articles; load some with `ingest` or `run`")
    if dry_run:
        return output.show_estimate(asdict(estimate_run(settings)), as_json=as_json)
    _prepare_prefect()
    from article_flows.flows.summarize import summarize_articles
    from article_flows.tasks.summarize.report import SummarizeReport

    started = time.monotonic()
    report, stopped = _report_of(SummarizeReport, summarize_articles, settings)
    seconds = time.monotonic() - started
    return output.show_run(None, report, seconds, stopped, as_json=as_json)


def ingest(settings: IngestSettings, *, as_json: bool) -> int:
    """The ingest flow."""
    Lake(settings.lake)
    _see_sources(settings)
    _prepare_prefect()
    from article_flows.flows.ingest import ingest_articles
    from article_flows.tasks.ingest.report import IngestReport

    report, _ = _report_of(IngestReport, ingest_articles, settings)
    return output.show_ingest(report, as_json=as_json)


def _see_sources(settings: IngestSettings) -> None:
    """Fail at once if the sources or columns cannot be; what is far away is seen by the run."""
    parse_column_options(settings.columns)
    near = [source for source in settings.source_names if "://" not in source]
    if near:
        sources_of(settings.model_copy(update={"sources": near}))


def _resolved(options: SummarizeSettings, *, dry_run: bool) -> SummarizeSettings:
    """The options with the endpoint filled in, checked before anything is started."""
    environment = dict(os.environ)
    if dry_run and options.model and options.model != MOCK_MODEL:
        # Who asks for the price of a model may have no key for it yet.
        environment.setdefault("OPENAI_API_KEY", "none")
    base_url = base_url_from(options.base_url, environment)
    settings = SummarizeSettings(**{**options.model_dump(), "base_url": base_url})
    load_recipe(settings.recipe)
    resolve_endpoint(settings.model_copy(update={"api_key_secret": ""}))
    Lake(settings.lake)
    return settings


def _prepare_prefect() -> None:
    """Leave the terminal to the report: Prefect's own log goes to its API.

    To see it here too, set PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL=INFO.
    """
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")
    # The server that Prefect starts for a run where none is set shares this terminal; what goes
    # wrong there comes back as an error of the API.
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    # It takes longer to start than the default allows on a busy machine.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "60")
    logging.captureWarnings(capture=True)
    # Prefect writes to standard error what it could not log at its API.
    logging.raiseExceptions = False
    absence.heed()
    _start_server()


def _start_server() -> None:
    """Where no server is set, start a temporary one that ends with this process."""
    from prefect.context import refresh_global_settings_context
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
        PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    )

    from article_flows.tasks.orchestration import temporary_server

    # Prefect has read its settings by now; those that came since are in the environment.
    refresh_global_settings_context()
    if PREFECT_API_URL.value():
        return
    if not PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value():
        raise UserError("no Prefect server is set; have PREFECT_API_URL name one")
    if sys.stderr.isatty():
        print("Starting a temporary Prefect server; PREFECT_API_URL names yours.", file=sys.stderr)
    timeout_s = PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    os.environ["PREFECT_API_URL"] = temporary_server.start(timeout_s)
    refresh_global_settings_context()


def _report_of(kind: type[R], flow: Flow[[S], Any], settings: S) -> tuple[R, str | None]:
    """A flow's report, and why it had to stop if it had.

    Raises:
        UserError: the flow failed before it had anything to report.
    """
    from article_flows.flows.flow_states import state_of

    try:
        state = state_of(flow, settings)
    except (httpx.HTTPError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "Failed to reach API" not in str(error):
            raise
        raise UserError(
            f"{one_line(error)}; start the server that PREFECT_API_URL names, or unset it"
        ) from error
    if absence.away:
        print(
            "article-flows: Prefect's API was away: this run is not, or not fully, in its UI",
            file=sys.stderr,
        )
    result = result_or_error(state)
    if isinstance(result, kind):
        return result, None
    if isinstance(result, StoppedRun) and isinstance(result.report, kind):
        return result.report, str(result)
    if isinstance(result, UserError):
        raise result
    raise UserError(f"the flow run ended as {state.name}: {state.message}")
