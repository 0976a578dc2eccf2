"""Files that shrink or disappear during a load: earlier rows are kept, the error is reported."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_sources
from article_flows.tasks.ingest.options import load_options, sources_of
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.settings import IngestSettings
from tests.tasks.ingest.hostile_support import TEXT, loaded, rows_of, write_jsonl


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder that contains the lake and the sources."""
    (tmp_path / "in").mkdir()
    return tmp_path


def texts(count: int) -> list[str]:
    return [f"{TEXT} It was day {number}. {'More was said. ' * 60}" for number in range(count)]


def write_big(path: Path, count: int = 6_000) -> list[str]:
    """Write a file of several chunks; return its bodies as they will be stored."""
    bodies = texts(count)
    if path.suffix == ".jsonl":
        write_jsonl(path, *({"id": n, "body": body} for n, body in enumerate(bodies)))
    elif path.suffix == ".csv":
        lines = (f'{number},"{body}"' for number, body in enumerate(bodies))
        path.write_text("\n".join(["id,body", *lines, ""]))
    else:
        table = pa.table({"id": [str(n) for n in range(count)], "body": bodies})
        pq.write_table(table, path, row_group_size=500, use_dictionary=False, compression="none")
    return [body.strip() for body in bodies]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
@pytest.mark.parametrize("share", [0.0, 0.7])
def test_a_file_that_shrinks_while_being_read_keeps_its_earlier_rows(
    home: Path, name: str, share: float
) -> None:
    path = home / "in" / name
    bodies = write_big(path)
    size = path.stat().st_size

    def shrink(report: SourceReport) -> None:
        os.truncate(path, int(size * share))

    report = loaded(home, on_progress=shrink)

    stored = rows_of(home)
    assert 0 < len(stored) == report.stored < len(bodies)
    # A truncated row must not be stored.
    assert all(row["body"] == bodies[int(row["article_id"])] for row in stored)
    if name.endswith(".parquet"):
        assert "a.parquet" in str(report.broken[0].error)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_file_deleted_before_it_is_read_is_reported(home: Path, name: str) -> None:
    write_jsonl(home / "in" / "0.jsonl", {"id": "first", "body": TEXT})
    for number in range(40):
        # Enough rows that the first file is not coalesced with the next one.
        write_jsonl(home / "in" / f"0_{number}.jsonl", {"body": f"{TEXT} Of day {number}."})
    path = home / "in" / name
    write_big(path, 50)
    settings = IngestSettings(sources=[str(home / "in")], lake=str(home / "lake"))
    sources, lake = sources_of(settings), Lake(settings.lake)
    path.unlink()
    reports = [(source, SourceReport(source.name)) for source in sources]
    ingest_sources(reports, Load(lake), load_options(settings, lake))

    assert len(rows_of(home)) == 41
    broken = [report for _, report in reports if report.error]
    assert [Path(report.source).name for report in broken] == [name]
    assert "No such file" in str(broken[0].error)
    assert str(path) in str(broken[0].error)
