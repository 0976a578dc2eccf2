"""Rejected rows are listed once, with their source, row number and reason."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_sources
from article_flows.tasks.ingest.rejects import REJECTS_SCHEMA, KnownRejects, reject_writer
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.reading.base.rows import Reject
from article_flows.tasks.reading.sources.find import find_sources
from tests.tasks.summarize.job_support import at

GOOD = '{"id": 1, "body": "The council met on Monday."}\n'


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def load(lake: Lake, *paths: Path) -> list[SourceReport]:
    one = Load(lake)
    found = find_sources([str(path) for path in paths])
    reports = [(source, SourceReport(source.name)) for source in found]
    ingest_sources(reports, one)
    one.finish()
    return [report for _, report in reports]


def rejects_of(lake: Lake) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for part in lake.parts(lake.rejects):
        table = pq.read_table(at(lake, part.name))
        assert table.schema == REJECTS_SCHEMA
        rows += table.to_pylist()
    return rows


def test_each_reject_has_its_source_row_reason_and_raw_value(lake: Lake, tmp_path: Path) -> None:
    started = datetime.now(UTC)
    path = tmp_path / "a.jsonl"
    path.write_text(GOOD + '{"id": 2, "body": ""}\nno JSON\n')

    load(lake, path)

    empty, broken = rejects_of(lake)
    assert (empty["source"], empty["row"], empty["reason"]) == (str(path), 2, "empty body")
    assert '"id":2' in empty["raw"].replace(" ", "")
    assert (broken["row"], broken["raw"]) == (3, "no JSON")
    assert broken["reason"].startswith("not JSON")
    assert started <= empty["rejected_at"] <= datetime.now(UTC)


def test_known_rejects_are_counted_and_not_listed_again(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(GOOD + "null\n")
    load(lake, path)
    first = rejects_of(lake)

    (report,) = load(lake, path)

    assert (report.rejected, report.already_there) == (1, 1)
    assert rejects_of(lake) == first
    path.write_text(GOOD + "null\nnull\n")
    (report,) = load(lake, path)
    assert report.rejected == 2
    assert [each["row"] for each in rejects_of(lake)] == [2, 3]


def test_a_row_rejected_for_another_reason_is_listed_again(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(GOOD + "null\n")
    load(lake, path)
    path.write_text(GOOD + "17\n")

    load(lake, path)

    assert [(each["row"], each["raw"]) for each in rejects_of(lake)] == [(2, "null"), (2, "17")]


def test_the_same_row_of_two_sources_is_listed_for_each(lake: Lake, tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path in paths:
        path.write_text(GOOD + "null\n")

    reports = load(lake, *paths)

    assert [report.rejected for report in reports] == [1, 1]
    assert sorted((each["source"], each["row"]) for each in rejects_of(lake)) == [
        (str(path), 2) for path in paths
    ]
    load(lake, *paths)
    assert len(rejects_of(lake)) == 2


def test_no_part_is_written_without_new_rejects(lake: Lake) -> None:
    reject = Reject(1, "empty body", "{}")
    with reject_writer(lake, KnownRejects(lake)) as writer:
        writer.add("a", [])
    assert rejects_of(lake) == []
    for _ in range(2):
        with reject_writer(lake, KnownRejects(lake)) as writer:
            writer.add("a", [reject])
            writer.add("a", [reject])
    assert len(lake.parts(lake.rejects)) == len(rejects_of(lake)) == 1


def test_nothing_is_listed_if_the_load_fails(lake: Lake) -> None:
    def dying() -> None:
        with reject_writer(lake, KnownRejects(lake)) as writer:
            writer.add("a", [Reject(1, "empty body", "{}")])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dying()
    assert rejects_of(lake) == []
    with reject_writer(lake, KnownRejects(lake)) as writer:
        writer.add("a", [Reject(1, "empty body", "{}")])
    assert len(rejects_of(lake)) == 1


REJECTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.integers(0, 2),
        st.sampled_from(["empty body", "null"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=2),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=25)
@given(loads=st.lists(REJECTS, min_size=1, max_size=3))
def test_any_rejects_are_listed_once(
    tmp_path_factory: pytest.TempPathFactory, loads: list[list[tuple[str, int, str, str]]]
) -> None:
    lake = Lake(tmp_path_factory.mktemp("rejects"))
    for rejects in loads:
        with reject_writer(lake, KnownRejects(lake)) as writer:
            for source, row, reason, raw in rejects:
                writer.add(source, [Reject(row, reason, raw)])
    listed = [
        (each["source"], each["row"], each["reason"], each["raw"]) for each in rejects_of(lake)
    ]
    assert sorted(listed) == sorted({each for rejects in loads for each in rejects})
