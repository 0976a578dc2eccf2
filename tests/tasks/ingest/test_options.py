"""Turn a user's settings into the sources, columns and rules of a load."""

import json
from pathlib import Path
from typing import Any

import pytest

from article_flows.tasks.cleaning.columns.options import ColumnOption
from article_flows.tasks.common.errors import UsageError, UserError
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_source
from article_flows.tasks.ingest.options import load_options, rules_of, sources_of
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.settings import IngestSettings

TEXT = (
    "The council met on Monday and voted to build the bridge that residents had asked for. "
    "Work is to begin in spring, once the river has gone down, and to end before the winter."
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path


def settings(home: Path, **options: Any) -> IngestSettings:
    return IngestSettings(**{"sources": [str(home / "in")], "lake": str(home / "lake"), **options})


def write(home: Path, name: str, *rows: dict[str, Any]) -> Path:
    path = home / "in" / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def load(home: Path, **options: Any) -> list[SourceReport]:
    given = settings(home, **options)
    lake = Lake(given.lake)
    one, loading = Load(lake), load_options(given, lake)
    reports = [ingest_source(source, one, loading) for source in sources_of(given)]
    one.finish()
    return reports


def counts(report: SourceReport) -> tuple[int, int, int]:
    return report.stored, report.already_there, report.rejected


def test_source_options_apply_to_each_source(home: Path) -> None:
    write(home, "a.jsonl", {"body": TEXT})
    (source,) = sources_of(settings(home, encoding="gb18030", allow_hosts=["intranet"]))
    assert (source.encoding, source.allow_hosts, source.format) == (
        "gb18030",
        ("intranet",),
        "jsonl",
    )
    (source,) = sources_of(settings(home, format="document"))
    assert source.format == "document"
    with pytest.raises(UserError, match="docx is not a supported format"):
        sources_of(settings(home, format="docx"))


def test_a_column_pattern_that_matches_no_source_is_an_error(home: Path) -> None:
    write(home, "a.jsonl", {"words": TEXT})
    with pytest.raises(UserError) as error:
        sources_of(settings(home, columns=["*.jsonl:body=words", "b*.jsonl:title=words"]))
    assert str(error.value) == "--column b*.jsonl: matches none of the sources"
    assert len(sources_of(settings(home, columns=["*.jsonl:body=words"]))) == 1


@pytest.mark.parametrize("option", ["words", "mood=words", "body="])
def test_an_invalid_column_option_is_a_usage_error(home: Path, option: str) -> None:
    write(home, "a.jsonl", {"words": TEXT})
    with pytest.raises(UsageError, match=f"--column {option}"):
        load_options(settings(home, columns=[option]), Lake(home / "lake"))


def test_columns_apply_to_all_sources_or_to_some(home: Path) -> None:
    write(home, "a.jsonl", {"one": TEXT, "two": "Two."})
    write(home, "b.jsonl", {"one": "One.", "two": TEXT})
    options = ["body=one", "b.jsonl:body=two"]
    loading = load_options(settings(home, columns=options), Lake(home / "lake"))
    assert loading.columns == (ColumnOption("body", "one"), ColumnOption("body", "two", "b.jsonl"))
    reports = load(home, columns=options)
    assert [report.columns["body"] for report in reports] == ["one", "two"]


def test_the_rules_come_from_the_settings(home: Path) -> None:
    rules = rules_of(
        settings(home, min_chars=5, max_chars=9, keep_boilerplate=True, detect_language=False)
    )
    assert (rules.min_chars, rules.max_chars) == (5, 9)
    assert (rules.boilerplate, rules.detect_language) == (True, False)
    usual = rules_of(settings(home))
    assert (usual.min_chars, usual.max_chars, usual.boilerplate) == (1, 1_000_000, False)
    write(home, "a.jsonl", {"body": TEXT}, {"body": "Page not found"}, {"body": "Short."})
    assert counts(load(home, min_chars=10)[0]) == (1, 0, 2)
    assert counts(load(home, keep_boilerplate=True)[0]) == (2, 1, 0)


def test_near_duplicates_are_kept_by_default(home: Path) -> None:
    rows = [{"id": 1, "body": TEXT}, {"id": 2, "body": f"{TEXT} Really."}]
    write(home, "a.jsonl", *rows)
    assert load_options(settings(home), Lake(home / "lake")).near_duplicates is None
    assert counts(load(home)[0]) == (2, 0, 0)


def test_near_duplicates_of_articles_in_the_lake_are_found(home: Path) -> None:
    path = write(home, "a.jsonl", {"id": 1, "body": TEXT})
    load(home)
    path.unlink()
    write(home, "b.jsonl", {"id": 2, "body": f"{TEXT} Really."}, {"id": 3, "body": "Another one."})

    (report,) = load(home, near_duplicates=True)

    assert counts(report) == (1, 0, 1)


def test_the_similarity_of_near_duplicates_can_be_set(home: Path) -> None:
    other = TEXT.replace("in spring", "soon").replace("the winter", "long")
    write(home, "a.jsonl", {"id": 1, "body": TEXT}, {"id": 2, "body": other})
    assert counts(load(home, near_duplicates=True, similarity=0.99)[0]) == (2, 0, 0)
    again = home / "again"
    (again / "in").mkdir(parents=True)
    write(again, "a.jsonl", {"id": 1, "body": TEXT}, {"id": 2, "body": other})
    assert counts(load(again, near_duplicates=True, similarity=0.5)[0]) == (1, 0, 1)


def test_an_equal_row_is_a_duplicate_not_a_near_duplicate(home: Path) -> None:
    row, near = {"id": 1, "body": TEXT}, {"id": 2, "body": f"{TEXT} Really."}
    write(home, "a.jsonl", row, row, near, near, row)

    (report,) = load(home, near_duplicates=True)

    assert (report.stored, report.duplicates, report.rejected) == (1, 2, 2)
    (report,) = load(home, near_duplicates=True)
    assert (report.stored, report.already_there, report.rejected) == (0, 3, 2)


def test_a_new_version_is_not_a_near_duplicate_of_the_old_one(home: Path) -> None:
    write(home, "a.jsonl", {"id": 1, "body": TEXT})
    load(home, near_duplicates=True)
    write(home, "a.jsonl", {"id": 1, "body": f"{TEXT} Really."}, {"id": 2, "body": TEXT})

    (report,) = load(home, near_duplicates=True)

    assert (report.stored, report.changed, report.rejected) == (1, 1, 1)


def test_a_mirror_ignores_leaving_articles_in_near_duplicate_detection(home: Path) -> None:
    write(home, "a.jsonl", {"id": 1, "body": TEXT}, {"id": 2, "body": "Another one."})
    load(home)
    write(home, "a.jsonl", {"id": 3, "body": f"{TEXT} Really."}, {"id": 2, "body": "Another one."})

    (report,) = load(home, near_duplicates=True, mirror=True)

    assert (report.stored, report.already_there, report.rejected) == (1, 1, 0)
    write(home, "b.jsonl", {"id": 4, "body": f"{TEXT} Indeed."})
    reports = load(home, near_duplicates=True, mirror=True)
    assert [each.rejected for each in reports] == [0, 1]


def test_the_order_of_dates_can_be_set(home: Path) -> None:
    lake = Lake(home / "lake")
    orders = {"auto": None, "day-first": True, "month-first": False}
    for order, day_first in orders.items():
        assert load_options(settings(home, date_order=order), lake).day_first is day_first


def test_the_report_says_why_a_column_does_not_match_its_name(home: Path) -> None:
    write(home, "a.jsonl", {"id": 1, "date": 1999, "body": TEXT})
    assert load(home)[0].notes == {"date": "a year alone is not a date"}
