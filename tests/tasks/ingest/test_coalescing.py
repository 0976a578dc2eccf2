"""Small sources are loaded together, and each row is still counted for its own source."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.cleaning.articles.build import to_canonical
from article_flows.tasks.cleaning.columns.guesses import ColumnMap
from article_flows.tasks.cleaning.filters.rules import Rules
from article_flows.tasks.ingest import coalescing
from article_flows.tasks.ingest.coalescing import (
    MAX_COALESCED_ROWS,
    ChunkPart,
    CoalescedChunk,
    coalesce,
)
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_sources
from article_flows.tasks.ingest.options import LoadOptions
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.reading.base.rows import (
    BATCH_ROWS,
    CHUNK_BYTES,
    RecordChunk,
    Reject,
)
from article_flows.tasks.reading.sources.find import find_sources
from tests.tasks.summarize.job_support import at

BODY = ColumnMap({"body": "text"})
OTHER = ColumnMap({"body": "content"})
QUICK = LoadOptions(rules=Rules(detect_language=False))


def chunk(*rows: int, reject: int = 0) -> RecordChunk:
    rejects = [Reject(reject, f"reason {reject}", "raw")] if reject else []
    return RecordChunk([{"text": f"Text {row}."} for row in rows], list(rows), rejects)


def part(name: str, of: RecordChunk, columns: ColumnMap = BODY) -> ChunkPart:
    return ChunkPart(SourceReport(name), of, columns)


def names(coalesced: CoalescedChunk) -> list[str]:
    return [report.source for report in coalesced.reports]


def test_small_chunks_with_the_same_columns_become_one() -> None:
    parts = [part("a", chunk(1, 2)), part("b", chunk(1, reject=2)), part("c", chunk(7))]

    (coalesced,) = coalesce(parts)

    assert names(coalesced) == ["a", "b", "c"]
    rows = to_canonical(coalesced.chunk, coalesced.columns, coalesced.source)
    assert rows.batch["body"].to_pylist() == ["Text 1.", "Text 2.", "Text 1.", "Text 7."]
    assert coalesced.with_source_names(rows)["source"].to_pylist() == ["a", "a", "b", "c"]
    assert coalesced.owners_of(rows.rows).tolist() == [0, 0, 1, 2]
    by_source = [(report.source, rejects) for report, rejects in coalesced.rejects_of(rows.rejects)]
    assert by_source == [("b", [Reject(2, "reason 2", "raw")])]


def test_chunks_with_other_columns_are_kept_separate_and_in_order() -> None:
    report = SourceReport("b")
    parts = [
        part("a", chunk(1)),
        ChunkPart(report, chunk(1), OTHER),
        ChunkPart(report, chunk(2), OTHER),
        part("c", chunk(1)),
    ]

    first, second, third = coalesce(parts)

    assert [names(each) for each in (first, second, third)] == [["a"], ["b"], ["c"]]
    assert [each.columns for each in (first, second, third)] == [BODY, OTHER, BODY]
    assert second.chunk.num_rows == 2


def test_large_chunks_are_not_coalesced() -> None:
    large = chunk(*range(1, MAX_COALESCED_ROWS + 2))
    parts = [part("a", chunk(1)), part("b", large), part("c", chunk(1))]

    found = list(coalesce(parts))

    assert [names(each) for each in found] == [["a"], ["b"], ["c"]]
    assert found[1].chunk is large
    for each in found:
        rows = to_canonical(each.chunk, each.columns, each.source)
        sources = each.with_source_names(rows)["source"].to_pylist()
        assert sources == names(each) * each.chunk.num_rows


def test_a_coalesced_chunk_is_no_larger_than_a_chunk() -> None:
    found = list(coalesce(part(str(number), chunk(1)) for number in range(BATCH_ROWS + 5)))
    assert [len(each.chunk) for each in found] == [BATCH_ROWS, 5]
    long = RecordChunk([{"text": "x" * (CHUNK_BYTES // 2)}], [1])
    found = list(coalesce(part(str(number), long) for number in range(5)))
    assert [len(each.chunk) for each in found] == [2, 2, 1]


def test_a_single_source_keeps_its_row_numbers() -> None:
    (coalesced,) = coalesce([part("a", chunk(5, 9, reject=7))])
    rows = to_canonical(coalesced.chunk, coalesced.columns, coalesced.source)
    assert rows.rows.tolist() == [5, 9]
    ((report, rejects),) = coalesced.rejects_of(rows.rejects)
    assert (report.source, [each.row for each in rejects]) == ("a", [7])


def test_no_parts_give_no_chunk() -> None:
    assert list(coalesce([])) == []


LINES = st.lists(
    st.one_of(
        st.builds(
            lambda number, name: json.dumps({"id": number, name: f"It was day {number}."}),
            st.integers(0, 5),
            st.sampled_from(["body", "body", "text"]),
        ),
        st.sampled_from(["null", '{"id": 1, "bo', '{"id": 7, "body": " "}', "", "17"]),
    ),
    max_size=4,
)


def load(folder: Path, lake: Lake) -> tuple[list[dict[str, Any]], list[Any], list[Any]]:
    """Load a folder; return the counts of the reports, the articles and the rejects."""
    one = Load(lake)
    reports = [(source, SourceReport(source.name)) for source in find_sources([str(folder)])]
    ingest_sources(reports, one, QUICK)
    one.finish()
    counts = [{**vars(report), "facts": None, "seconds": None} for _, report in reports]
    for each in counts:
        parts = ("stored", "duplicates", "already_there", "rejected")
        assert each["rows_in"] == sum(each[name] for name in parts)
    return counts, rows_of(lake, lake.articles), rows_of(lake, lake.rejects)


def rows_of(lake: Lake, folder: str) -> list[Any]:
    columns = {
        lake.articles: ["source", "article_id", "content_hash", "body", "extra", "flags"],
        lake.rejects: ["source", "row", "reason", "raw"],
    }[folder]
    rows: list[Any] = []
    for part in lake.parts(folder):
        rows += pq.read_table(at(lake, part.name), columns=columns).to_pylist()
    return sorted(map(str, rows))


@settings(deadline=None, max_examples=20)
@given(files=st.lists(LINES, min_size=1, max_size=6))
def test_coalescing_does_not_change_the_lake(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[str]]
) -> None:
    home = tmp_path_factory.mktemp("bundles")
    folder = home / "in"
    folder.mkdir()
    (folder / "last.jsonl").write_text('{"id": 1, "body": "It is the end."}\n')
    for number, lines in enumerate(files):
        (folder / f"{number}.jsonl").write_text("\n".join(lines))

    together = load(folder, Lake(home / "together"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coalescing, "MAX_COALESCED_ROWS", -1)
        alone = load(folder, Lake(home / "alone"))

    assert together == alone


def test_a_folder_of_documents_is_one_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(60):
        text = f"It was day {number}. {'More was said. ' * number}"
        (tmp_path / "in" / f"{number}.txt").write_text(text)
    passes: list[CoalescedChunk] = []

    def counted(*given: Any) -> Any:
        for each in coalesce(*given):
            passes.append(each)
            yield each

    monkeypatch.setattr("article_flows.tasks.ingest.load_sources.coalesce", counted)

    reports, articles, rejects = load(tmp_path / "in", Lake(tmp_path / "lake"))

    assert (len(passes), len(articles), rejects) == (1, 60, [])
    assert [report["stored"] for report in reports] == [1] * 60
