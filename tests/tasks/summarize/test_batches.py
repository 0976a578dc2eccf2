"""Batches have the requested size and contain exactly their rows."""

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.summarize.batches import Batch, BatchCutter, read_batch
from tests.tasks.summarize.job_support import at

PART = "articles/p.parquet"


@contextmanager
def scratch_lake() -> Iterator[Lake]:
    with TemporaryDirectory() as folder:
        yield Lake(Path(folder) / "lake")


def rows_named(prefix: str, count: int) -> pa.Table:
    row = dict.fromkeys(ARTICLES_SCHEMA.names)
    rows = [{**row, "article_id": f"{prefix}-{number}"} for number in range(count)]
    return pa.Table.from_pylist(rows, ARTICLES_SCHEMA)


def batch_of(*ranges: list[int], part: str = PART) -> Batch:
    return {"number": 1, "size": sum(b - a for a, b in ranges), "rows": {part: list(ranges)}}


@given(
    flag_lists=st.lists(st.lists(st.booleans(), max_size=9), max_size=5),
    size=st.integers(1, 6),
)
def test_every_selected_row_is_in_one_batch_and_batches_are_full(
    flag_lists: list[list[bool]], size: int
) -> None:
    cutter, selected, first = BatchCutter(size, itertools.count(1)), [], 0
    for number, flags in enumerate(flag_lists):
        part = f"p{number // 2}"
        first = first if number % 2 else 0
        cutter.add(part, first, np.array(flags, np.bool_))
        selected += [(part, first + row) for row, flag in enumerate(flags) if flag]
        first += len(flags)
    cutter.finish()
    batches = list(cutter.ready)
    rows = [
        [
            (part, row)
            for part, pairs in batch["rows"].items()
            for a, b in pairs
            for row in range(a, b)
        ]
        for batch in batches
    ]
    assert list(itertools.chain.from_iterable(rows)) == selected
    assert [batch["number"] for batch in batches] == list(range(1, len(batches) + 1))
    assert [batch["size"] for batch in batches] == list(map(len, rows))
    assert all(len(some) == size for some in rows[:-1])
    for batch in batches:
        for pairs in batch["rows"].values():
            assert all(left[1] < right[0] for left, right in pairwise(pairs))
    assert json.loads(json.dumps(batches)) == batches


@settings(max_examples=80, deadline=None)
@given(groups=st.lists(st.integers(1, 7), min_size=1, max_size=6), data=st.data())
def test_a_batch_reads_exactly_its_rows(groups: list[int], data: st.DataObject) -> None:
    with scratch_lake() as lake:
        total = sum(groups)
        for name in ("p1", "p2"):
            table, start = rows_named(name, total), 0
            with lake.part_writer(lake.articles, f"{name}.parquet", ARTICLES_SCHEMA) as writer:
                for size in groups:
                    writer.write_table(table.slice(start, size))
                    start += size
        ranges_by_part: dict[str, list[list[int]]] = {}
        for name in data.draw(st.sampled_from([["p1"], ["p2"], ["p1", "p2"]])):
            bounds = data.draw(st.sets(st.integers(0, total), min_size=2).map(sorted))
            ranges = [list(pair) for pair in pairwise(bounds)][::2]
            ranges_by_part[f"articles/{name}.parquet"] = ranges
        read = read_batch(lake, {"number": 1, "size": 0, "rows": ranges_by_part})
        expected = [
            f"{Path(part).stem}-{number}"
            for part, ranges in ranges_by_part.items()
            for start, stop in ranges
            for number in range(start, stop)
        ]
        assert read["article_id"].to_pylist() == expected
        assert read.schema.equals(ARTICLES_SCHEMA)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_parts_with_the_same_name_in_two_lakes_are_not_confused(lake: Lake) -> None:
    with scratch_lake() as other:
        for each, prefix, count in ((lake, "old", 10), (other, "new", 2_000)):
            each.write_part(each.articles, "p.parquet", rows_named(prefix, count))
            read = read_batch(each, batch_of([8, 10]))
            assert read["article_id"].to_pylist() == [f"{prefix}-8", f"{prefix}-9"]
        assert read_batch(other, batch_of([1_990, 2_000])).num_rows == 10


def test_a_damaged_or_missing_part_is_named(lake: Lake) -> None:
    path = at(lake, lake.write_part(lake.articles, "p.parquet", rows_named("a", 10)).name)
    read_batch(lake, batch_of([0, 10]))
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(UserError, match=r"p\.parquet: the part is damaged"):
        read_batch(lake, batch_of([0, 10]))
    path.unlink()
    with pytest.raises(UserError, match=r"p\.parquet"):
        read_batch(lake, batch_of([0, 10]))


def test_many_threads_read_many_parts_at_once(lake: Lake) -> None:
    names = [f"p{number:02d}" for number in range(12)]
    for name in names:
        lake.write_part(lake.articles, f"{name}.parquet", rows_named(name, 1_200))
    wrong: list[str] = []

    def read() -> None:
        for name in names:
            rows = read_batch(lake, batch_of([400, 700], part=f"articles/{name}.parquet"))
            if rows["article_id"].to_pylist() != [f"{name}-{row}" for row in range(400, 700)]:
                wrong.append(name)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_small_batch_does_not_keep_the_row_group_in_memory(lake: Lake) -> None:
    rows = rows_named("a", 500)
    bodies = pa.array(["x" * 10_000] * 500)
    rows = rows.set_column(rows.schema.get_field_index("body"), "body", bodies)
    lake.write_part(lake.articles, "p.parquet", rows)
    few = read_batch(lake, batch_of([100, 120]))
    assert few.get_total_buffer_size() < 500_000
    assert read_batch(lake, batch_of([0, 500])).get_total_buffer_size() > 5_000_000
    assert pq.read_metadata(at(lake) / PART).num_row_groups == 1
