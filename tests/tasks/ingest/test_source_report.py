"""A folder of documents is one line of a report; tables and broken sources are separate lines."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.ingest.source_report import SourceReport, fold_reports


def report(source: str, **changes: object) -> SourceReport:
    usual = SourceReport(source, rows_in=1, stored=1, format="document")
    return replace(usual, **changes)  # type: ignore[arg-type]  # Names and types as the class has.


def test_reports_of_articles_in_one_folder_are_combined() -> None:
    (one,) = fold_reports(
        report(f"in/{number}.txt", columns={"body": "text"}) for number in range(3)
    )
    assert (one.source, one.files, one.rows_in, one.stored) == ("in/*.txt", 3, 3, 3)
    assert one.columns == {"body": "text"}


def test_folders_formats_and_suffixes_are_kept_separate() -> None:
    reports = [
        report("a/1.txt"),
        report("b/1.txt"),
        report("a/2.txt"),
        report("a/1.json", format="json"),
        report("a/2.json", format="jsonl"),
        report("a/README"),
        report("a/NEWS"),
    ]
    assert [(each.source, each.files, each.rows_in) for each in fold_reports(reports)] == [
        ("a/*.txt", 2, 2),
        ("b/1.txt", 1, 1),
        ("a/1.json", 1, 1),
        ("a/2.json", 1, 1),
        ("a/*", 2, 2),
    ]


def test_tables_and_unreadable_sources_are_kept_separate() -> None:
    reports = [
        report("a/1.csv", rows_in=7, stored=7),
        report("a/2.csv", rows_in=9, stored=9),
        report("a/1.txt", rows_in=0, stored=0, error="a/1.txt cannot be read"),
        report("a/2.txt", rows_in=0, stored=0, error="a/2.txt cannot be read"),
        report("a/3.txt"),
        report("a/4.txt", rows_in=0, stored=0),
        report("alone.txt"),
        report("alone.txt"),
    ]
    assert [(each.source, each.rows_in, bool(each.error)) for each in fold_reports(reports)] == [
        ("a/1.csv", 7, False),
        ("a/2.csv", 9, False),
        ("a/1.txt", 0, True),
        ("a/2.txt", 0, True),
        ("a/*.txt", 1, False),
        ("alone.txt", 1, False),
        ("alone.txt", 1, False),
    ]


def test_folding_again_adds_only_new_reports() -> None:
    once = fold_reports([report("a/1.txt"), report("a/2.txt", stored=0, rejected=1)])
    again = fold_reports([*once, *fold_reports([report("a/3.txt"), report("a/4.txt")])])
    assert [(each.source, each.files, each.rows_in) for each in again] == [("a/*.txt", 4, 4)]
    assert (again[0].stored, again[0].rejected) == (3, 1)
    assert fold_reports(again) == again


COUNTS = ("rows_in", "stored", "changed", "repeated_ids", "duplicates", "already_there", "rejected")
REPORTS = st.lists(
    st.builds(
        SourceReport,
        source=st.sampled_from(["a/1.txt", "a/2.txt", "b/1.json", "c", "a/b/x.y.txt", "a/x"]),
        rows_in=st.integers(0, 3),
        stored=st.integers(0, 3),
        duplicates=st.integers(0, 3),
        already_there=st.integers(0, 3),
        rejected=st.integers(0, 3),
        error=st.sampled_from([None, None, "it is broken"]),
        format=st.sampled_from(["document", "json"]),
    )
)


@given(reports=REPORTS)
def test_folding_loses_no_count(reports: list[SourceReport]) -> None:
    before = {name: sum(getattr(each, name) for each in reports) for name in (*COUNTS, "files")}
    broken = sum(each.error is not None for each in reports)

    found = fold_reports(reports)

    for name, count in before.items():
        assert sum(getattr(each, name) for each in found) == count
    assert sum(each.error is not None for each in found) == broken
