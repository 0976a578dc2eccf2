"""Infer the order of day and month if a source's first thousand rows do not show it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from article_flows.tasks.checks.inspection import inspect_source
from article_flows.tasks.common.errors import SourceUnavailable
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_source
from article_flows.tasks.ingest.options import LoadOptions
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.sources.find import find_sources
from tests.tasks.summarize.job_support import at

SAME_DAY = 1_500
"""Rows of the first day of a sorted file: more than the sample from which columns are mapped."""

Write = Callable[[Path, list[dict[str, Any]]], None]


def as_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def as_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    nested = [{**row, "meta": {"date": row["date"]}} for row in rows]
    for row in nested:
        del row["date"]
    path.write_text("".join(json.dumps(row) + "\n" for row in nested))


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows)
    coded = table["date"].dictionary_encode()
    pq.write_table(table.set_column(table.schema.get_field_index("date"), "date", coded), path)


def rows_of(*last: str, first: str = "01/03/2024") -> list[dict[str, Any]]:
    days = [first] * SAME_DAY + list(last)
    return [
        {"id": f"a{n}", "text": f"It is number {n}.", "date": day} for n, day in enumerate(days)
    ]


def load(path: Path, lake: Lake, loading: LoadOptions = LoadOptions()) -> SourceReport:  # noqa: B008
    load = Load(lake)
    (source,) = find_sources([str(path)])
    report = ingest_source(source, load, loading)
    load.finish()
    return report


def days_of(lake: Lake) -> dict[str, int]:
    days: dict[str, int] = {}
    for part in lake.parts("articles"):
        for when in pq.read_table(at(lake, part.name))["published_at"].to_pylist():
            day = str(when.date()) if when else "none"
            days[day] = days.get(day, 0) + 1
    return days


@pytest.mark.parametrize(
    ("name", "write"), [("a.csv", as_csv), ("a.jsonl", as_jsonl), ("a.parquet", as_parquet)]
)
@pytest.mark.parametrize(
    ("last", "days"),
    [
        ("31/03/2024", {"2024-03-01": SAME_DAY, "2024-03-31": 1}),
        ("03/31/2024", {"2024-01-03": SAME_DAY, "2024-03-31": 1}),
    ],
)
def test_a_sorted_file_is_read_until_a_date_shows_the_order(
    name: str, write: Write, last: str, days: dict[str, int], tmp_path: Path
) -> None:
    write(tmp_path / name, rows_of(last))
    lake = Lake(tmp_path / "lake")
    report = load(tmp_path / name, lake)
    assert (report.stored, report.error, report.notes) == (SAME_DAY + 1, None, {})
    assert days_of(lake) == days


def test_first_rows_with_the_same_date_do_not_end_the_search(tmp_path: Path) -> None:
    as_csv(tmp_path / "a.csv", rows_of("02/01/2024", "13/01/2024", first="01/01/2024"))
    lake = Lake(tmp_path / "lake")
    load(tmp_path / "a.csv", lake)
    assert days_of(lake) == {"2024-01-01": SAME_DAY, "2024-01-02": 1, "2024-01-13": 1}


def test_an_unknown_order_is_flagged_and_noted_and_can_be_set(tmp_path: Path) -> None:
    as_csv(tmp_path / "a.csv", rows_of("02/03/2024"))
    lake = Lake(tmp_path / "lake")
    report = load(tmp_path / "a.csv", lake)
    assert days_of(lake) == {"none": SAME_DAY + 1}
    assert "--date-order" in report.notes["date"]
    month_first = Lake(tmp_path / "said")
    report = load(tmp_path / "a.csv", month_first, LoadOptions(day_first=False))
    assert days_of(month_first) == {"2024-01-03": SAME_DAY, "2024-02-03": 1}
    assert report.notes == {}


def test_a_given_order_overrides_the_dates(tmp_path: Path) -> None:
    as_csv(tmp_path / "a.csv", rows_of("31/03/2024"))
    lake = Lake(tmp_path / "lake")
    load(tmp_path / "a.csv", lake, LoadOptions(day_first=False))
    assert days_of(lake) == {"2024-01-03": SAME_DAY, "2024-03-31": 1}


def test_an_error_later_in_the_file_loses_no_earlier_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.Table.from_pylist(rows_of(*["02/03/2024"] * SAME_DAY, "31/03/2024"))
    pq.write_table(table, path, row_group_size=SAME_DAY)
    content = bytearray(path.read_bytes())
    wrong = pq.ParquetFile(path).metadata.row_group(1).column(1).data_page_offset
    content[wrong : wrong + 64] = bytes(64)
    path.write_bytes(content)
    report = load(path, Lake(tmp_path / "lake"))
    assert report.error is not None
    assert report.stored == report.rows_in == SAME_DAY


def test_a_source_that_becomes_unavailable_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_csv(tmp_path / "a.csv", rows_of("31/03/2024"))
    (source,) = find_sources([str(tmp_path / "a.csv")])
    opened = 0

    def flaky(place: LocalFile) -> Any:
        nonlocal opened
        opened += 1
        if opened == 2:
            raise SourceUnavailable("a.csv is away")
        return place.path.open("rb")

    monkeypatch.setattr(LocalFile, "open", flaky)
    load = Load(Lake(tmp_path / "lake"))
    report = ingest_source(source, load)
    assert (report.error, report.finished, report.rows_in) == ("a.csv is away", False, 0)


def test_inspect_reports_the_same_order(tmp_path: Path) -> None:
    as_csv(tmp_path / "a.csv", rows_of("31/03/2024"))
    (source,) = find_sources([str(tmp_path / "a.csv")])
    assert inspect_source(source).day_first is True
    assert inspect_source(source, LoadOptions(day_first=False)).day_first is False
    as_csv(tmp_path / "a.csv", rows_of("02/03/2024"))
    seen = inspect_source(source)
    why = next(each.why for each in seen.columns if each.name == "date")
    assert why.startswith("named date; 0 of the first 1,000 dates can be read; none of its dates ")
    assert seen.flags["date_unread"] == seen.rows
