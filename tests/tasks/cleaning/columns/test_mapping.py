"""Map the columns of a source, from its first rows, its sibling files and its name."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from article_flows.tasks.checks.inspection import inspect_source
from article_flows.tasks.cleaning.columns.mapping import (
    Siblings,
    date_in_name,
    map_columns,
    read_sample,
)
from article_flows.tasks.cleaning.columns.options import parse_column_options
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_source, ingest_sources
from article_flows.tasks.ingest.options import LoadOptions, load_options
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import RecordChunk, Reject, Source
from article_flows.tasks.reading.sources.find import find_sources
from article_flows.tasks.settings import IngestSettings
from tests.tasks.summarize.job_support import at


def chunks(*sizes: int, failing: bool = False) -> Iterator[RecordChunk]:
    row = 0
    for size in sizes:
        numbers = list(range(row + 1, row + size + 1))
        yield RecordChunk([{"n": number} for number in numbers], numbers)
        row += size
    if failing:
        raise UserError("cut off")


def numbers(all_chunks: Iterator[RecordChunk]) -> list[int]:
    return [int(number) for chunk in all_chunks for number in chunk.rows]


@pytest.mark.parametrize("sizes", [(), (3,), (1, 2, 5), (10, 1), (1, 1, 1, 1, 1, 1, 9), (4, 4, 4)])
def test_sampling_returns_the_first_rows_and_all_chunks(sizes: tuple[int, ...]) -> None:
    records, rest = read_sample(chunks(*sizes), rows=5)
    total = sum(sizes)
    assert numbers(rest) == list(range(1, total + 1))
    assert [each["n"] for each in records] == list(range(1, len(records) + 1))
    assert len(records) <= 5
    assert len(records) >= min(5, total, 4)


def test_chunks_before_an_error_are_yielded_before_it() -> None:
    records, rest = read_sample(chunks(2, 2, failing=True), rows=100)
    assert len(records) == 4
    assert [*next(rest).rows, *next(rest).rows] == [1, 2, 3, 4]
    with pytest.raises(UserError, match="cut off"):
        next(rest)


def test_chunks_with_only_rejects_are_not_counted() -> None:
    def mixed() -> Iterator[RecordChunk]:
        for row in range(1, 10):
            yield RecordChunk(rejects=[Reject(row, "broken", "")])
        yield RecordChunk([{"n": 1}], [10])

    records, rest = read_sample(mixed())
    assert records == [{"n": 1}]
    assert sum(len(chunk) for chunk in rest) == 10


def as_files(folder: Path, texts: dict[str, str], **more: object) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        record = {"headline": f"About {name}", "main_part": text, **more}
        (folder / f"{name}.json").write_text(json.dumps(record))


LONG = "The council met on Monday and spoke at length about the bridge and its repair. " * 8
TEXTS = {"a": "It is short.", "z": "So is this."} | {f"m{n}": f"{n}. {LONG}" for n in range(9)}


def loaded(lake: Lake, sources: list[Source]) -> list[SourceReport]:
    reports = [(source, SourceReport(source.name)) for source in sources]
    ingest_sources(reports, Load(lake))
    return [report for _, report in reports]


def bodies_of(lake: Lake) -> set[str]:
    parts = [pq.read_table(at(lake, part.name)) for part in lake.parts("articles")]
    return {body for part in parts for body in part["body"].to_pylist()}


@pytest.mark.parametrize("backwards", [False, True])
def test_a_short_file_uses_the_body_column_of_its_siblings(tmp_path: Path, backwards: bool) -> None:
    as_files(tmp_path / "news", TEXTS)
    sources = sorted(find_sources([str(tmp_path / "news")]), key=lambda each: each.name)
    reports = loaded(Lake(tmp_path / "lake"), sources[::-1] if backwards else sources)
    assert {report.error for report in reports} == {None}
    assert {report.columns["body"] for report in reports} == {"main_part"}
    assert bodies_of(Lake(tmp_path / "lake")) == {text.strip() for text in TEXTS.values()}


def test_a_short_file_with_additional_columns_uses_the_body_column_of_its_siblings(
    tmp_path: Path,
) -> None:
    as_files(tmp_path / "news", TEXTS)
    as_files(tmp_path / "news", {"b": "Short as well."}, pages=7)
    (tmp_path / "news" / "c.json").write_text('{"main_part": "Shortest.", "pages": 8}')
    reports = loaded(Lake(tmp_path / "lake"), find_sources([str(tmp_path / "news")]))
    assert {report.error for report in reports} == {None}
    assert {"Short as well.", "Shortest."} < bodies_of(Lake(tmp_path / "lake"))


def test_files_in_separate_folders_are_siblings_too(tmp_path: Path) -> None:
    (tmp_path / "news").mkdir()
    for name, text in TEXTS.items():
        as_files(tmp_path / "news" / name, {"article": text})
    reports = loaded(Lake(tmp_path / "lake"), find_sources([str(tmp_path / "news")]))
    assert {report.error for report in reports} == {None}
    assert {report.columns["body"] for report in reports} == {"main_part"}


def test_a_longer_description_is_not_mistaken_for_a_short_body(tmp_path: Path) -> None:
    described = "What happened, in about as many words as a lead has."
    as_files(tmp_path / "news", TEXTS, description=described)
    reports = loaded(Lake(tmp_path / "lake"), find_sources([str(tmp_path / "news")]))
    assert {report.columns["body"] for report in reports} == {"main_part"}


def test_files_without_the_body_column_of_their_siblings_are_mapped_alone(tmp_path: Path) -> None:
    as_files(tmp_path / "news", TEXTS)
    other = tmp_path / "news" / "other.json"
    other.write_text(json.dumps({"headline": "Other", "text": "It has a text."}))
    none = tmp_path / "news" / "none.json"
    none.write_text(json.dumps({"headline": "None", "editor": "Nobody"}))
    reports = loaded(Lake(tmp_path / "lake"), find_sources([str(tmp_path / "news")]))
    by_name = {report.source.rpartition("/")[2]: report for report in reports}
    assert by_name["other.json"].columns["body"] == "text"
    assert "no column looks like the article's text" in (by_name["none.json"].error or "")


def test_one_long_file_does_not_decide_for_many_short_siblings(tmp_path: Path) -> None:
    short = {f"s{n}": f"It is short: {n}." for n in range(9)}
    as_files(tmp_path / "news", {**short, "long": LONG})
    reports = loaded(Lake(tmp_path / "lake"), find_sources([str(tmp_path / "news")]))
    assert sum(report.error is not None for report in reports) == 9


def test_a_flow_loads_a_short_file_of_another_group_than_its_siblings(tmp_path: Path) -> None:
    as_files(tmp_path / "news", TEXTS)
    sources = find_sources([str(tmp_path / "news")])
    alone = [source for source in sources if source.file.file_name == "a.json"]
    lake = Lake(tmp_path / "lake")
    settings = IngestSettings(sources=[str(tmp_path / "news")])
    report = SourceReport("a.json")
    ingest_sources([(alone[0], report)], Load(lake), load_options(settings, lake, sources))
    assert (report.error, report.stored) == (None, 1)


def test_inspect_uses_the_body_column_of_siblings(tmp_path: Path) -> None:
    as_files(tmp_path / "news", TEXTS)
    sources = find_sources([str(tmp_path / "news")])
    seen = inspect_source(sources[0], LoadOptions(siblings=Siblings(sources)))
    assert (seen.name.rpartition("/")[2], seen.error) == ("a.json", None)
    why = next(each.why for each in seen.columns if each.taken_for == ("body",))
    assert why == "as in the files next to it"


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("2021-03-04-title.md", date(2021, 3, 4)),
        ("20210304_title.txt", date(2021, 3, 4)),
        ("news_2021-03-04.json", date(2021, 3, 4)),
        ("news_2021_03_04.json.gz", date(2021, 3, 4)),
        ("2021-03-04 and 20210304.txt", date(2021, 3, 4)),
        ("2024-02-29.html", date(2024, 2, 29)),
        *(("2023-02-29.html", None), ("2021-13-04.txt", None), ("2021-03_04.txt", None)),
        *(("120210304.txt", None), ("202103041.txt", None), ("20210304120000.txt", None)),
        *(("04-03-2021.txt", None), ("2021-03.txt", None), ("0012-03-04.txt", None)),
        *(("2021-03-04 to 2021-03-05.txt", None), ("2027-01-01.txt", None), ("a.txt", None)),
    ],
)
def test_the_date_in_a_file_name_is_found(name: str, day: date | None) -> None:
    assert date_in_name(name, today=date(2026, 12, 1)) == day


def test_an_article_without_a_date_gets_that_of_its_file_name(tmp_path: Path) -> None:
    text = f"{LONG}\n\n{LONG}"
    files = {
        "2021-03-04-bridge.md": f"# The bridge\n\n{text}",
        "20210305_bridge.txt": text,
        "news_2021-03-06.json": json.dumps({"title": "Bridge", "text": text}),
        "2021-03-07.json": json.dumps({"title": "Bridge", "text": text, "date": ""}),
        "2021-03-08.csv": f'title,text,date\nBridge,"{text}",\n',
        "2021-03-09-own.md": f"---\ndate: 2020-01-31T10:00\n---\n# The bridge\n\n{text}",
        "2021-03-10.json": json.dumps({"text": text, "published": "03/04/2020"}),
        "undated.txt": text,
    }
    for number, (name, content) in enumerate(files.items()):
        (tmp_path / name).write_text(content.replace("council", f"council ({number})"))
    lake = Lake(tmp_path / "lake")
    reports = loaded(lake, find_sources([str(tmp_path / name) for name in files]))
    assert {report.error for report in reports} == {None}
    rows = [
        row
        for part in lake.parts("articles")
        for row in pq.read_table(at(lake, part.name)).to_pylist()
    ]
    dates = {
        row["source"].rpartition("/")[2]: (
            str(row["published_at"].replace(tzinfo=None)) if row["published_at"] else None,
            set(row["flags"] or []) - {"language_detected"},
        )
        for row in rows
    }
    assert dates == {
        "2021-03-04-bridge.md": ("2021-03-04 00:00:00", set()),
        "20210305_bridge.txt": ("2021-03-05 00:00:00", set()),
        "news_2021-03-06.json": ("2021-03-06 00:00:00", set()),
        "2021-03-07.json": ("2021-03-07 00:00:00", set()),
        "2021-03-08.csv": ("2021-03-08 00:00:00", set()),
        "2021-03-09-own.md": ("2020-01-31 10:00:00", {"utc_assumed"}),
        "2021-03-10.json": (None, {"date_unread"}),
        "undated.txt": (None, set()),
    }
    assert not any("(file name)" in (row["extra"] or "") for row in rows)


def test_the_date_of_a_dump_is_not_used_for_its_articles(tmp_path: Path) -> None:
    path = tmp_path / "dump-2021-03-04.jsonl"
    path.write_text("".join(json.dumps({"text": f"{n}. {LONG}"}) + "\n" for n in range(2)))
    (report,) = loaded(Lake(tmp_path / "lake"), find_sources([str(path)]))
    assert "published_at" not in report.columns


@pytest.mark.parametrize(
    ("kind", "is_dated"), [("urls", False), ("sitemap", False), ("json", True)]
)
def test_the_date_of_a_list_of_pages_is_not_used_for_its_pages(
    tmp_path: Path, kind: str, is_dated: bool
) -> None:
    source = Source(LocalFile(tmp_path / "2021-03-04.txt"), "2021-03-04.txt", kind)
    columns = map_columns(source, [{"title": "A page", "text": LONG}], {})
    assert ("published_at" in columns.columns) is is_dated


def test_a_user_can_turn_the_date_off(tmp_path: Path) -> None:
    (tmp_path / "2021-03-04.txt").write_text(LONG)
    (source,) = find_sources([str(tmp_path / "2021-03-04.txt")])
    loading = LoadOptions(columns=parse_column_options(["published_at="]))
    report = ingest_source(source, Load(Lake(tmp_path / "lake")), loading)
    assert (report.stored, report.columns.get("published_at")) == (1, None)
