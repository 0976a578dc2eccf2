from pathlib import Path

import pandas as pd
import pytest

from benchmarks import articles
from benchmarks.articles import Source, make_rows, real_articles

SOURCES = [
    Source(f"Title {letter}", [f"Sentence {letter}{number}." for number in range(6)])
    for letter in "abcdef"
]


def test_rows_are_distinct_and_reproducible() -> None:
    rows = list(make_rows(SOURCES, 300, (2, 3)))
    assert rows == list(make_rows(SOURCES, 300, (2, 3)))
    assert len({row["body"] for row in rows}) == len({row["id"] for row in rows}) == 300


def test_a_row_joins_passages_of_two_articles() -> None:
    for row in make_rows(SOURCES, 50, (2, 2)):
        first, second = row["body"].split("\n\n")
        assert first[9] == row["title"][-1] != second[9]
        for passage in (first, second):
            assert any(passage in " ".join(source.sentences) for source in SOURCES)


def test_the_file_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(articles, "CACHE", tmp_path)
    path = articles.articles(30)
    short = articles.articles(30, short=True)
    written = path.stat().st_mtime_ns
    assert articles.articles(30) == path
    assert path.stat().st_mtime_ns == written
    frame, shorter = pd.read_parquet(path), pd.read_parquet(short)
    assert list(frame) == ["id", "title", "body"]
    assert len(frame) == frame["body"].nunique() == 30
    assert shorter["body"].str.len().mean() < frame["body"].str.len().mean()


def test_demo_articles_replace_missing_development_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(articles, "DEVELOPMENT_DATA", tmp_path / "none")
    real_articles.cache_clear()
    try:
        sources = real_articles()
    finally:
        real_articles.cache_clear()
    assert len(sources) == 100
    assert all(source.sentences for source in sources)
