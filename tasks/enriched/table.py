"""The enriched table of one recipe and model: its folders, its schema and its rows."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pyarrow as pa

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.enriched.outcomes import Outcome
from article_flows.tasks.enriched.recipes import Recipe
from article_flows.tasks.lake.lake import Lake

_TIME = pa.timestamp("us", tz="UTC")
_ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "enum": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "list": pa.list_(pa.string()),
}
_METADATA = [
    pa.field("model", pa.string()),
    pa.field("recipe", pa.string()),
    pa.field("recipe_hash", pa.string()),
    pa.field("finish_reason", pa.string()),
    pa.field("prompt_tokens", pa.int64()),
    pa.field("cached_tokens", pa.int64()),
    pa.field("completion_tokens", pa.int64()),
    pa.field("cost_usd", pa.float64()),
    pa.field("attempts", pa.int32()),
    pa.field("latency_s", pa.float64()),
    pa.field("answered_at", _TIME),
    pa.field("flow_run_id", pa.string()),
]
FAILURE_SCHEMA = pa.schema(
    [
        pa.field("article_id", pa.string()),
        pa.field("content_hash", pa.string()),
        pa.field("title", pa.string()),
        pa.field("source", pa.string()),
        pa.field("error_class", pa.string()),
        pa.field("message", pa.string()),
        pa.field("attempts", pa.int32()),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
        pa.field("cost_usd", pa.float64()),
        pa.field("model", pa.string()),
        pa.field("recipe", pa.string()),
        pa.field("recipe_hash", pa.string()),
        pa.field("failed_at", _TIME),
        pa.field("flow_run_id", pa.string()),
    ]
)
"""Schema of ``failures/``: the article, the error, and what the attempts cost."""


def table_name(recipe: str, table_id: str) -> str:
    """Return the name of a table's lock and of its journal folder."""
    return f"{recipe}-{table_id}"


def table_folders(recipe: str, table_id: str) -> tuple[str, str, str, str]:
    """Return a table's folders: answers, failures, superseded answers, superseded failures."""
    answers, failures = (f"{kind}/{recipe}/{table_id}" for kind in (Lake.summaries, Lake.failures))
    return answers, failures, f"{Lake.superseded}/{answers}", f"{Lake.superseded}/{failures}"


DESCRIPTION_FILE = "_recipe.json"
"""The file in the folder of answers that holds the recipe and the model."""
_SAMPLED_ROWS = 200


class EnrichedTable:
    """The answers of one model to one recipe: folders in the lake, schema, and rows.

    A row has the columns of ``ARTICLES_SCHEMA``, the recipe's fields, and metadata (model, tokens,
    cost). An article's column with the name of a recipe's field is stored as ``article_<name>``.

    Attributes:
        recipe_hash: 16 hex digits; see `Recipe.hash`.
        table_id: The slug of the model and the recipe hash.
        name: The name of the table's lock and of its journal folder.
        folder, failures, superseded, superseded_failures: Folders, relative to the lake.
        schema: The Arrow schema of the answers.

    Example:
        >>> from article_flows.tasks.enriched.recipes import load_recipe
        >>> table = EnrichedTable(Lake("lake"), load_recipe("summary"), "gpt-4o-mini")
        >>> table.folder == f"summaries/summary/gpt-4o-mini-{table.recipe_hash}"
        True
    """

    def __init__(self, lake: Lake, recipe: Recipe, model: str) -> None:
        self.lake = lake
        self.recipe = recipe
        self.model = model
        self.recipe_hash = recipe.hash(model)
        self.table_id = f"{_slug(model)}-{self.recipe_hash}"
        self.name = table_name(recipe.name, self.table_id)
        self.folder, self.failures, self.superseded, self.superseded_failures = table_folders(
            recipe.name, self.table_id
        )
        self._article_names = {
            name: f"article_{name}" if name in recipe.fields else name
            for name in ARTICLES_SCHEMA.names
        }
        self.schema = pa.schema(
            [
                *(field.with_name(self._article_names[field.name]) for field in ARTICLES_SCHEMA),
                *((name, _ARROW_TYPES[field.type]) for name, field in recipe.fields.items()),
                *_METADATA,
            ]
        )

    def rows(self, articles: pa.Table, outcomes: list[Outcome], flow_run_id: str) -> pa.Table:
        """Build enriched rows from articles (``ARTICLES_SCHEMA``) and one answer for each."""
        columns = {self._article_names[name]: articles[name] for name in ARTICLES_SCHEMA.names}
        for name in self.recipe.fields:
            columns[name] = pa.array(
                [(outcome.fields or {})[name] for outcome in outcomes],
                self.schema.field(name).type,
            )
        columns |= self._metadata(outcomes, flow_run_id)
        return pa.table(columns, schema=self.schema)

    def failure_rows(
        self, articles: pa.Table, outcomes: list[Outcome], flow_run_id: str
    ) -> pa.Table:
        """Build rows of ``FAILURE_SCHEMA`` from articles and one failure for each."""
        metadata = self._metadata(outcomes, flow_run_id)
        names = ("article_id", "content_hash", "title", "source")
        columns = {name: articles[name] for name in names}
        columns["error_class"] = pa.array([outcome.error_class for outcome in outcomes])
        columns["message"] = pa.array([outcome.message for outcome in outcomes])
        columns["failed_at"] = metadata.pop("answered_at")
        columns |= {**metadata, "model": pa.repeat(self.model, len(outcomes))}
        return pa.table([columns[name] for name in FAILURE_SCHEMA.names], schema=FAILURE_SCHEMA)

    def write_description(self) -> None:
        """Write the recipe and the model to `DESCRIPTION_FILE`, unless the file exists."""
        storage, name = self.lake.storage, f"{self.folder}/{DESCRIPTION_FILE}"
        if any(file.name == name for file in storage.list(self.folder)):
            return
        description = {
            "recipe": self.recipe.model_dump(mode="json"),
            "recipe_hash": self.recipe_hash,
            "model": self.model,
        }
        storage.write(name, orjson.dumps(description, option=orjson.OPT_INDENT_2))

    def _metadata(self, outcomes: list[Outcome], flow_run_id: str) -> dict[str, Any]:
        constant = {
            "recipe": self.recipe.name,
            "recipe_hash": self.recipe_hash,
            "flow_run_id": flow_run_id,
        }
        columns: dict[str, Any] = {}
        for name, kind in ((field.name, field.type) for field in _METADATA):
            if name in constant:
                columns[name] = pa.repeat(pa.scalar(constant[name], kind), len(outcomes))
                continue
            values = [getattr(outcome, name) for outcome in outcomes]
            if name == "answered_at":
                values = [round(seconds * 1e6) for seconds in values]
            columns[name] = pa.array(values, kind)
        return columns


def _slug(model: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", model).strip("-.")[:60] or "model"


def sample_rows(table: EnrichedTable, count: int = 3) -> list[dict[str, Any]]:
    """Return up to ``count`` rows of the newest part, from as many languages as possible.

    Returns:
        For each row, a dictionary with ``article_id``, ``title``, ``body`` and ``answer``.
    """
    parts = table.lake.parts(table.folder)
    if not parts:
        return []
    fields = list(table.recipe.fields)
    language = "article_language" if "language" in fields else "language"
    columns = ["article_id", "title", "body", language, *fields]
    with parts[-1].open() as file:
        rows = next(file.iter_batches(_SAMPLED_ROWS, columns)).to_pylist()
    by_language: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        by_language.setdefault(row[language], []).append(row)
    chosen: list[dict[str, Any]] = []
    while len(chosen) < min(count, len(rows)):
        chosen += [group.pop(0) for group in by_language.values() if group]
    return [
        {
            "article_id": row["article_id"],
            "title": row["title"],
            "body": row["body"],
            "answer": {name: row[name] for name in fields},
        }
        for row in chosen[:count]
    ]
