"""The planner agrees with a row-by-row reference, is lazy, and can be closed early."""

import itertools
import threading
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.enriched.recipes import load_recipe
from article_flows.tasks.enriched.table import FAILURE_SCHEMA, EnrichedTable
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.sorted_keys import KeySet
from article_flows.tasks.summarize.batches import Batch, read_batch
from article_flows.tasks.summarize.planner import Plan, Planner
from article_flows.tasks.summarize.row_states import RowIndex
from tests.tasks.summarize.job_support import at, plan_run

Row = tuple[str, str]
"""An article's id and content hash."""

# Few of each, so that rows, ids and texts repeat in every combination.
ROWS = st.tuples(st.sampled_from("abc"), st.integers(0, 4).map(lambda text: f"{text:032x}"))
PARTS = st.lists(st.lists(ROWS, min_size=1, max_size=6), max_size=4)


def table_in(folder: str | Path) -> EnrichedTable:
    return EnrichedTable(Lake(Path(folder) / "lake"), load_recipe("summary"), "m")


def write(
    table: EnrichedTable, folder: str, schema: pa.Schema, parts: list[list[Row]], **columns: str
) -> None:
    for number, rows in enumerate(parts):
        filled = [{"article_id": i, "content_hash": text, **columns} for i, text in rows]
        part = pa.Table.from_pylist(filled, schema)
        table.lake.write_part(folder, f"p{number}.parquet", part)


def write_articles(table: EnrichedTable, parts: list[list[Row]]) -> None:
    write(table, table.lake.articles, ARTICLES_SCHEMA, parts)


def row_by_row(
    articles: list[list[Row]],
    answered: list[list[Row]],
    failures: list[list[Row]],
    recovered: set[str],
    limit: int | None,
) -> dict[str, set[Row] | int]:
    """Compute the plan one row at a time, as a reference."""
    done, failed = ({row for part in parts for row in part} for parts in (answered, failures))
    known, failed_texts = {text for _, text in done}, {text for _, text in failed}
    requested, copied, journaled, skipped = set[Row](), set[Row](), set[Row](), set[Row]()
    settled, left = set(done), 0
    for row in (row for part in articles for row in part):
        if row in settled:
            continue
        if row[1] in known:
            copied.add(row)
        elif row in failed:
            skipped.add(row)
        elif row[1] in failed_texts:
            copied.add(row)
        elif row[1] in recovered:
            journaled.add(row)
            known.add(row[1])
        elif limit is not None and len(requested) >= limit:
            left += 1
            # Rows beyond the limit are not compared with those of other key batches.
            continue
        else:
            requested.add(row)
            known.add(row[1])
        settled.add(row)
    return {
        "requested": requested | journaled,
        "copied": copied,
        "failed": len(skipped),
        "recovered": len(journaled),
        "most_left": left,
    }


def rows_of(lake: Lake, batches: Sequence[Batch]) -> list[Row]:
    tables = [read_batch(lake, batch).select(["article_id", "content_hash"]) for batch in batches]
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def total(plan: Plan) -> int:
    return sum((plan.reused, plan.failed, plan.recovered, plan.to_request, plan.to_copy, plan.left))


@settings(max_examples=150, deadline=None)
@given(
    articles=PARTS,
    answered=PARTS,
    failures=PARTS,
    recovered=st.sets(ROWS.map(lambda row: row[1]), max_size=2),
    limit=st.none() | st.integers(0, 4),
    batch_size=st.integers(1, 3),
    take=st.none() | st.integers(0, 3),
)
def test_the_plan_equals_that_of_a_row_by_row_reference(
    articles: list[list[Row]],
    answered: list[list[Row]],
    failures: list[list[Row]],
    recovered: set[str],
    limit: int | None,
    batch_size: int,
    take: int | None,
) -> None:
    with TemporaryDirectory() as folder:
        table = table_in(folder)
        write_articles(table, articles)
        write(table, table.folder, table.schema, answered)
        write(table, table.failures, FAILURE_SCHEMA, failures, error_class="too_long")
        planner = Planner(table, recovered=recovered, limit=limit, batch_size=batch_size)
        assert planner.total == sum(map(len, articles))
        assert len(RowIndex.from_table(table)) == len({row for part in answered for row in part})
        batches = list(itertools.islice(planner.batches(), take))
        planner.finish_counts()
        assert next(planner.batches(), None) is None
        plan, rows = planner.plan, rows_of(table.lake, batches)
        expected = row_by_row(articles, answered, failures, recovered, limit)
        assert plan.articles == total(plan) == planner.total
        assert plan.to_request + plan.recovered == len(rows) == sum(b["size"] for b in batches)
        assert len(set(rows)) == len(rows)
        assert plan.failed == expected["failed"]
        assert plan.failed_classes == Counter(too_long=plan.failed)
        assert len({batch["number"] for batch in batches}) == len(batches)
        requested, copied = expected["requested"], rows_of(table.lake, plan.copies)
        assert isinstance(requested, set)
        if take is None:
            assert set(rows) == requested
            assert set(copied) == expected["copied"]
            assert len(set(copied)) == len(copied) == plan.to_copy
            assert plan.recovered == expected["recovered"]
            assert (plan.left == 0) is (expected["most_left"] == 0)
        else:
            assert set(rows) <= requested


def numbered(start: int, stop: int) -> list[Row]:
    return [(f"a{number}", f"{number:032x}") for number in range(start, stop)]


def test_articles_are_read_only_as_far_as_batches_are_consumed(tmp_path: Path) -> None:
    table = table_in(tmp_path)
    write_articles(table, [numbered(0, 300), numbered(300, 600)])
    planner = Planner(table, recovered=set(), batch_size=100)
    # The second part cannot be read.
    at(table.lake, "articles/p1.parquet").write_bytes(b"no longer there")
    batches = planner.batches()
    assert [next(batches)["number"] for _ in range(3)] == [1, 2, 3]
    assert (planner.total, planner.plan.articles) == (600, 300)
    with pytest.raises(UserError, match=r"p1\.parquet"):
        next(batches)


def test_rows_that_were_not_handed_out_count_as_left(tmp_path: Path) -> None:
    table = table_in(tmp_path)
    write_articles(table, [numbered(0, 300), numbered(200, 500)])
    write(table, table.folder, table.schema, [numbered(450, 500)])
    journaled = {text for _, text in numbered(0, 150)}
    planner = Planner(table, recovered=journaled, batch_size=100)
    batches = planner.batches()
    # Recovered outcomes come first.
    assert [next(batches)["size"] for _ in range(3)] == [100, 50, 100]
    planner.finish_counts()
    plan = planner.plan
    assert (plan.recovered, plan.to_request, plan.left) == (150, 100, 200)
    # The 100 duplicate rows are requested once; 50 rows have an answer.
    assert (plan.articles, plan.reused + plan.to_copy) == (600, 150)
    planner.finish_counts()
    assert total(plan) == 600


def test_a_planner_that_is_closed_at_once_only_counts(tmp_path: Path) -> None:
    table = table_in(tmp_path)
    write_articles(table, [numbered(0, 30)])
    write(table, table.folder, table.schema, [numbered(0, 10)])
    planner = Planner(table, recovered=set())
    planner.finish_counts()
    assert list(planner.batches()) == []
    assert (planner.plan.reused, planner.plan.left, planner.plan.to_request) == (10, 20, 0)


def test_threads_take_turns_and_no_batch_is_handed_out_twice(tmp_path: Path) -> None:
    table = table_in(tmp_path)
    write_articles(table, [numbered(0, 1_000), numbered(1_000, 2_000)])
    planner, taken = Planner(table, recovered=set(), batch_size=7), list[Batch]()
    threads = [threading.Thread(target=lambda: taken.extend(planner.batches())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(rows_of(table.lake, taken)) == sorted(numbered(0, 2_000))


@pytest.mark.slow
def test_memory_is_a_few_bytes_per_row(tmp_path: Path) -> None:
    """24 bytes for each row so far, and a constant for the current key batch."""
    table, rows, parts = table_in(tmp_path), 25_000, 8
    ids = [f"article-{number}" for number in range(rows * parts)]
    texts = [blake2b(name.encode(), digest_size=16).hexdigest() for name in ids]
    every = list(zip(ids, texts, strict=True))
    write_articles(table, [every[start : start + rows] for start in range(0, len(every), rows)])
    del every, ids, texts
    plan_run(table, recovered=set(), limit=1)
    tracemalloc.start()
    try:
        for _ in Planner(table, recovered=set()).batches():
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * rows * parts + 2_000_000


def test_only_the_given_texts_are_requested_under_any_id(tmp_path: Path) -> None:
    table, wanted = table_in(tmp_path), KeySet()
    (_, first), (_, second) = numbered(0, 2)
    write_articles(table, [[*numbered(0, 50), ("other-id", first)]])
    wanted.update(map(bytes.fromhex, (first, second)))
    planner = Planner(table, recovered=set(), only=wanted)

    batches = list(planner.batches())

    plan = planner.plan
    assert sorted(rows_of(table.lake, batches)) == numbered(0, 2)
    assert rows_of(table.lake, plan.copies) == [("other-id", first)]
    assert (plan.articles, plan.to_request, plan.to_copy, plan.left) == (51, 2, 1, 48)
