import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from article_flows.tasks.checks.inspection import (
    BODY_CHARS,
    InspectedColumn,
    Inspection,
    inspect_source,
)
from article_flows.tasks.cleaning.columns.options import parse_column_options
from article_flows.tasks.cleaning.filters.rules import Rules
from article_flows.tasks.ingest.options import LoadOptions
from article_flows.tasks.reading.sources.find import find_sources
from tests.support import ROOT, write_articles

DEV = ROOT.parent / "shared" / "data" / "dev"
needs_dev = pytest.mark.skipif(not DEV.exists(), reason="needs the development data")


def inspected(path: Path, *columns: str, rules: Rules | None = None) -> Inspection:
    (source,) = find_sources([str(path)])
    return inspect_source(source, LoadOptions(parse_column_options(columns), rules or Rules()))


def mapping(seen: Inspection) -> dict[str, tuple[str, ...]]:
    return {each.name: each.taken_for for each in seen.columns if each.taken_for}


def test_a_table_is_inspected_as_it_would_be_loaded(tmp_path: Path) -> None:
    path = write_articles(tmp_path / "a.jsonl", 1500)
    seen = inspected(path)
    assert (seen.format, seen.error, seen.counted) == ("jsonl", None, True)
    assert seen.size.stored == path.stat().st_size
    assert seen.total_rows == 1500
    assert 1000 <= seen.rows <= 1500
    assert seen.articles == seen.rows
    assert seen.columns[0] == InspectedColumn("id", "text", 1.0, "a0", ("article_id",), "named id")
    assert mapping(seen) == {"id": ("article_id",), "title": ("title",), "body": ("body",)}
    assert seen.samples[0]["title"] == "Report 0"
    assert all(len(row["body"]) <= BODY_CHARS for row in seen.samples)
    assert seen.tokens is not None
    assert seen.tokens == pytest.approx(1500 * 29, rel=0.1)


def test_rejects_are_counted_by_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [json.dumps({"text": f"Some sentence {number}. " * 9}) for number in range(8)]
    path.write_text("\n".join([*rows, "{broken", '{"text": ""}', '{"text": "too short"}']))
    seen = inspected(path, rules=Rules(min_chars=50))
    assert (seen.rows, seen.articles) == (11, 8)
    assert sum(seen.rejects.values()) == 3
    assert seen.rejects["empty body"] == 1


def test_the_columns_of_a_table_without_text_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("key,count\n" + "".join(f"k{n},{n * n}\n" for n in range(30)))
    seen = inspected(path)
    assert seen.error is not None
    assert "no column looks like the article's text" in seen.error
    assert [each.name for each in seen.columns] == ["key", "count"]
    assert (seen.rows, seen.articles, seen.samples) == (30, 0, [])


def test_given_columns_are_shown_as_given(tmp_path: Path) -> None:
    path = write_articles(tmp_path / "a.jsonl", 3)
    seen = inspected(path, "a.jsonl:body={title}. {body}", "title=")
    assert mapping(seen) == {"id": ("article_id",), "title": ("body",), "body": ("body",)}
    assert seen.columns[1].why == "given with --column"
    assert seen.samples[0]["body"].startswith("Report 0. The council")


def test_columns_that_do_not_match_their_names_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"text": f"A sentence {n}. " * 30, "date": 1990 + n, "x": None} for n in range(9)]
    path.write_text("\n".join(map(json.dumps, rows)))
    seen = inspected(path)
    assert seen.columns[1:] == [
        InspectedColumn("date", "number", 1.0, "1990", (), "a year alone is not a date"),
        InspectedColumn("x", "empty", 0.0, "", (), ""),
    ]


def test_rows_of_large_files_are_estimated_and_of_parquet_read_from_its_footer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("article_flows.tasks.checks.inspection.COUNTED_BYTES", 1000)
    path = write_articles(tmp_path / "a.jsonl", 5000)
    seen = inspected(path)
    assert not seen.counted
    assert seen.total_rows == pytest.approx(5000, rel=0.05)
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    seen = inspected(packed)
    assert (seen.size.compression, seen.size.stored) == ("gzip", packed.stat().st_size)
    assert seen.total_rows == pytest.approx(5000, rel=0.05)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=1000)
    seen = inspected(tmp_path / "a.parquet")
    assert (seen.counted, seen.total_rows) == (True, 5000)


def test_a_truncated_file_shows_its_rows_and_an_error(tmp_path: Path) -> None:
    path = write_articles(tmp_path / "a.jsonl", 2000)
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes())[:-2000])
    seen = inspected(packed)
    assert seen.error is not None
    assert "ends in the middle" in seen.error
    assert seen.articles > 0


@needs_dev
@pytest.mark.parametrize(
    ("file", "columns"),
    [
        (
            "scitldr/dev.jsonl",
            {
                "source": ("body",),
                "target": ("reference_summary",),
                "paper_id": ("article_id",),
                "title": ("title",),
            },
        ),
        (
            "wikinews/wikinews_2020.csv",
            {"url": ("url",), "date": ("published_at",), "title": ("title",), "text": ("body",)},
        ),
        ("csl/ts_dev.tsv", {"column_2": ("body",), "column_3": ("title",)}),
        ("sotu/1790_george_washington_n.json", {"name": ("author",), "text": ("body",)}),
    ],
)
def test_real_data_is_mapped_without_options(
    file: str, columns: dict[str, tuple[str, ...]]
) -> None:
    seen = inspected(DEV / file)
    assert (seen.error, mapping(seen)) == (None, columns)


@needs_dev
@pytest.mark.parametrize("file", ["nation.csv", "nation.plain.parquet", "test.parquet"])
def test_tables_without_articles_are_rejected(file: str) -> None:
    seen = inspected(DEV / "nasty" / "parquet_fastparquet" / file)
    assert seen.error is not None
    assert "no column looks like the article's text" in seen.error
