"""Prefect flows that enrich tables of articles with columns only a language model can write.

The names in ``__all__`` are the public interface; they are imported when they are first used.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Set before pyarrow is imported. Its default memory pool, mimalloc, retains per thread what
# writing a part needed: a run of 20,000 articles peaked at 345 MB with it, at 244 MB without.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

if TYPE_CHECKING:
    from article_flows.flows.dataframe import summarize_frame
    from article_flows.flows.ingest import ingest_articles
    from article_flows.flows.pipeline import PipelineReport, article_pipeline
    from article_flows.flows.summarize import summarize_articles
    from article_flows.tasks.checks.dry_run import Estimate, estimate_run
    from article_flows.tasks.common.errors import (
        BudgetSpent,
        InterruptedRun,
        StoppedRun,
        UsageError,
        UserError,
    )
    from article_flows.tasks.enriched.current import current_table
    from article_flows.tasks.enriched.recipes import OutputField, Recipe, load_recipe
    from article_flows.tasks.ingest.report import IngestReport
    from article_flows.tasks.orchestration.event_loop_task_runner import EventLoopTaskRunner
    from article_flows.tasks.settings import IngestSettings, PipelineSettings, SummarizeSettings
    from article_flows.tasks.summarize.report import SummarizeReport

__all__ = [
    "BudgetSpent",
    "Estimate",
    "EventLoopTaskRunner",
    "IngestReport",
    "IngestSettings",
    "InterruptedRun",
    "OutputField",
    "PipelineReport",
    "PipelineSettings",
    "Recipe",
    "StoppedRun",
    "SummarizeReport",
    "SummarizeSettings",
    "UsageError",
    "UserError",
    "article_pipeline",
    "current_table",
    "estimate_run",
    "ingest_articles",
    "load_recipe",
    "summarize_articles",
    "summarize_frame",
]

_MODULES = {
    "flows.dataframe": ("summarize_frame",),
    "flows.ingest": ("ingest_articles",),
    "flows.pipeline": ("PipelineReport", "article_pipeline"),
    "flows.summarize": ("summarize_articles",),
    "tasks.checks.dry_run": ("Estimate", "estimate_run"),
    "tasks.common.errors": (
        "BudgetSpent",
        "InterruptedRun",
        "StoppedRun",
        "UsageError",
        "UserError",
    ),
    "tasks.enriched.current": ("current_table",),
    "tasks.enriched.recipes": ("OutputField", "Recipe", "load_recipe"),
    "tasks.ingest.report": ("IngestReport",),
    "tasks.orchestration.event_loop_task_runner": ("EventLoopTaskRunner",),
    "tasks.settings": ("IngestSettings", "PipelineSettings", "SummarizeSettings"),
    "tasks.summarize.report": ("SummarizeReport",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    # Lazily: the command line has its signal handlers in place before Prefect is imported.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
