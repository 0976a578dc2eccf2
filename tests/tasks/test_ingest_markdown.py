from tasks.ingest_markdown import ingest_markdown
from tasks.profiles import Profile
from tasks.reading.readers_base import Reject
from tasks.reports import IngestReport
from tasks.source_report import SourceReport


def told(*sources: SourceReport, profile: Profile | None = None) -> str:
    profile = profile or Profile()
    return ingest_markdown(IngestReport([*sources], [], "articles", "rejects", 1, profile=profile))


def test_what_may_be_missing_or_wrong_is_said_of_its_source() -> None:
    book = SourceReport("a.xlsx", 3, 3, facts={"sheets_passed_over": "Notes", "sheets": "News"})
    text = SourceReport("b.csv", 1, 1, facts={"encoding": "gb18030 (guessed)"})
    sure = SourceReport("c.json", 1, 1, facts={"encoding": "utf-8", "layout": "a list"})
    lines = [line for line in told(book, text, sure).splitlines() if line.startswith("Mind")]
    assert lines == [
        "Mind: a.xlsx: sheets that are not read: Notes",
        "Mind: b.csv: its encoding is a guess, gb18030",
    ]


def test_long_names_are_known_by_their_ends() -> None:
    shown = told(SourceReport("/data/incoming/2026/november/agency-one/articles.jsonl", 1, 1))
    assert "…ovember/agency-one/articles.jsonl" in shown


def test_the_most_frequent_reasons_of_rejects_are_shown() -> None:
    profile = Profile()
    profile.add_rejects([Reject(n, "empty body", "") for n in range(1_200)])
    profile.add_rejects([Reject(1, f"reason {'x' * n}", "") for n in range(9)])
    shown = told(SourceReport("a.csv", 1_209, rejected=1_209), profile=profile)
    assert "- 1,200 × empty body" in shown
    assert "- 5 × other reasons" in shown
