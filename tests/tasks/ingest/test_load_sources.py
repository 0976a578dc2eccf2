import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.cleaning.columns.options import parse_column_options
from article_flows.tasks.cleaning.text.clean import clean_text
from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.ingest import article_writer
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_source
from article_flows.tasks.ingest.options import LoadOptions
from article_flows.tasks.ingest.rejects import REJECTS_SCHEMA
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parquet_parts import PartWriter
from article_flows.tasks.reading.sources.find import find_sources
from tests.tasks.summarize.job_support import at

DEMO = Path(__file__).parents[3] / "data" / "articles.jsonl"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def load(lake: Lake, *specs: str | Path, **columns: str) -> list[SourceReport]:
    load = Load(lake)
    options = [f"{target}={column}" for target, column in columns.items()]
    loading = LoadOptions(columns=parse_column_options(options))
    reports = [
        ingest_source(source, load, loading)
        for source in find_sources([str(spec) for spec in specs])
    ]
    load.finish()
    for report in reports:
        assert report.rows_in == (
            report.stored + report.duplicates + report.already_there + report.rejected
        )
    return reports


def rows_of(lake: Lake, folder: str = "articles") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for part in lake.parts(folder):
        table = pq.read_table(at(lake, part.name))
        assert table.schema == (ARTICLES_SCHEMA if folder == "articles" else REJECTS_SCHEMA)
        rows += table.to_pylist()
    return rows


def counts(report: SourceReport) -> tuple[int, int, int, int]:
    return report.stored, report.duplicates, report.already_there, report.rejected


def write_jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_demo_loads_and_a_second_load_stores_nothing(lake: Lake) -> None:
    progress: list[int] = []
    (source,) = find_sources(["demo"])
    report = ingest_source(
        source, Load(lake), on_progress=lambda so_far: progress.append(so_far.rows_in)
    )
    assert (counts(report), report.rows_in, report.error) == ((100, 0, 0, 0), 100, None)
    assert progress[-1] == 100
    assert report.columns["published_at"] == "date"
    originals = {row["id"]: row for row in map(json.loads, DEMO.open())}
    for row in rows_of(lake):
        original = originals[row["article_id"]]
        assert row["body"] == clean_text(original["body"])
        assert str(row["published_at"].date()) == original["date"]
        assert json.loads(row["extra"])["licence"] == original["licence"]
    (again,) = load(lake, "demo")
    assert counts(again) == (0, 0, 100, 0)
    assert len(rows_of(lake)) == 100


def test_one_article_in_many_encodings_and_formats_is_stored_once(
    lake: Lake, tmp_path: Path
) -> None:
    rows = [row for row in map(json.loads, DEMO.open()) if row["lang"] == "zh"]
    for name, encoding in [("a", "gb18030"), ("b", "utf-16"), ("c", "utf-8-sig"), ("d", "utf-8")]:
        with (tmp_path / f"{name}.csv").open("w", encoding=encoding, newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "e.parquet")
    first, *others = load(lake, tmp_path / "*.csv", tmp_path / "e.parquet")
    assert counts(first) == (19, 0, 0, 0)
    assert [counts(report) for report in others] == [(0, 19, 0, 0)] * 4
    stored = {row["article_id"]: row["body"] for row in rows_of(lake)}
    assert stored == {row["id"]: clean_text(row["body"]) for row in rows}


def test_broken_lines_are_rejected_once_and_other_lines_kept(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1, "body": "x"}\n{"id": 2, "bo\nnull\n{"id": 4, "body": ""}\n')
    (report,) = load(lake, path)
    assert (counts(report), report.error) == ((1, 0, 0, 3), None)
    assert [(row["source"], row["row"]) for row in rows_of(lake, "rejects")] == [
        (str(path), 2),
        (str(path), 3),
        (str(path), 4),
    ]
    with path.open("a") as file:
        file.write('{"id": 5, "body": "y"}\nfalse\n')
    (report,) = load(lake, path)
    assert counts(report) == (1, 0, 1, 4)
    assert [row["row"] for row in rows_of(lake, "rejects")] == [2, 3, 4, 6]
    assert all(row["rejected_at"].tzinfo for row in rows_of(lake, "rejects"))


def test_the_same_content_is_stored_once_per_id(lake: Lake, tmp_path: Path) -> None:
    x = {"id": "1", "body": "x"}
    path = write_jsonl(tmp_path / "a.jsonl", x, x | {"body": " x\r\n"}, x | {"id": "2"}, x)
    other = write_jsonl(tmp_path / "b.jsonl", x, x | {"body": "changed"})
    assert [counts(report) for report in load(lake, path)] == [(2, 2, 0, 0)]
    assert [counts(report) for report in load(lake, path, other)] == [(0, 0, 4, 0), (1, 0, 1, 0)]
    stored = [(row["article_id"], row["body"]) for row in rows_of(lake)]
    assert stored == [("1", "x"), ("2", "x"), ("1", "changed")]


def test_parts_of_different_sources_have_one_schema_and_a_bounded_size(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(article_writer, "RUN_ROWS", 1000)
    monkeypatch.setattr(article_writer, "PART_BYTES", 1)
    rows = [{"id": n, "body": f"text {n}", "n": n if n % 2 else "odd"} for n in range(2500)]
    load(lake, write_jsonl(tmp_path / "a.jsonl", *rows), DEMO)
    assert [part.rows() for part in lake.parts(lake.articles)] == [1000, 1000, 500, 100]
    assert len(rows_of(lake)) == 2600
    for part in lake.parts(lake.articles):
        ids = pq.read_table(at(lake, part.name))["article_id"].to_pylist()
        assert ids == sorted(ids)


def test_a_source_that_fails_midway_keeps_its_valid_rows(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"id": list(range(30)), "body": [f"text {n}" for n in range(30)]})
    pq.write_table(table, path, row_group_size=10, use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(2).column(1)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset : column.data_page_offset + 20] = b"\xff" * 20
    path.write_bytes(content)
    (report,) = load(lake, path)
    assert counts(report) == (20, 0, 0, 0)
    assert report.error is not None
    assert "after row 20" in report.error
    assert len(rows_of(lake)) == 20


def test_the_error_of_a_source_is_in_its_report(lake: Lake, tmp_path: Path) -> None:
    (report,) = load(lake, write_jsonl(tmp_path / "a.jsonl", {"a": 1}))
    assert report.rows_in == 0
    assert report.error is not None
    assert report.error.endswith("--column body=NAME")
    (report,) = load(lake, write_jsonl(tmp_path / "a.jsonl", {"a": "x"}), body="a")
    assert (counts(report), report.error) == ((1, 0, 0, 0), None)


def test_a_file_with_only_broken_lines_gives_only_rejects(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("x\ny\n")
    (report,) = load(lake, path)
    assert (counts(report), report.error, report.columns) == ((0, 0, 0, 2), None, {})


class Crash(BaseException):
    """A crash like a kill signal: only the file system survives."""


@pytest.mark.parametrize("writes_before_the_crash", [0, 1, 2])
def test_no_row_is_lost_or_duplicated_after_a_crash(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes_before_the_crash: int
) -> None:
    monkeypatch.setattr(article_writer, "RUN_ROWS", 1000)
    monkeypatch.setattr(article_writer, "PART_BYTES", 1)
    rows: list[object] = [{"id": n % 2900, "body": f"text {n % 2900}"} for n in range(3500)]
    rows[1500:1500] = [None, {"body": ""}]
    path = write_jsonl(tmp_path / "a.jsonl", *rows)
    commit, written = PartWriter.commit, 0

    def crashing(self: PartWriter) -> None:
        nonlocal written
        if written == writes_before_the_crash:
            raise Crash
        written += 1
        commit(self)

    with monkeypatch.context() as patch:
        patch.setattr(PartWriter, "commit", crashing)
        with pytest.raises(Crash):
            load(lake, path)
    committed = len(rows_of(lake))
    assert committed == 0 if writes_before_the_crash == 0 else committed > 0
    (report,) = load(lake, path)
    assert report.stored == 2900 - committed
    assert sorted(int(row["article_id"]) for row in rows_of(lake)) == list(range(2900))
    assert [row["row"] for row in rows_of(lake, "rejects")] == [1501, 1502]


# A file that consists mostly of control characters is not read as text.
TEXT = st.one_of(st.characters(exclude_categories=["Cs", "Cc"]), st.sampled_from("\r\n\t"))
ARTICLES = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(0, 3).map(str),
            "title": st.text(TEXT, max_size=5),
            "body": st.text(TEXT, max_size=10),
        }
    ),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=40)
@given(articles=ARTICLES, format_=st.sampled_from(["jsonl", "csv", "parquet"]))
def test_articles_round_trip_through_any_format(
    tmp_path_factory: pytest.TempPathFactory, articles: list[dict[str, str]], format_: str
) -> None:
    folder = tmp_path_factory.mktemp("ingest")
    path = folder / f"a.{format_}"
    if format_ == "jsonl":
        write_jsonl(path, *articles)
    elif format_ == "parquet":
        pq.write_table(pa.Table.from_pylist(articles), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, articles[0], quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(articles)
    cleaned = [{key: clean_text(text) for key, text in row.items()} for row in articles]
    expected = dict.fromkeys(
        (row["id"], row["title"], row["body"]) for row in cleaned if row["body"]
    )
    lake = Lake(folder / "lake")
    same = {"article_id": "id", "title": "title", "body": "body"}
    (report,) = load(lake, path, **same)
    assert report.rows_in == len(articles)
    assert report.rejected == sum(not row["body"] for row in cleaned)
    stored = [(row["article_id"], row["title"] or "", row["body"]) for row in rows_of(lake)]
    assert sorted(stored) == sorted(expected)
    (again,) = load(lake, path, **same)
    assert (again.stored, again.already_there) == (0, len(articles) - again.rejected)
