"""Summarize a DataFrame, in notebooks, scripts and flows that have their articles in memory."""

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import orjson
import pandas as pd
from prefect import flow
from pydantic import ValidationError

from article_flows.flows.flow_states import flow_run_label, run_flow, user_error_as_failed_state
from article_flows.flows.ingest import ingest_articles
from article_flows.flows.summarize import BATCHES_IN_FLIGHT, summarize
from article_flows.tasks.common.dataframe_files import spool_frame
from article_flows.tasks.common.errors import UsageError, UserError
from article_flows.tasks.common.validation_messages import first_problem, suggestion
from article_flows.tasks.enriched.discovery import find_tables
from article_flows.tasks.enriched.recipes import Recipe
from article_flows.tasks.journal.open import find_leftovers
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.sorted_keys import KeySet
from article_flows.tasks.orchestration.event_loop_task_runner import EventLoopTaskRunner
from article_flows.tasks.orchestration.sync_calls import result_of
from article_flows.tasks.settings import MOCK, PipelineSettings
from article_flows.tasks.summarize.dataframe_rows import OUTCOME_COLUMNS, answers_of, frame_rows
from article_flows.tasks.summarize.endpoint import base_url_from
from article_flows.tasks.summarize.open_job import open_table
from article_flows.tasks.summarize.report import SummarizeReport

_NOT_FOR_FRAMES = {"sources", "mirror", "near_duplicates"}
_COLUMN_OPTION = re.compile(r"--column (\w+)=([\w*]+)")
_OPTION = re.compile(r"--([a-z][a-z-]+)")


def summarize_frame(
    articles: pd.DataFrame,
    recipe: str | os.PathLike[str] | Recipe = "summary",
    *,
    model: str = "",
    base_url: str | None = None,
    lake: str | os.PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Enrich each row of a DataFrame with the answer of a model.

    Runs as a Prefect flow, also inside another flow or a running event loop (Jupyter). Only the
    rows of the frame are sent to the model, even if the lake has other articles without an answer.

    Args:
        articles: One article per row. The columns (body, title, id, …) are inferred, as for a file.
        recipe: A recipe object, the path of a ``.yaml`` file, or the name of a shipped recipe.
        model: The model's name.
        base_url: The OpenAI-compatible endpoint, up to and including ``/v1``, or ``"mock"`` for the
            free mock endpoint. Default: ``OPENAI_BASE_URL``, else OpenAI if ``OPENAI_API_KEY`` is
            set, else the mock endpoint.
        lake: The folder or URI of a lake that keeps the answers, so that a later call with the same
            rows does not pay for them again. By default a temporary lake.
        columns: Corrections to the inferred column mapping: ``{"body": "text"}``.
        **settings: Other fields of `SummarizeSettings` and `IngestSettings`, such as
            ``budget_usd``, ``rpm``, ``max_in_flight``, ``limit``, ``api_key_secret``.

    Returns:
        A new frame with the index and the columns of ``articles``, then ``status`` (answered,
        failed, rejected, or left if a limit or the budget ended the run), the recipe's fields,
        ``error_class`` and ``error_message``, ``content_hash``, and the metadata of the request:
        model, recipe, tokens, ``cost_usd`` (US dollars), attempts, ``latency_s`` (seconds) and so
        on. A column of ``articles`` with one of these names becomes ``article_<name>``.

    Raises:
        UserError: The recipe, the endpoint or the frame is invalid, or the run stopped early
            (StoppedRun). Answers received before that stay in the lake; a temporary lake is then
            kept, and a note on the exception names it.

    Example:
        >>> frame = pd.DataFrame({"title": ["A bridge"], "text": ["The council met. It voted."]})
        >>> summarize_frame(frame, "digest", base_url="mock")  # doctest: +SKIP
    """
    if not isinstance(articles, pd.DataFrame):
        raise UsageError(
            f"summarize_frame: articles must be a pandas DataFrame, not {type(articles).__name__}"
        )
    if unsupported := _NOT_FOR_FRAMES & set(settings):
        raise UsageError(f"summarize_frame: {min(unsupported)} is not for a DataFrame")
    with (
        _in_terms_of_python(),
        _lake_folder(lake) as root,
        tempfile.TemporaryDirectory(prefix="article-flows-frame-") as folder,
    ):
        chosen = PipelineSettings(
            sources=[spool_frame(articles, Path(folder, "frame.parquet"))],
            columns=cast(Any, columns or {}),
            lake=root,
            recipe=_recipe_file(recipe, Path(folder)),
            model=model,
            base_url=_endpoint(base_url, model),
            **settings,
        )
        table, _ = open_table(chosen)
        if names := OUTCOME_COLUMNS & set(table.recipe.fields):
            raise UsageError(f"summarize_frame: the recipe has a field {min(names)}; rename it")
        rows = frame_rows(chosen, len(articles))
        if len(articles):
            state = run_flow(summarize_rows, chosen, rows.texts)
            # A spent budget is not an error: the remaining rows have the status left.
            result_of(state)
        return _with_answers(articles, answers_of(rows, table))


@flow(
    name="summarize-frame",
    flow_run_name=flow_run_label,
    task_runner=EventLoopTaskRunner(max_in_flight=BATCHES_IN_FLIGHT),
    validate_parameters=False,
)
@user_error_as_failed_state
def summarize_rows(settings: PipelineSettings, only: KeySet) -> SummarizeReport:
    """Load the rows of a DataFrame, then enrich those that have no answer yet.

    Args:
        settings: The settings of the run, whose only source is the DataFrame.
        only: The content hashes of the rows.
    """
    result_of(run_flow(ingest_articles, settings.for_ingest()))
    return summarize(settings.for_summarize(), only)


@contextmanager
def _lake_folder(lake: str | os.PathLike[str] | None) -> Iterator[str]:
    """Yield a lake, by default a temporary one, kept on an exception if it has an answer."""
    if lake is not None:
        yield os.fspath(lake)
        return
    folder, is_kept = tempfile.mkdtemp(prefix="article-flows-lake-"), False
    try:
        yield folder
    except BaseException as error:
        if is_kept := _has_answers(Lake(folder)):
            error.add_note(
                f"The answers received so far are kept in {folder}; "
                f'continue with summarize_frame(..., lake="{folder}")'
            )
        raise
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)


def _has_answers(lake: Lake) -> bool:
    """Return whether a lake has an answer, in a table or in a journal."""
    return bool(lake.parts(lake.summaries)) or any(
        find_leftovers(lake.storage, table.name) for table in find_tables(lake)
    )


def _recipe_file(recipe: str | os.PathLike[str] | Recipe, folder: Path) -> str:
    """Return the name or file of a recipe; a recipe object is written to a file first."""
    if not isinstance(recipe, Recipe):
        return os.fspath(recipe)
    path = folder / f"{recipe.name}.yaml"
    # JSON is YAML.
    path.write_bytes(orjson.dumps(recipe.model_dump(mode="json", exclude_defaults=True)))
    return str(path)


@contextmanager
def _in_terms_of_python() -> Iterator[None]:
    """Raise UsageError for invalid settings, and name parameters instead of options in messages."""
    try:
        yield
    except ValidationError as error:
        problem = first_problem(error)
        name = problem.name or "settings"
        if problem.is_unknown:
            hint = suggestion(name, PipelineSettings.model_fields)
            raise UsageError(f"summarize_frame: has no parameter {name}{hint}") from error
        raise UsageError(f"summarize_frame: {name}={problem.value!r} {problem.message}") from error
    except UserError as error:
        message = _COLUMN_OPTION.sub(r'columns={"\1": "\2"}', str(error))
        error.args = (_OPTION.sub(lambda found: found[1].replace("-", "_"), message),)
        raise


def _endpoint(base_url: str | None, model: str) -> str:
    chosen = base_url_from(base_url, os.environ)
    if base_url is None and chosen == MOCK and not model:
        warnings.warn(
            "neither base_url, OPENAI_BASE_URL nor OPENAI_API_KEY is set: using the mock endpoint, "
            "which is not a language model",
            stacklevel=3,
        )
    return chosen


def _with_answers(articles: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    taken = {*articles.columns, *answers.columns}
    names = {name: _free_name(name, taken) for name in articles.columns if name in answers.columns}
    answers.index = articles.index
    return pd.concat([articles.rename(columns=names), answers], axis=1)


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"article_{name}"
    return name
