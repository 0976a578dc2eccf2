"""All parts of an enriched table have the same schema, even if columns are all null."""

from pathlib import Path, PurePosixPath

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.enriched.recipes import Recipe, load_recipe
from article_flows.tasks.enriched.table import FAILURE_SCHEMA, EnrichedTable, sample_rows
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.summarize.open_job import open_table
from tests.tasks.summarize.job_support import (
    answer,
    article,
    at,
    endpoint,
    failure,
    fill,
    rows_of,
    run,
    summarize_settings,
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
    """Two rows: the first has every column, the second only the required ones."""
    full = article("a1", url="http://x/1", author="A", date="2024-01-02", language="en")
    fill(lake, [{**full, "title": "T", "category": "theirs", "more": 1}, article("a2")])
    return pq.read_table(at(lake, lake.articles), schema=ARTICLES_SCHEMA)


def test_all_parts_have_the_same_schema_with_or_without_nulls(
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
        schemas = [pq.read_schema(str(part)) for part in parts]
        assert schemas[0].equals(schemas[1], check_metadata=True)
        assert schemas[0].equals(schema)
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


def test_an_article_column_with_the_name_of_a_field_is_prefixed(lake: Lake) -> None:
    table = EnrichedTable(lake, load_recipe("digest"), "model")
    names = table.schema.names
    assert names.index("article_category") == ARTICLES_SCHEMA.names.index("category")
    assert {"category", "article_category", "language", "article_language"} <= set(names)
    assert len(names) == len(set(names))


def test_failure_rows_name_the_article_and_the_error(lake: Lake, articles: pa.Table) -> None:
    table = EnrichedTable(lake, RECIPE, "model")
    outcomes = [failure(text, "too_long") for text in articles["content_hash"].to_pylist()]
    first, second = table.failure_rows(articles, outcomes, "run-id").to_pylist()
    assert (first["article_id"], first["title"]) == ("a1", "T")
    assert (second["title"], second["error_class"]) == (None, "too_long")
    assert (second["message"], second["model"]) == ("it was too_long", "model")
    assert (second["attempts"], second["recipe"]) == (4, "card")
    assert second["failed_at"].timestamp() == 1_700_000_000.25


def test_each_model_has_its_own_folder_inside_the_lake(lake: Lake) -> None:
    models = ["a", "b", "a/b", "../../etc", "模型", "x" * 300, "..", "a:b\n"]
    folders = [PurePosixPath(EnrichedTable(lake, RECIPE, model).folder) for model in models]
    assert len(set(folders)) == len(models)
    for folder in folders:
        assert folder.parent == PurePosixPath("summaries/card")
        assert len(folder.name) < 100
        assert folder.name.isprintable()


def test_the_description_is_next_to_the_parts_and_is_not_a_part(lake: Lake) -> None:
    table = EnrichedTable(lake, RECIPE, "model")
    table.write_description()
    table.write_description()
    assert lake.parts(table.folder) == []
    description = orjson.loads(at(lake, f"{table.folder}/_recipe.json").read_bytes())
    assert Recipe.model_validate(description["recipe"]) == RECIPE
    assert (description["model"], description["recipe_hash"]) == ("model", RECIPE.hash("model"))


@pytest.mark.parametrize("recipe", ["summary", "digest"])
def test_samples_cover_many_languages_and_contain_only_the_answer(
    tmp_path: Path, recipe: str
) -> None:
    lake = Lake(tmp_path / "lake")
    settings = summarize_settings(lake, endpoint().base_url, recipe=recipe)
    table, _ = open_table(settings)
    assert sample_rows(table) == []
    languages = {"a1": "en", "a2": "en", "a3": "en", "b1": "de", "c1": None}
    fill(lake, [article(name, language=language) for name, language in languages.items()])
    run(settings)
    fields = set(table.recipe.fields)
    shown = sample_rows(table, 3)
    if recipe == "summary":
        assert {languages[row["article_id"]] for row in shown} == {"en", "de", None}
    for row in sample_rows(table, 99):
        assert row["body"].startswith("The story of")
        assert set(row["answer"]) == fields
    assert [len(sample_rows(table, count)) for count in (0, 1, 3, 5, 99)] == [0, 1, 3, 5, 5]
    fill(lake, [article("new")])
    run(settings)
    assert [row["article_id"] for row in sample_rows(table)] == ["new"]
