"""Dashboards find a recipe's table under a name that does not change with its hash."""

import shutil
from pathlib import Path
from uuid import uuid4

import orjson
import pandas as pd
import pyarrow as pa
import pytest

from article_flows.tasks.checks.verify import verify_lake
from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA, content_hash
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.enriched.current import current_table, make_current
from article_flows.tasks.enriched.discovery import find_tables
from article_flows.tasks.enriched.recipes import load_recipe
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.lake.lake import Lake
from tests.object_store import ObjectStoreServer
from tests.tasks.summarize.job_support import answer, write_outcomes


def filled(lake: Lake, model: str) -> EnrichedTable:
    """A table of a model with one answer."""
    table = EnrichedTable(lake, load_recipe("summary"), model)
    table.write_description()
    hashes = pa.array([content_hash("A title", "A body.")])
    row = {"article_id": ["a"], "content_hash": hashes, "title": ["A title"], "body": ["A body."]}
    articles = pa.Table.from_pydict(
        {name: row.get(name, pa.nulls(1)) for name in ARTICLES_SCHEMA.names},
        schema=ARTICLES_SCHEMA,
    )
    write_outcomes(table, articles, [answer(hashes[0].as_py(), summary=model)], "part-1.parquet")
    return table


def test_the_current_table_is_the_one_completed_last(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    first, second = filled(lake, "one"), filled(lake, "two")

    make_current(first, complete=False)
    assert current_table(tmp_path / "lake") == lake.location(first.folder)
    make_current(second, complete=False)
    assert current_table(str(tmp_path / "lake"), "summary") == lake.location(first.folder)
    make_current(second, complete=True)
    assert current_table(lake) == lake.location(second.folder)

    link = tmp_path / "lake" / "current" / "summary"
    assert pd.read_parquet(link)["summary"].tolist() == ["two"]
    assert pd.read_parquet(f"{link}/")["summary"].tolist() == ["two"]
    assert len(pd.read_parquet(tmp_path / "lake" / "summaries" / "summary")) == 2
    assert {table.table_id for table in find_tables(lake)} == {first.table_id, second.table_id}


def test_a_bucket_has_a_current_table(object_store: ObjectStoreServer) -> None:
    uri = object_store.uri(f"lake-{uuid4().hex}")
    lake = Lake(uri)
    table = filled(lake, "one")

    make_current(table, complete=True)

    assert current_table(uri) == lake.location(table.folder)
    assert not [note for note in verify_lake(lake).notes if "_current" in note]


@pytest.mark.parametrize(
    "pointer", [b"", b"{}", b'{"table": 3}', b'{"table": "../.."}', b'{"table": ""}', b"\xff"]
)
def test_a_damaged_pointer_is_rewritten(tmp_path: Path, pointer: bytes) -> None:
    lake = Lake(tmp_path / "lake")
    table = filled(lake, "one")
    lake.storage.write("summaries/summary/_current.json", pointer)
    with pytest.raises(UserError, match="has no table of the recipe summary; run it first"):
        current_table(lake)

    make_current(table, complete=False)

    assert current_table(lake) == lake.location(table.folder)


def test_without_links_the_pointer_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object, **__: object) -> None:
        raise OSError("links are not supported")

    monkeypatch.setattr(Path, "symlink_to", unsupported)
    lake = Lake(tmp_path / "lake")
    table = filled(lake, "one")

    make_current(table, complete=True)

    assert current_table(lake) == lake.location(table.folder)


def test_the_link_is_made_again_where_a_run_was_killed_before_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    first, second = filled(lake, "one"), filled(lake, "two")
    link = tmp_path / "lake" / "current" / "summary"
    make_current(first, complete=True)
    lake.storage.write("summaries/summary/_current.json", orjson.dumps({"table": second.table_id}))

    make_current(second, complete=True)
    assert link.readlink() == Path("../summaries/summary", second.table_id)
    link.unlink()
    make_current(first, complete=False)

    assert link.readlink() == Path("../summaries/summary", second.table_id)


def test_what_a_user_has_in_place_of_the_link_stays(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    table = filled(lake, "one")
    theirs = tmp_path / "lake" / "current" / "summary"
    theirs.parent.mkdir()
    theirs.write_text("mine")

    make_current(table, complete=True)

    assert theirs.read_text() == "mine"
    assert current_table(lake) == lake.location(table.folder)


def test_a_copy_that_follows_links_can_be_read_and_verify_names_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    table = filled(lake, "one")
    make_current(table, complete=True)
    copied = Lake(shutil.copytree(tmp_path / "lake", tmp_path / "copy", symlinks=False))

    make_current(EnrichedTable(copied, table.recipe, "one"), complete=True)

    assert [found.table_id for found in find_tables(copied)] == [table.table_id]
    problems = [problem for problem in verify_lake(copied).problems if "current" in problem]
    assert len(problems) == 1
    assert "current/summary: is a copy of a table in place of the link" in problems[0]


def test_a_table_that_was_removed_is_not_the_current_one(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    first, second = filled(lake, "one"), filled(lake, "two")
    make_current(first, complete=True)
    shutil.rmtree(lake.location(first.folder))

    make_current(second, complete=False)

    assert current_table(lake) == lake.location(second.folder)
