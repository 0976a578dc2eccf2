"""Samples show rows of the newest part in as many languages as it has."""

from pathlib import Path

import pytest

from article_flows.tasks.enriched.table import sample_rows
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.summarize.open_job import open_table
from tests.tasks.summarize.job_support import article, asking, endpoint, fill, run


@pytest.mark.parametrize("recipe", ["summary", "digest"])
def test_samples_are_of_many_languages_and_show_the_answer_alone(
    tmp_path: Path, recipe: str
) -> None:
    lake = Lake(tmp_path / "lake")
    settings = asking(lake, endpoint().base_url, recipe=recipe)
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
