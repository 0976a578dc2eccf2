"""All parts of an enriched table have one schema, whatever is missing in them."""

from pathlib import Path, PurePosixPath

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.enriched.recipes import Recipe, load_recipe
from article_flows.tasks.enriched.table import FAILURE_SCHEMA, EnrichedTable
from article_flows.tasks.lake.lake import Lake
from tests.tasks.summarize.job_support import (
    answer,
    article,
    at,
    failure,
    fill,
    rows_of,
    write_outcomes,
)

ANSWERS = [
    {"text": "a", "count": 1, "share": 0.5, "sound": True, "category": "x", "words": ["k", "l"]},
    {"text": "b", "count": -(2**63), "share": 2.0, "sound": False, "category": "y", "words": []},
]
RECIPE = Recipe.model_validate(
    {
        "name": "card",
        "instructions": "Do.",
        "fields": {
            "text": {"type": "string"},
            "count": {"type": "integer"},
            "share": {"type": "number"},
            "sound": {"type": "boolean"},
            "category": {"type": "enum", "values": ["x", "y"]},
            "words": {"type": "list"},
        },
    }
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def articles(lake: Lake) -> pa.Table:
    """Two rows: the first has every column, the second none that may be missing."""
    full = article("a1", url="http://x/1", author="A", date="2024-01-02", language="en")
    fill(lake, [{**full, "title": "T", "category": "theirs", "more": 1}, article("a2")])
    return pq.read_table(at(lake, lake.articles), schema=ARTICLES_SCHEMA)


def test_every_part_has_the_same_schema_with_nulls_or_without(
    lake: Lake, articles: pa.Table
) -> None:
    table = EnrichedTable(lake, RECIPE, "vendor/model-1")
    hashes = articles["content_hash"].to_pylist()
    first = [answer(hashes[0], **ANSWERS[0]), failure(hashes[1], "too_long")]
    second = [failure(hashes[0], "empty"), answer(hashes[1], **ANSWERS[1])]
    write_outcomes(table, articles, first, "1")
    write_outcomes(table, articles, second, "2")
    for folder, schema in ((table.folder, table.schema), (table.failures, FAILURE_SCHEMA)):
        parts = lake.parts(folder)
        assert len(parts) == 2
        of_parts = [pq.read_schema(str(part)) for part in parts]
        assert of_parts[0].equals(of_parts[1], check_metadata=True)
        assert of_parts[0].equals(schema)
        assert ds.dataset(lake.location(folder)).schema.equals(schema)
    assert table.schema.field("words").type == pa.list_(pa.string())
    assert table.schema.field("count").type == pa.int64()
    assert table.schema.field("share").type == pa.float64()
    assert table.schema.field("sound").type == pa.bool_()


def test_pandas_and_pyarrow_read_the_folder_as_one_table(lake: Lake, articles: pa.Table) -> None:
    table = EnrichedTable(lake, RECIPE, "model")
    hashes = articles["content_hash"].to_pylist()
    for row in (0, 1):
        outcome = answer(hashes[row], **ANSWERS[row])
        write_outcomes(table, articles.slice(row, 1), [outcome], str(row))
    table.write_description()
    rows = rows_of(table.lake, table.folder)
    fields = list(RECIPE.fields)
    assert [{name: row[name] for name in fields} for row in rows] == ANSWERS
    assert [row["article_category"] for row in rows] == ["theirs", None]
    assert [row["body"] for row in rows] == articles["body"].to_pylist()
    assert {row["flow_run_id"] for row in rows} == {"earlier"}
    assert {row["recipe_hash"] for row in rows} == {RECIPE.hash("model")}
    frame = pd.read_parquet(lake.location(table.folder))
    assert sorted(frame["text"]) == ["a", "b"]
    assert list(frame.columns) == table.schema.names


def test_a_field_with_the_name_of_an_articles_column_moves_that_column(lake: Lake) -> None:
    table = EnrichedTable(lake, load_recipe("digest"), "model")
    names = table.schema.names
    assert names.index("article_category") == ARTICLES_SCHEMA.names.index("category")
    assert {"category", "article_category", "language", "article_language"} <= set(names)
    assert len(names) == len(set(names))


def test_failures_tell_which_article_and_why(lake: Lake, articles: pa.Table) -> None:
    table = EnrichedTable(lake, RECIPE, "model")
    outcomes = [failure(text, "too_long") for text in articles["content_hash"].to_pylist()]
    first, second = table.failure_rows(articles, outcomes, "run-id").to_pylist()
    assert (first["article_id"], first["title"]) == ("a1", "T")
    assert (second["title"], second["error_class"]) == (None, "too_long")
    assert (second["message"], second["model"]) == ("it was too_long", "model")
    assert (second["attempts"], second["recipe"]) == (4, "card")
    assert second["failed_at"].timestamp() == 1_700_000_000.25


def test_models_and_recipes_have_tables_of_their_own_within_the_lake(lake: Lake) -> None:
    models = ["a", "b", "a/b", "../../etc", "模型", "x" * 300, "..", "a:b\n"]
    folders = [PurePosixPath(EnrichedTable(lake, RECIPE, model).folder) for model in models]
    assert len(set(folders)) == len(models)
    for folder in folders:
        assert folder.parent == PurePosixPath("summaries/card")
        assert len(folder.name) < 100
        assert folder.name.isprintable()


def test_what_was_asked_lies_beside_the_parts_and_is_no_part(lake: Lake) -> None:
    table = EnrichedTable(lake, RECIPE, "model")
    table.write_description()
    table.write_description()
    assert lake.parts(table.folder) == []
    about = orjson.loads(at(lake, f"{table.folder}/_recipe.json").read_bytes())
    assert Recipe.model_validate(about["recipe"]) == RECIPE
    assert (about["model"], about["recipe_hash"]) == ("model", RECIPE.hash("model"))
