"""Lakes of the previous version, with fewer columns, remain usable."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from article_flows.tasks.checks.verify import verify_lake
from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.enriched.upkeep import repair_table
from article_flows.tasks.lake.compaction import ADDED_COLUMNS, is_earlier_schema, upgrade_parts
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parquet_parts import ROW_GROUP
from article_flows.tasks.lake.tombstones import compact_articles
from tests.tasks.lake.lake_support import ANSWERS, UNANSWERED, copy_full_lake, settings_of, table_of
from tests.tasks.summarize.job_support import article, at, fill, ids_of, rows_of, run


@pytest.fixture
def old(tmp_path: Path) -> Lake:
    """The sample lake as the previous version would have written it."""
    lake = copy_full_lake(tmp_path / "lake")
    for folder in (lake.articles, lake.summaries, lake.superseded):
        for part in lake.parts(folder):
            table = pq.read_table(at(lake, part.name))
            if set(ADDED_COLUMNS) <= set(table.schema.names):
                home, _, name = part.name.rpartition("/")
                lake.write_part(home, name, table.drop_columns(list(ADDED_COLUMNS)))
    shutil.rmtree(at(lake, "_staging/schemas"), ignore_errors=True)
    return lake


def schemas(lake: Lake, folder: str) -> list[list[str]]:
    return [pq.read_schema(at(lake, part.name)).names for part in lake.parts(folder)]


def without_added(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in row if name not in ADDED_COLUMNS} for row in rows]


def test_the_fixture_lacks_the_added_columns(old: Lake) -> None:
    assert set(map(tuple, schemas(old, old.articles))) == {tuple(ARTICLES_SCHEMA.names[:11])}
    for folder in (old.summaries, f"{old.superseded}/{old.articles}"):
        assert schemas(old, folder)
        assert not any(set(ADDED_COLUMNS) & set(names) for names in schemas(old, folder))


def test_a_load_upgrades_the_articles_table(old: Lake) -> None:
    before = rows_of(old, old.articles)

    fill(old, [article("z", reference_summary="A human's words.")])
    compact_articles(old)

    rows = rows_of(old, old.articles)
    assert without_added(rows[:-1]) == before
    assert all(row[name] is None for row in rows[:-1] for name in ADDED_COLUMNS)
    assert rows[-1]["reference_summary"] == "A human's words."
    for folder in (old.articles, f"{old.superseded}/{old.articles}"):
        assert set(map(tuple, schemas(old, folder))) == {tuple(ARTICLES_SCHEMA.names)}
    assert verify_lake(old).problems == []


def test_articles_of_an_old_lake_are_recognized_and_can_be_replaced(old: Lake) -> None:
    before = ids_of(old, old.articles)

    fill(old, [article(UNANSWERED), article("a2", "A new version. It has two sentences.")])
    compact_articles(old)

    assert ids_of(old, old.articles) == before
    assert verify_lake(old).problems == []


@pytest.mark.parametrize("loaded_first", [False, True])
def test_a_run_requests_only_new_articles_and_upgrades_its_table(
    old: Lake, loaded_first: bool
) -> None:
    table = table_of(old)
    before = rows_of(old, table.folder)
    if loaded_first:
        fill(old, [article("z")])
        compact_articles(old)

    ran = run(settings_of(old))

    new = [UNANSWERED, "z"] if loaded_first else [UNANSWERED]
    assert ran.counts.answered == len(new)
    repair_table(table)
    rows = rows_of(old, table.folder)
    assert [row["article_id"] for row in rows] == sorted(
        [*(row["article_id"] for row in before), *new]
    )
    assert len(before) == ANSWERS
    kept = [row for row in rows if row["article_id"] not in new]
    assert without_added(kept) == before
    for folder in (table.folder, table.superseded):
        assert set(map(tuple, schemas(old, folder))) == {tuple(table.schema.names)}
    assert verify_lake(old).problems == []
    assert run(settings_of(old)).counts.answered == 0


def test_an_old_lake_has_no_problems(old: Lake) -> None:
    assert verify_lake(old).problems == []


def test_parts_are_upgraded_once_per_schema(tmp_path: Path) -> None:
    lake, table = Lake(tmp_path), pa.table({"a": [1, 2], "c": ["x", "y"]})
    wide = pa.schema([("a", pa.int64()), ("b", pa.string()), ("c", pa.string())])
    lake.write_part("t", "part-1.parquet", table)
    lake.write_part("t", "part-2.parquet", pa.table({"a": [3], "b": ["b"], "c": ["z"]}))

    assert upgrade_parts(lake, "t", wide, ROW_GROUP) == 1

    names = [part.name for part in lake.parts("t")]
    assert "t/part-2.parquet" in names
    assert "t/part-1.parquet" not in names
    rows = [row for name in names for row in pq.read_table(at(lake, name)).to_pylist()]
    assert sorted(rows, key=lambda row: row["a"]) == [
        {"a": 1, "b": None, "c": "x"},
        {"a": 2, "b": None, "c": "y"},
        {"a": 3, "b": "b", "c": "z"},
    ]
    assert upgrade_parts(lake, "t", wide, ROW_GROUP) == 0
    assert [part.name for part in lake.parts("t")] == names
    wider = wide.append(pa.field("d", pa.int64()))
    assert upgrade_parts(lake, "t", wider, ROW_GROUP) == 2


def test_a_part_with_an_unknown_column_is_not_upgraded(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write_part("t", "part-1.parquet", pa.table({"a": [1], "theirs": ["x"]}))

    assert upgrade_parts(lake, "t", pa.schema([("a", pa.int64()), ("b", pa.string())]), 9) == 0

    assert [part.name for part in lake.parts("t")] == ["t/part-1.parquet"]


def test_schemas_of_earlier_versions_are_recognized() -> None:
    def of(*names: str) -> pa.Schema:
        return pa.schema([(name, pa.string()) for name in names])

    now = of("id", "reference_summary", "article_flags", "flags", "end")
    recipe_columns = ("flags",)
    assert is_earlier_schema(now, now, recipe_columns)
    assert is_earlier_schema(of("id", "flags", "end"), now, recipe_columns)
    assert is_earlier_schema(of("id", "article_flags", "flags", "end"), now, recipe_columns)
    assert not is_earlier_schema(of("id", "reference_summary", "end"), now, recipe_columns)
    assert not is_earlier_schema(of("flags", "end"), now, recipe_columns)
    assert not is_earlier_schema(of("id", "end", "flags"), now, recipe_columns)
    assert not is_earlier_schema(of("id", "flags", "end", "more"), now, recipe_columns)
