"""Reports contain all counts, and article text cannot add tables, links or images."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from article_flows.tasks.ingest.report import IngestReport
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.llm.protocol.chat import Usage
from article_flows.tasks.reading.sources.files import Skipped
from article_flows.tasks.reports.ingest_markdown import ingest_markdown
from article_flows.tasks.reports.run_json import run_as_json
from article_flows.tasks.reports.summarize_markdown import (
    code,
    escaped,
    format_seconds,
    format_usd,
    summarize_markdown,
)
from article_flows.tasks.summarize.report import SummarizeReport

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = [
    "a | b | c\n|---|---|\n| x | y |",
    "`code` ``` fence ``` ~~~",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "line\r\n\r\n# heading\n\n---\n===\n- item\n1. one\n+ plus",
    "[link](http://evil.example) ![image](http://evil.example/x.png) [ref]: http://e",
    "<http://evil.example> &lt;b&gt; &#91; **bold** __bold__ ~~gone~~ \\| \\",
    "- item",
    "+ item",
    "12. item",
    "3) item",
    "---",
    "===",
    "> quote",
    "\\",
    "|",
    "",
]
TEXTS = st.text("ab1 |`<>&[]()!*_~#-+=.\\\n\r\"':;/@", max_size=30) | st.text(
    st.characters(exclude_categories=["Cc", "Cs"]), max_size=30
)
ALLOWED = set(
    "heading_open heading_close inline paragraph_open paragraph_close table_open table_close "
    "thead_open thead_close tbody_open tbody_close tr_open tr_close th_open th_close td_open "
    "td_close blockquote_open blockquote_close".split()
)
ALLOWED_INLINE = {"text", "text_special", "strong_open", "strong_close", "code_inline", "softbreak"}


def report(**values: Any) -> SummarizeReport:
    given: dict[str, Any] = {
        "recipe": "summary",
        "model": "m",
        "endpoint": "m at http://localhost/v1",
        "table": "/lake/summaries/summary/m-1",
        "failures": "/lake/failures/summary/m-1",
    }
    return SummarizeReport(**{**given, **values})


def sample(text: str) -> dict[str, Any]:
    answer = {"summary": text, "words": [text, text], "count": None}
    return {"article_id": "a1", "title": text or None, "body": text, "answer": answer}


def tokens_of(markdown: str) -> list[Token]:
    """Parse a report, and check that it contains only permitted kinds of tokens."""
    tokens = MARKDOWN.parse(markdown)
    assert {token.type for token in tokens} <= ALLOWED
    inline = {child.type for token in tokens for child in token.children or ()}
    assert inline <= ALLOWED_INLINE
    return tokens


def structure_of(markdown: str) -> list[str]:
    return [token.type for token in tokens_of(markdown)]


def text_of(markdown: str) -> str:
    """Return the text of a line as a reader sees it."""
    children = [child for token in MARKDOWN.parse(markdown) for child in token.children or ()]
    return "".join(child.content for child in children)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_does_not_change_the_structure_of_a_report(text: str) -> None:
    tame = report(samples=[sample("tame")], stopped="tame", failed={"tame": 1})
    wild = report(samples=[sample(text or "x")], stopped=text or "x", failed={text or "x": 1})
    wild.endpoint = wild.recipe = text or "x"
    assert structure_of(summarize_markdown(wild)) == structure_of(summarize_markdown(tame))


@given(TEXTS)
def test_any_text_is_shown_unchanged(text: str) -> None:
    shown = escaped(text)
    assert "\n" not in shown
    assert text_of(f"x {shown} x").split() == ["x", *text.split(), "x"]
    alone = MARKDOWN.parse(shown)
    assert [token.type for token in alone] in (
        ["paragraph_open", "inline", "paragraph_close"],
        [],
    )
    assert text_of(shown).split() == text.split()


@given(TEXTS.filter(lambda text: bool(text.split())))
def test_any_title_and_answer_keep_the_structure_of_a_report(text: str) -> None:
    tame = structure_of(summarize_markdown(report(samples=[sample("tame")])))
    assert structure_of(summarize_markdown(report(samples=[sample(text)]))) == tame


@pytest.mark.parametrize(
    "text", ["see https://evil.example/x", "www.evil.example", "me@evil.example", "ftp://e.example"]
)
def test_bare_addresses_are_escaped_so_that_viewers_do_not_link_them(text: str) -> None:
    shown = escaped(text)
    assert text not in shown
    assert not any(part in shown for part in ("https://", "ftp://", "www.", "me@"))
    assert text_of(shown) == text


@pytest.mark.parametrize("path", ["/lake", "/la`ke", "/la``ke`", "/a|b", "`"])
def test_backticks_in_a_path_do_not_end_the_code_span(path: str) -> None:
    (inline,) = [token for token in MARKDOWN.parse(f"Table: {code(path)}") if token.children]
    text, span = inline.children or []
    assert (text.content, span.type, span.content) == ("Table: ", "code_inline", path)


def test_a_summarize_report_contains_every_count() -> None:
    full = report(
        articles=1_234,
        answered=1_000,
        reused=200,
        failed={"too_long": 3, "content_filter": 1},
        left=30,
        calls=1_000,
        attempts=1_010,
        usage=Usage(5_000_000, 1_000, 60_000),
        cost_usd=12.34567,
        errors={"server_error": 10},
        asking_seconds=10.0,
        seconds={"plan": 0.25, "ask": 100.0},
        samples=[sample("A text.")],
    )
    markdown = summarize_markdown(full)
    rows = [line.strip("| ").split(" | ") for line in markdown.splitlines() if " | " in line]
    assert dict(row for row in rows if len(row) == 2) == {
        "articles": "1,234",
        "answered in this run": "1,000",
        "reused at no cost": "200",
        "failed": r"4 (content\_filter 1, too\_long 3)",
        "remaining": "30",
        "metric": "value",
        "requests": "1,010 for 1,000 articles",
        "failed requests": r"10 (server\_error 10)",
        "tokens": "5,000,000 prompt (1,000 cached), 60,000 completion",
        "cost": "$12.3457",
        "throughput": "100.0 articles/s",
        "time": "plan 0.2 s, ask 1 min 40 s",
    }
    assert "Failures: `/lake/failures/summary/m-1`" in markdown
    assert "**words:** A text., A text." in markdown
    quiet = summarize_markdown(replace(full, failed={}, errors={}, stopped="out of money"))
    assert "Failures:" not in quiet
    assert "failed requests" not in quiet
    assert "**Stopped:** out of money" in quiet


def test_a_long_article_is_truncated() -> None:
    (line,) = [
        line
        for line in summarize_markdown(report(samples=[sample("x" * 999)])).splitlines()
        if line.startswith("> ")
    ]
    assert line == f"> {'x' * 240}…"


def test_an_ingest_report_contains_all_sources_and_what_was_not_read() -> None:
    sources = [SourceReport(f"a|{n}.csv", rows_in=2, stored=1, rejected=1) for n in range(25)]
    sources.append(SourceReport("b.csv", error="b.csv is `broken` | so"))
    skipped = [Skipped("c.pdf", "no <reader>")]
    markdown = ingest_markdown(IngestReport(sources, skipped, "/lake/articles", "/rejects", 1.0))
    assert structure_of(markdown).count("tr_open") == 21
    assert "and 6 more sources; 50 rows in total" in markdown
    seen = text_of(markdown)
    assert "Not read: b.csv is `broken` | so" in seen
    assert "Skipped: c.pdf (no <reader>)" in seen
    assert "Rejected rows: /rejects" in seen


def test_all_skipped_files_are_counted() -> None:
    skipped = [Skipped(f"{number}.py", "a program") for number in range(978)]
    report = IngestReport([], skipped, "/lake/articles", "/rejects", 1.0)
    assert "9.py (a program) and 968 more" in text_of(ingest_markdown(report))
    for document in (
        report.as_json(),
        run_as_json(report, SummarizeReport("", "", "", "", ""), 1.0),
    ):
        assert document["skipped_count"] == 978
        assert document["skipped"][0] == "0.py: a program"


def test_amounts_and_durations_are_readable() -> None:
    assert [format_usd(amount) for amount in (0, 0.00012, 1.5, 1234.5)] == [
        "$0.00",
        "$0.0001",
        "$1.5000",
        "$1,234.50",
    ]
    assert format_usd(None).startswith("unknown price")
    assert [format_seconds(seconds) for seconds in (0.04, 9.94, 10.4)] == ["0.0 s", "9.9 s", "10 s"]
