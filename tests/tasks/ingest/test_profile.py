from datetime import UTC, datetime

import pyarrow as pa

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.ingest.profile import LoadProfile
from article_flows.tasks.ingest.report import IngestReport
from article_flows.tasks.reading.base.rows import Reject
from article_flows.tasks.reports.ingest_markdown import profile_markdown


def rows(*bodies: str, language: str | None = "en", year: int | None = 2020) -> pa.RecordBatch:
    date = datetime(year, 3, 4, tzinfo=UTC) if year else None
    empty = dict.fromkeys(ARTICLES_SCHEMA.names)
    return pa.RecordBatch.from_pylist(
        [
            {**empty, "body": body, "language": language, "published_at": date, "flags": ["html"]}
            for body in bodies
        ],
        schema=ARTICLES_SCHEMA,
    )


def test_lengths_languages_dates_and_flags_are_counted() -> None:
    profile = LoadProfile()
    profile.add(rows("x" * 99, "x" * 100, "文" * 499))
    profile.add(rows("x" * 1_000_000, language=None, year=None))
    profile.add(rows("x", language="de", year=2022))
    assert (profile.rows, profile.characters) == (5, 99 + 100 + 499 + 1_000_000 + 1)
    assert profile.lengths == {0: 2, 1: 2, 6: 1}
    assert profile.languages == {"en": 3, None: 1, "de": 1}
    assert profile.years == {2020: 3, None: 1, 2022: 1}
    assert profile.flags == {"html": 5}
    assert profile.first is not None
    assert profile.last is not None
    assert (profile.first.year, profile.last.year) == (2020, 2022)


def test_reasons_are_grouped_without_numbers_and_limited() -> None:
    profile = LoadProfile()
    profile.add_rejects(
        "a.csv", [Reject(n, f"{n:,} characters; too few", "") for n in range(3_000)]
    )
    assert profile.reasons == {"… characters; too few": 3_000}
    profile.add_rejects("a.csv", [Reject(1, "x" * n, "") for n in range(1, 1_000)])
    assert sum(profile.reasons.values()) == 3_999
    assert len(profile.reasons) < 250


def test_a_profile_without_rows_is_valid() -> None:
    profile = LoadProfile()
    profile.add(rows())
    assert profile.as_json()["first_date"] is None
    report = IngestReport([], [], "lake/articles", "lake/rejects", 0.0, profile=profile)
    assert "0 articles" in profile_markdown(report)


def test_the_artifact_shows_the_profile_as_tables() -> None:
    profile = LoadProfile()
    for year in range(1990, 2020):
        profile.add(rows("x" * 3_000, year=year))
    profile.add_rejects("a.csv", [Reject(7, "empty | body", "")])
    text = profile_markdown(
        IngestReport([], [], "lake/articles", "lake/rejects", 0.0, profile=profile)
    )
    assert "| 2,000 to 9,999 | 30 | ██" in text
    assert "| before 2008 | 18 |" in text
    assert "| html | 30 |" in text
    assert r"empty \| body" in text
