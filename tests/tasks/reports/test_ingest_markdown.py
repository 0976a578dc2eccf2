from article_flows.tasks.ingest.profile import LoadProfile
from article_flows.tasks.ingest.report import IngestReport
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.reading.base.rows import Reject
from article_flows.tasks.reports.ingest_markdown import ingest_markdown


def markdown_of(*sources: SourceReport, profile: LoadProfile | None = None) -> str:
    profile = profile or LoadProfile()
    return ingest_markdown(IngestReport([*sources], [], "articles", "rejects", 1, profile=profile))


def test_unread_sheets_and_guessed_encodings_are_noted() -> None:
    book = SourceReport("a.xlsx", 3, 3, facts={"sheets_passed_over": "Notes", "sheets": "News"})
    text = SourceReport("b.csv", 1, 1, facts={"encoding": "gb18030 (guessed)"})
    sure = SourceReport("c.json", 1, 1, facts={"encoding": "utf-8", "layout": "a list"})
    lines = [line for line in markdown_of(book, text, sure).splitlines() if line.startswith("Note")]
    assert lines == [
        "Note: a.xlsx: sheets that were not read: Notes",
        "Note: b.csv: the encoding gb18030 is a guess",
    ]


def test_the_end_of_a_long_source_name_is_shown() -> None:
    shown = markdown_of(
        SourceReport("/data/incoming/2026/november/agency-one/articles.jsonl", 1, 1)
    )
    assert "…ncy-one/articles.jsonl" in shown


def test_the_most_frequent_reject_reasons_are_shown_with_an_example() -> None:
    profile = LoadProfile()
    profile.add_rejects("in/a.csv", [Reject(n, f"{n} characters", "") for n in range(7, 1_207)])
    profile.add_rejects("b.csv", [Reject(3, "9 fields where the header has 4", "")])
    profile.add_rejects("b.csv", [Reject(1, f"reason {'x' * n}", "") for n in range(9)])
    shown = markdown_of(SourceReport("a.csv", 1_210, rejected=1_210), profile=profile)
    assert "- 1,200 × … characters, such as '7 characters' (a.csv row 7)" in shown
    assert "- 1 × 9 fields where the header has 4 (b.csv row 3)" in shown
    assert "- 3 × 3 other reasons" in shown


def test_each_column_mapping_names_its_sources() -> None:
    one, two, three = (
        SourceReport(f"in/{name}.csv", 1, 1, columns={"body": column})
        for name, column in (("a", "text"), ("b", "text"), ("c", "story"))
    )
    assert "\nColumns: body from text\n" in markdown_of(one, two)
    shown = markdown_of(one, two, three)
    assert "Columns in a.csv and 1 more: body from text" in shown
    assert "Columns in c.csv: body from story" in shown


def test_superseded_rows_are_explained() -> None:
    report = IngestReport([SourceReport("a.csv", 4, 4, changed=3)], [], "a", "r", 1, superseded=5)
    shown = ingest_markdown(report)
    assert "3 with new content, 2 no longer in the sources" in shown
    assert "--keep-versions" in shown
