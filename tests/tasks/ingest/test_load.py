"""An id that comes again with other content replaces what was there; nothing is thrown away."""

import json
import shutil
from pathlib import Path

import pytest

from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_source
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.superseded import Superseded, current_rows, tidy_articles
from article_flows.tasks.reading.sources.find import find_sources
from tests.tasks.storage.crashing_storage import at_every_change
from tests.tasks.summarize.job_support import at, rows_of

Row = tuple[str, str]
"""An id and a text."""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def load(
    lake: Lake, *rows: Row, end: bool = True, mirror: bool = False, keep_versions: bool = False
) -> tuple[SourceReport, int]:
    """Load rows from a file; returns the report, and how many rows were replaced."""
    source = at(lake).with_name("source.jsonl")
    source.write_text("".join(json.dumps({"id": id_, "body": text}) + "\n" for id_, text in rows))
    one = Load(lake, keep_versions=keep_versions)
    (report,) = [ingest_source(each, one) for each in find_sources([str(source)])]
    return report, one.finish(mirror=mirror) if end else 0


def current(lake: Lake) -> list[Row]:
    """The articles, once nobody reads their parts."""
    expected = len(current_rows(lake))
    tidy_articles(lake)
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


def test_until_the_parts_are_free_a_list_says_what_is_current(lake: Lake) -> None:
    load(lake, ("a", "old"), ("b", "same"))
    load(lake, ("a", "new"))
    assert len(pairs(lake, "articles")) == 3
    assert len(Superseded(lake)) == 1
    assert len(current_rows(lake)) == 2


def test_content_that_comes_back_is_current_again(lake: Lake) -> None:
    for text in ("one", "two", "one"):
        load(lake, ("a", text))
    # Not tidied in between: the row that is there is not taken for the one that comes again.
    assert current(lake) == [("a", "one")]
    load(lake, ("a", "two"))
    assert current(lake) == [("a", "two")]
    assert pairs(lake, "superseded/articles") == [("a", "one"), ("a", "one"), ("a", "two")]


def test_two_rows_of_one_load_that_share_an_id_both_stay(lake: Lake) -> None:
    for _ in range(2):
        load(lake, ("a", "one"), ("a", "two"))
        assert current(lake) == [("a", "one"), ("a", "two")]
    _, replaced = load(lake, ("a", "one"), ("a", "three"))
    assert replaced == 1
    assert current(lake) == [("a", "one"), ("a", "three")]


def test_what_is_not_in_the_sources_stays_unless_they_are_a_mirror(lake: Lake) -> None:
    load(lake, ("a", "one"), ("b", "two"), ("c", "three"))
    load(lake, ("a", "one"))
    assert len(current(lake)) == 3
    _, replaced = load(lake, ("a", "one"), ("b", "new"), mirror=True)
    assert replaced == 2
    assert current(lake) == [("a", "one"), ("b", "new")]
    assert pairs(lake, "superseded/articles") == [("b", "two"), ("c", "three")]


def test_versions_are_kept_side_by_side_if_wanted(lake: Lake) -> None:
    load(lake, ("a", "one"), ("b", "two"))
    load(lake, ("a", "new"), keep_versions=True)
    assert current(lake) == [("a", "new"), ("a", "one"), ("b", "two")]
    load(lake, ("a", "newer"), keep_versions=True, mirror=True)
    assert current(lake) == [("a", "new"), ("a", "newer"), ("a", "one")]


def test_a_load_that_was_killed_is_ended_by_the_next(lake: Lake) -> None:
    load(lake, ("a", "old"), ("b", "same"))
    load(lake, ("a", "new"), end=False)
    assert len(current_rows(lake)) == 3
    # Whatever is loaded next.
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


def test_what_a_killed_load_brought_is_replaced_like_anything_else(lake: Lake) -> None:
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


def test_ids_that_repeat_in_a_load_are_counted(lake: Lake) -> None:
    report, _ = load(lake, ("a", "one"), ("a", "two"), ("b", "one"), ("a", "one"))
    assert (report.stored, report.repeated_ids, report.duplicates) == (3, 1, 1)


def test_a_load_leaves_nothing_behind_where_nothing_is_new(lake: Lake) -> None:
    load(lake, ("a", "one"))
    before = lake.storage.list("articles")
    load(lake, ("a", "one"))
    assert lake.storage.list("articles") == before
    assert lake.storage.list("_staging/loads") == []


def test_a_load_that_dies_anywhere_ends_well_with_the_next(lake: Lake) -> None:
    load(lake, ("a", "old"), ("b", "same"), ("c", "gone"))
    pristine = at(lake).with_name("pristine")
    shutil.copytree(at(lake), pristine)
    second = (("a", "new"), ("b", "same"))
    wanted = [("a", "new"), ("b", "same")]

    def load_and_tidy(dying: Lake) -> None:
        load(dying, *second, mirror=True)
        tidy_articles(dying)

    deaths = 0
    for _ in at_every_change(lake, load_and_tidy):
        deaths += 1
        seen = {*pairs(lake, "articles"), *pairs(lake, "superseded/articles")}
        assert seen >= {("a", "old"), ("b", "same"), ("c", "gone")}
        load_and_tidy(lake)
        assert current(lake) == wanted
        assert pairs(lake, "superseded/articles") == [("a", "old"), ("c", "gone")]
        left = {file.name.split("/")[1] for file in lake.storage.list("_staging")}
        assert left <= {"parts", "schemas"}
        shutil.rmtree(at(lake))
        shutil.copytree(pristine, at(lake))
    assert deaths > 6
