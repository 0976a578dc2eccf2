"""Real datasets, each loaded with one command: check the counts and the values."""

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from article_flows.tasks.cleaning.text.clean import clean_text
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_sources
from article_flows.tasks.ingest.options import load_options, sources_of
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.settings import IngestSettings
from tests.support import ROOT
from tests.tasks.summarize.job_support import at

DEV = ROOT.parent / "shared" / "data" / "dev"

pytestmark = pytest.mark.skipif(not DEV.exists(), reason="needs the development data")


@dataclass
class Loaded:
    """The result of loading a folder: `counts` over all files, and the contents of the lake."""

    lake: Lake
    reports: list[SourceReport]
    counts: tuple[int, int, int, int]

    @property
    def errors(self) -> list[str]:
        return [report.error for report in self.reports if report.error]

    def rows(self, folder: str = "articles") -> list[dict[str, Any]]:
        tables = [pq.read_table(at(self.lake, part.name)) for part in self.lake.parts(folder)]
        return [row for table in tables for row in table.to_pylist()]


def loaded(lake: Path, folder: str, **options: Any) -> Loaded:
    """Load a folder as the command does; the counts are rows in, stored, duplicates, rejected."""
    settings = IngestSettings(sources=[str(DEV / folder)], lake=str(lake), **options)
    sources, into = sources_of(settings), Lake(settings.lake)
    load = Load(into)
    reports = [(source, SourceReport(source.name)) for source in sources]
    ingest_sources(reports, load, load_options(settings, into))
    load.finish()
    found = Loaded(into, [report for _, report in reports], (0, 0, 0, 0))
    names = ("rows_in", "stored", "duplicates", "rejected")
    sums = [sum(getattr(report, name) for report in found.reports) for name in names]
    found.counts = (sums[0], sums[1], sums[2], sums[3])
    assert sums[0] == sums[1] + sums[2] + sums[3]
    assert sums[1] == len(found.rows())
    assert sums[3] == len(found.rows("rejects"))
    assert all(report.finished for report in found.reports)
    for error in found.errors:
        assert "please report" not in error
        assert "\n" not in error
        assert len(error) < 1_000
    return found


def bare(text: str) -> str:
    """Return a text without white space, which may differ."""
    return "".join(text.split())


def columns_of(found: Loaded) -> dict[str, str]:
    """Return the column mapping, which must be the same for all files."""
    (columns,) = {tuple(sorted(report.columns.items())) for report in found.reports}
    return dict(columns)


def test_scitldr(tmp_path: Path) -> None:
    found = loaded(tmp_path, "scitldr")

    assert (found.counts, found.errors) == ((2_611, 2_611, 0, 0), [])
    assert columns_of(found) == {
        "article_id": "paper_id",
        "title": "title",
        "body": "source",
        "reference_summary": "target",
    }
    papers = [json.loads(line) for path in DEV.glob("scitldr/*.jsonl") for line in path.open()]
    rows = {(row["article_id"], bare(row["body"])): row for row in found.rows()}
    for paper in papers:
        row = rows[paper["paper_id"], bare(clean_text("".join(paper["source"])))]
        # One line per human summary, with a space between sentences.
        assert row["reference_summary"].split("\n") == [
            clean_text(each) for each in paper["target"]
        ]
        assert row["body"].startswith(clean_text(paper["source"][0]))
    assert len(rows) == len(papers)


def test_wikinews(tmp_path: Path) -> None:
    found = loaded(tmp_path, "wikinews")

    assert (found.counts, found.errors) == ((295, 293, 0, 2), [])
    assert columns_of(found) == {
        "title": "title",
        "body": "text",
        "url": "url",
        "published_at": "date",
    }
    assert sorted(reject["reason"] for reject in found.rows("rejects")) == [
        "boilerplate: nothing but a date",
        "boilerplate: test page",
    ]
    news: dict[str, dict[str, str]] = {}
    for path in DEV.glob("wikinews/*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            news |= {each["url"]: each for each in csv.DictReader(file)}
    for row in found.rows():
        original = news[row["url"]]
        assert row["article_id"] == row["url"]
        assert row["title"] == clean_text(original["title"])
        assert row["body"] == clean_text(original["text"])
        assert str(row["published_at"].date()) == original["date"]
    assert sum(len(row["body"]) > 50_000 for row in found.rows()) == 3


def test_csl(tmp_path: Path) -> None:
    found = loaded(tmp_path, "csl")

    assert (found.counts, found.errors) == ((1_000, 1_000, 0, 0), [])
    assert columns_of(found) == {"title": "column_3", "body": "column_2"}
    assert found.reports[0].facts["header"] == "none"
    lines = (DEV / "csl" / "ts_dev.tsv").read_text(encoding="utf-8").splitlines()
    cells = [line.split("\t") for line in lines]
    assert {(row["title"], row["body"]) for row in found.rows()} == {
        (clean_text(title), clean_text(body)) for _, body, title in cells
    }
    assert Counter(row["language"] for row in found.rows()).most_common(1)[0][0] == "zh"


def test_klexikon_needs_an_option_which_the_error_names(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        loaded(tmp_path, "klexikon")

    message = str(error.value)
    assert "\n" not in message
    assert (
        f"load {DEV / 'klexikon' / 'wiki'} --references {DEV / 'klexikon' / 'klexikon'}" in message
    )


def test_klexikon(tmp_path: Path) -> None:
    references = DEV / "klexikon" / "klexikon"
    found = loaded(tmp_path, "klexikon/wiki", references=str(references))

    assert (found.counts, found.errors) == ((274, 274, 0, 0), [])
    for row in found.rows():
        name = Path(row["source"]).name
        assert row["body"] == clean_text((DEV / "klexikon/wiki" / name).read_text())
        assert row["reference_summary"] == clean_text((references / name).read_text())
        assert row["language"] == "de"
    titles = {each["title"] for each in json.loads((DEV / "klexikon/articles.json").read_text())}
    # Some titles have characters that file names cannot have.
    assert len({row["title"] for row in found.rows()} & titles) > 250


def test_sotu(tmp_path: Path) -> None:
    found = loaded(tmp_path, "sotu")

    assert (found.counts, found.errors) == ((233, 233, 0, 0), [])
    assert columns_of(found) == {"body": "text", "author": "name"}
    by_name = {Path(row["source"]).name: row for row in found.rows()}
    same = 0
    for path in DEV.glob("sotu/*.json"):
        if path.name not in by_name:
            continue
        original, row = json.loads(path.read_text()), by_name[path.name]
        assert row["author"] == original["name"]
        assert json.loads(row["extra"])["year"] == original["year"]
        same += row["body"] == clean_text(original["text"])
    # One has the <p> of the page from which it was copied.
    assert same == 232


def test_texts_in_any_encoding_and_broken_lines(tmp_path: Path) -> None:
    found = loaded(tmp_path, "nasty/derived_from_real")

    assert (found.counts, found.errors) == ((193, 69, 107, 17), [])
    by_file = {
        Path(report.source).name: (report.rows_in, report.stored, report.rejected)
        for report in found.reports
    }
    assert by_file == {
        "gcdt_zh_gb18030.csv": (39, 39, 0),
        "gcdt_zh_utf16_bom.csv": (39, 0, 0),
        "gcdt_zh_utf8_bom.csv": (39, 0, 0),
        "gum_bom_crlf.jsonl": (20, 20, 0),
        "gum_broken_lines.jsonl": (36, 10, 16),
        "gum_truncated_last_line.jsonl": (20, 0, 1),
    }
    with (DEV / "nasty/derived_from_real/gcdt_zh_utf8_bom.csv").open(
        newline="", encoding="utf-8-sig"
    ) as file:
        originals = {each["id"]: each for each in csv.DictReader(file)}
    rows = {row["article_id"]: row for row in found.rows()}
    for name, original in originals.items():
        assert rows[name]["body"] == clean_text(original["body"])
        assert rows[name]["title"] == clean_text(original["title"])


def test_tables_without_articles_are_reported_one_by_one(tmp_path: Path) -> None:
    found = loaded(tmp_path, "nasty/csv_spectrum")

    assert found.counts == (0, 0, 0, 0)
    assert len(found.errors) == len(found.reports) == 22
    assert all("--column body=NAME" in error for error in found.errors)


def test_json_of_all_kinds(tmp_path: Path) -> None:
    found = loaded(tmp_path, "nasty/json_testsuite")

    # None of them has articles; each file has a line in the report.
    rows_in, stored, duplicates, rejected = found.counts
    assert (rows_in, stored, duplicates) == (rejected, 0, 0)
    for report in found.reports:
        name = Path(report.source).name
        if name.startswith("n_"):
            assert report.rejected or report.error, name
        elif name.startswith("y_"):
            assert report.error is None or "--column body=NAME" in report.error, name
    assert not [each["reason"] for each in found.rows("rejects") if not each["reason"]]


def test_parquet_of_other_writers(tmp_path: Path) -> None:
    found = loaded(tmp_path, "nasty/parquet_fastparquet")

    assert found.counts[1] == 0
    assert len(found.reports) == 88
    # The tables without an error are empty.
    assert sum(report.error is None for report in found.reports) == 3


@pytest.mark.slow
def test_well_formed_and_malformed_feeds_are_loaded(tmp_path: Path) -> None:
    found = loaded(tmp_path, "nasty/feeds_feedparser")

    assert len(found.reports) == 2_106
    assert found.counts[0] == 1_219
    # A Channel Definition Format file is not a feed of articles.
    assert len(found.errors) == 7
    assert all("/cdf/" in error for error in found.errors)
