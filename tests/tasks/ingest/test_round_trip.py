"""Any rows, written in any format, encoding and compression, round-trip through a load."""

import json
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from article_flows.tasks.cleaning.columns.options import parse_column_options
from article_flows.tasks.cleaning.filters.rules import Rules
from article_flows.tasks.cleaning.text.clean import clean_text
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_sources
from article_flows.tasks.ingest.options import LoadOptions
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.reading.sources.find import SourceOptions, find_sources
from tests.tasks.ingest.round_trip_support import (
    ENCODINGS,
    NAMES,
    PACKINGS,
    TABLES,
    TEXTS,
    UNDETECTABLE,
    Row,
    write,
)
from tests.tasks.summarize.job_support import at

# Columns are given and boilerplate is kept, since other tests cover guessing and filtering.
AS_WRITTEN = LoadOptions(
    columns=parse_column_options(
        ["article_id=id", "title=title", "body=body", "published_at=date", "author=author"]
    ),
    rules=Rules(boilerplate=True, detect_language=False),
)
# No markup, as it would be converted to text, which other tests cover.
SIGNS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="<&")
PIECES = st.sampled_from(
    [
        *("The council met. ", "Ça n'a pas été décidé. ", "Größe ist nicht alles. ", "Москва. "),
        *("議会は橋を架けると決めた。", "议会投票决定建桥。", "국회가 결정했다. ", "قرر المجلس. "),
        *("המועצה החליטה. ", "परिषद ने कहा। ", "สภาเมือง ", "Ελλάδα. ", "e\u0301", "👩\u200d🚀"),
        *(",", ";", "\t", "|", '"', '""', "'", "\\", '\\"', "\n", "\r\n", "\r", "\n\n", " ", "="),
        *("a < b & c", "{", "}", "[", "]", '","', '";"', "\u2028", "\x85", "\ufeff", "\xa0", "%"),
        *(
            "null",
            "NA",
            "1e5",
            "007",
            "2020-01-01",
            "# ",
            "https://example.org/?a=b",
            "long " * 400,
        ),
    ]
)
TEXT = st.lists(st.one_of(PIECES, st.text(SIGNS, max_size=12)), max_size=6).map("".join)
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2030, 1, 1)).map(
    lambda moment: f"{moment.replace(microsecond=0).isoformat()}Z"
)
ROWS: st.SearchStrategy[list[Row]] = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.one_of(
                st.integers(0, 3).map(str), st.text(SIGNS, max_size=9).map("№{}".format)
            ),
            "title": st.one_of(st.just(""), TEXT),
            "body": TEXT,
            "date": st.one_of(st.just(""), MOMENTS),
            "author": st.one_of(
                st.just(""), st.sampled_from(["Ann Lee", "村上 春樹", "O'Neil; J."])
            ),
        }
    ),
    min_size=1,
    max_size=8,
)


WRITTEN = st.one_of(
    st.tuples(st.sampled_from(sorted(TEXTS)), st.sampled_from(ENCODINGS)),
    st.tuples(st.sampled_from(sorted(TABLES)), st.just("")),
)


def loaded(lake: Lake, path: Path, loading: LoadOptions, encoding: str = "") -> SourceReport:
    """Load all sources of a path, check each report's counts, and return the sum of the reports."""
    load, total = Load(lake), SourceReport("all")
    reports = [
        (source, SourceReport(source.name))
        for source in find_sources([str(path)], SourceOptions(encoding=encoding))
    ]
    ingest_sources(reports, load, loading)
    load.finish()
    for _, each in reports:
        assert each.error is None, each.error
        assert each.finished
        for name in ("rows_in", "stored", "duplicates", "already_there", "rejected"):
            setattr(total, name, getattr(total, name) + getattr(each, name))
    assert total.rows_in == (total.stored + total.duplicates + total.already_there + total.rejected)
    return total


def stored(lake: Lake) -> list[dict[str, Any]]:
    tables = [pq.read_table(at(lake, part.name)) for part in lake.parts(lake.articles)]
    return [row for table in tables for row in table.to_pylist()]


def moment_of(row: Row) -> datetime | None:
    text = row["date"]
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC) if text else None


def is_empty(body: str | None) -> bool:
    """Return whether a body has no visible character, and is rejected."""
    return all(
        unicodedata.category(character) in ("Cf", "Mn", "Zs", "Zl", "Zp", "Cc")
        for character in clean_text(body or "")
    )


def expected(rows: list[Row]) -> dict[tuple[str, str, str], tuple[str | None, datetime | None]]:
    """Return the expected author and date for each id, title and body: those of the first row."""
    found: dict[tuple[str, str, str], tuple[str | None, datetime | None]] = {}
    for row in rows:
        key = tuple(clean_text(row[name] or "") for name in ("id", "title", "body"))
        if not is_empty(row["body"]):
            author = clean_text(row["author"] or "") or None
            found.setdefault((key[0], key[1], key[2]), (author, moment_of(row)))
    return found


HARD: list[Row] = [
    {"id": "1", "title": "", "body": 'a,"b"\r\nc;d\te|f', "date": "", "author": "Ann Lee"},
    {
        "id": "2",
        "title": "= 1 + 1",
        "body": "議会は\n橋を",
        "date": "2020-05-04T10:11:12Z",
        "author": "",
    },
    {"id": "2", "title": "= 1 + 1", "body": " 議会は\r橋を ", "date": "", "author": ""},
    {"id": "3", "title": "nothing in it", "body": " \n", "date": "", "author": ""},
    {"id": "4", "title": "a soft hyphen", "body": "\xad", "date": "", "author": ""},
]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS, written=WRITTEN, packing=st.sampled_from(sorted(PACKINGS)))
@example(rows=HARD, written=("book.xlsx", ""), packing=".zip")
@example(rows=HARD, written=("tab.tsv", "utf-32"), packing=".zst")
@example(rows=HARD, written=("bar.csv", "gb18030"), packing=".bz2")
@example(rows=HARD, written=("object.json", "utf-16"), packing=".gz")
def test_rows_round_trip_through_any_format_encoding_and_packing(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Row],
    written: tuple[str, str],
    packing: str,
) -> None:
    folder = tmp_path_factory.mktemp("round")
    path = write(folder, rows, written, packing)
    encoding = written[1] if written[1] in UNDETECTABLE else ""
    lake, want = Lake(folder / "lake"), expected(rows)

    first = loaded(lake, path, AS_WRITTEN, encoding)

    empty = sum(is_empty(row["body"]) for row in rows)
    assert (first.rows_in, first.rejected, first.stored) == (len(rows), empty, len(want))
    got = {
        (row["article_id"], row["title"] or "", row["body"]): (row["author"], row["published_at"])
        for row in stored(lake)
    }
    assert got == want

    again = loaded(lake, path, AS_WRITTEN, encoding)

    assert (again.stored, again.rejected) == (0, empty)
    assert again.already_there == len(rows) - empty


@pytest.mark.parametrize("name", sorted(TEXTS))
@pytest.mark.parametrize("encoding", ["utf-16", "gb18030"])
def test_real_articles_round_trip_through_any_text_format(
    tmp_path: Path, name: str, encoding: str
) -> None:
    demo = Path(__file__).parents[3] / "data" / "articles.jsonl"
    originals = [json.loads(line) for line in demo.open(encoding="utf-8")][60:]
    rows = [{name: row[name] for name in NAMES} for row in originals]
    path = write(tmp_path, rows, (name, encoding), "")
    lake = Lake(tmp_path / "lake")

    # Long enough to detect the encoding; the columns are mapped by their names.
    report = loaded(lake, path, LoadOptions(rules=Rules(detect_language=False)))

    assert (report.rows_in, report.stored) == (40, 40)
    assert {(row["article_id"], row["title"], row["body"]) for row in stored(lake)} == {
        (row["id"], clean_text(row["title"]), clean_text(row["body"])) for row in rows
    }


DOCUMENTS = LoadOptions(
    columns=parse_column_options(["article_id=id", "title=title", "body=body"]),
    rules=AS_WRITTEN.rules,
)
SENTENCES = st.lists(
    st.one_of(PIECES.filter(lambda piece: piece[0] not in "{[#"), st.just("A plain sentence. ")),
    min_size=1,
    max_size=6,
).map(lambda pieces: "It begins here. " + "".join(pieces))


@settings(deadline=None, max_examples=12)
@given(bodies=st.lists(SENTENCES, min_size=1, max_size=5), encoding=st.sampled_from(ENCODINGS[:4]))
def test_each_json_file_in_a_folder_is_an_article(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[str], encoding: str
) -> None:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "in").mkdir()
    for number, body in enumerate(bodies):
        row = {"id": f"a{number}", "title": f"Report {number}", "body": body}
        text = json.dumps(row, ensure_ascii=False, indent=number % 3 or None)
        (folder / "in" / f"{number}.json").write_bytes(text.encode(encoding))
    lake = Lake(folder / "lake")

    report = loaded(lake, folder / "in", DOCUMENTS)

    assert (report.rows_in, report.stored) == (len(bodies), len(bodies))
    got = {row["article_id"]: (row["title"], row["body"]) for row in stored(lake)}
    assert got == {
        f"a{number}": (f"Report {number}", clean_text(body)) for number, body in enumerate(bodies)
    }
    assert loaded(lake, folder / "in", DOCUMENTS).already_there == len(bodies)


@settings(deadline=None, max_examples=12)
@given(bodies=st.lists(SENTENCES, min_size=1, max_size=5), encoding=st.sampled_from(ENCODINGS[:4]))
@example(bodies=["It begins here. Größe", "It begins here. a,b\nc,d"], encoding="utf-8")
def test_each_text_file_in_a_folder_is_an_article(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[str], encoding: str
) -> None:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "in").mkdir()
    for number, body in enumerate(bodies):
        (folder / "in" / f"text_{number}.txt").write_bytes(body.encode(encoding))
    lake, loading = Lake(folder / "lake"), LoadOptions(rules=AS_WRITTEN.rules)

    report = loaded(lake, folder / "in", loading)

    assert report.rows_in == len(bodies)
    got = {(row["title"], row["body"]) for row in stored(lake)}
    expected = {(f"text {number}", clean_text(body)) for number, body in enumerate(bodies)}
    assert {text for _, text in got} == {text for _, text in expected}
    assert report.stored == len(expected)
    assert loaded(lake, folder / "in", loading).already_there == len(bodies)
