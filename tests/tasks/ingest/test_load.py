"""A repeated id with different content replaces the old row, which is kept as superseded."""

import json
import shutil
from pathlib import Path

import pytest

from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_source
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.tombstones import Tombstones, compact_articles, current_row_keys
from article_flows.tasks.reading.sources.find import find_sources
from tests.tasks.storage.crashing_storage import at_every_change
from tests.tasks.summarize.job_support import at, rows_of

Row = tuple[str, str]
"""An id and a body."""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def load(
    lake: Lake, *rows: Row, end: bool = True, mirror: bool = False, keep_versions: bool = False
) -> tuple[SourceReport, int]:
    """Load rows from a file; return the report and the number of replaced rows."""
    source = at(lake).with_name("source.jsonl")
    source.write_text("".join(json.dumps({"id": id_, "body": text}) + "\n" for id_, text in rows))
    one = Load(lake, keep_versions=keep_versions)
    (report,) = [ingest_source(each, one) for each in find_sources([str(source)])]
    return report, one.finish(mirror=mirror) if end else 0


def current(lake: Lake) -> list[Row]:
    """Return the current articles after merging the parts."""
    expected = len(current_row_keys(lake))
    compact_articles(lake)
    rows = pairs(lake, "articles")
    assert len(rows) == expected
    return rows


def pairs(lake: Lake, folder: str) -> list[Row]:
    return sorted((row["article_id"], row["body"]) for row in rows_of(lake, folder))


def test_a_changed_article_replaces_the_old_one_which_is_kept(lake: Lake) -> None:
    load(lake, ("a", "old"), ("b", "same"))
    report, replaced = load(lake, ("a", "new"), ("b", "same"), ("c", "more"))
    assert (report.stored, report.changed, report.already_there, replaced) == (2, 1, 1, 1)
    assert current(lake) == [("a", "new"), ("b", "same"), ("c", "more")]
    assert pairs(lake, "superseded/articles") == [("a", "old")]


def test_until_parts_can_be_merged_a_list_tracks_superseded_rows(lake: Lake) -> None:
    load(lake, ("a", "old"), ("b", "same"))
    load(lake, ("a", "new"))
    assert len(pairs(lake, "articles")) == 3
    assert len(Tombstones(lake)) == 1
    assert len(current_row_keys(lake)) == 2


def test_restored_content_is_current_again(lake: Lake) -> None:
    for text in ("one", "two", "one"):
        load(lake, ("a", text))
    # The parts are not merged in between: the superseded row is not mistaken for the restored one.
    assert current(lake) == [("a", "one")]
    load(lake, ("a", "two"))
    assert current(lake) == [("a", "two")]
    assert pairs(lake, "superseded/articles") == [("a", "one"), ("a", "one"), ("a", "two")]


def test_two_rows_of_one_load_with_the_same_id_are_both_kept(lake: Lake) -> None:
    for _ in range(2):
        load(lake, ("a", "one"), ("a", "two"))
        assert current(lake) == [("a", "one"), ("a", "two")]
    _, replaced = load(lake, ("a", "one"), ("a", "three"))
    assert replaced == 1
    assert current(lake) == [("a", "one"), ("a", "three")]


def test_only_a_mirror_removes_articles_missing_from_the_sources(lake: Lake) -> None:
    load(lake, ("a", "one"), ("b", "two"), ("c", "three"))
    load(lake, ("a", "one"))
    assert len(current(lake)) == 3
    _, replaced = load(lake, ("a", "one"), ("b", "new"), mirror=True)
    assert replaced == 2
    assert current(lake) == [("a", "one"), ("b", "new")]
    assert pairs(lake, "superseded/articles") == [("b", "two"), ("c", "three")]


def test_keep_versions_keeps_all_versions(lake: Lake) -> None:
    load(lake, ("a", "one"), ("b", "two"))
    load(lake, ("a", "new"), keep_versions=True)
    assert current(lake) == [("a", "new"), ("a", "one"), ("b", "two")]
    load(lake, ("a", "newer"), keep_versions=True, mirror=True)
    assert current(lake) == [("a", "new"), ("a", "newer"), ("a", "one")]


def test_the_next_load_finishes_a_killed_load(lake: Lake) -> None:
    load(lake, ("a", "old"), ("b", "same"))
    load(lake, ("a", "new"), end=False)
    assert len(current_row_keys(lake)) == 3
    # The next load may have any rows.
    load(lake, ("b", "same"))
    assert current(lake) == [("a", "new"), ("b", "same")]
    assert lake.storage.list("_staging/loads") == []


def test_a_killed_load_that_keeps_versions_replaces_nothing(lake: Lake) -> None:
    load(lake, ("a", "old"), ("b", "same"))
    load(lake, ("a", "new"), end=False, keep_versions=True)
    load(lake, ("a", "new"), keep_versions=True)
    assert current(lake) == [("a", "new"), ("a", "old"), ("b", "same")]
    load(lake, ("b", "newer"), end=False)
    load(lake, ("a", "new"), keep_versions=True)
    assert current(lake) == [("a", "new"), ("a", "old"), ("b", "newer")]


def test_rows_of_a_killed_load_can_be_replaced(lake: Lake) -> None:
    load(lake, ("a", "one"), ("b", "same"))
    load(lake, ("a", "two"), end=False)
    load(lake, ("a", "three"), end=False)
    load(lake, ("a", "four"))
    assert current(lake) == [("a", "four"), ("b", "same")]
    load(lake, ("a", "five"), end=False)
    load(lake, ("a", "four"))
    assert current(lake) == [("a", "four"), ("b", "same")]
    load(lake, ("b", "gone"), end=False)
    load(lake, ("a", "four"), mirror=True)
    assert current(lake) == [("a", "four")]


def test_repeated_ids_in_a_load_are_counted(lake: Lake) -> None:
    report, _ = load(lake, ("a", "one"), ("a", "two"), ("b", "one"), ("a", "one"))
    assert (report.stored, report.repeated_ids, report.duplicates) == (3, 1, 1)


def test_a_load_without_new_rows_leaves_nothing_behind(lake: Lake) -> None:
    load(lake, ("a", "one"))
    before = lake.storage.list("articles")
    load(lake, ("a", "one"))
    assert lake.storage.list("articles") == before
    assert lake.storage.list("_staging/loads") == []


def test_a_load_killed_at_any_point_is_finished_by_the_next(lake: Lake) -> None:
    load(lake, ("a", "old"), ("b", "same"), ("c", "gone"))
    pristine = at(lake).with_name("pristine")
    shutil.copytree(at(lake), pristine)
    second = (("a", "new"), ("b", "same"))
    expected = [("a", "new"), ("b", "same")]

    def load_and_tidy(dying: Lake) -> None:
        load(dying, *second, mirror=True)
        compact_articles(dying)

    deaths = 0
    for _ in at_every_change(lake, load_and_tidy):
        deaths += 1
        seen = {*pairs(lake, "articles"), *pairs(lake, "superseded/articles")}
        assert seen >= {("a", "old"), ("b", "same"), ("c", "gone")}
        load_and_tidy(lake)
        assert current(lake) == expected
        assert pairs(lake, "superseded/articles") == [("a", "old"), ("c", "gone")]
        left = {file.name.split("/")[1] for file in lake.storage.list("_staging")}
        assert left <= {"parts", "schemas"}
        shutil.rmtree(at(lake))
        shutil.copytree(pristine, at(lake))
    assert deaths > 6
