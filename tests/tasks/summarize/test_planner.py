"""The counts of a plan add up, each text is requested once, and batches contain their rows."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.enriched.failures import permanently_failed_texts
from article_flows.tasks.enriched.outcomes import Outcome
from article_flows.tasks.enriched.recipes import load_recipe
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.summarize.batches import Batch, read_batch
from article_flows.tasks.summarize.row_states import RowIndex
from tests.tasks.summarize.job_support import (
    answer,
    article,
    at,
    failure,
    fill,
    plan_run,
    write_outcomes,
)

STATES = ("new", "answered", "failed", "transient", "journaled")


@contextmanager
def scratch_lake() -> Iterator[Lake]:
    with TemporaryDirectory() as folder:
        yield Lake(Path(folder) / "lake")


def table_of(lake: Lake) -> EnrichedTable:
    return EnrichedTable(lake, load_recipe("summary"), "m")


def articles_of(lake: Lake) -> pa.Table:
    return pq.read_table(at(lake, lake.articles), schema=ARTICLES_SCHEMA)


def ids_in(lake: Lake, batches: list[Batch]) -> list[str]:
    tables = [read_batch(lake, batch) for batch in batches]
    return [name for table in tables for name in table["article_id"].to_pylist()]


def outcome_of(state: str, content_hash: str) -> Outcome | None:
    match state:
        case "answered":
            return answer(content_hash, summary="S")
        case "failed":
            return failure(content_hash, "content_filter")
        case "transient":
            return failure(content_hash, "server_error")
    return None


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(STATES)), min_size=1, max_size=14),
    cut=st.integers(0, 14),
    limit=st.none() | st.integers(1, 6),
    batch_size=st.integers(0, 4),
    retry_failed=st.booleans(),
)
def test_every_article_is_counted_once_and_every_text_requested_once(
    rows: list[tuple[int, str]],
    cut: int,
    limit: int | None,
    batch_size: int,
    retry_failed: bool,
) -> None:
    """A row is the number of a text (few, so that ids share texts) and its state before the run."""
    with scratch_lake() as lake:
        sources = [article(f"a{n:02d}", f"Text number {text}.") for n, (text, _) in enumerate(rows)]
        for some in (sources[:cut], sources[cut:]):
            if some:
                fill(lake, some)
        articles, table = articles_of(lake), table_of(lake)
        hashes, states = articles["content_hash"].to_pylist(), [state for _, state in rows]
        outcomes = list(map(outcome_of, states, hashes))
        write_outcomes(table, articles, outcomes, "1")
        texts: dict[str, set[str]] = {state: set() for state in STATES}
        for text, state in zip(hashes, states, strict=True):
            texts[state].add(text)
        plan = plan_run(
            table,
            recovered=texts["journaled"],
            limit=limit,
            batch_size=batch_size,
            retry_failed=retry_failed,
        )
        parts = (plan.reused, plan.failed, plan.recovered, plan.to_request, plan.to_copy, plan.left)
        assert plan.articles == len(rows) == sum(parts)
        assert plan.to_request <= (limit or len(rows))
        requested, copied = ids_in(lake, plan.batches), ids_in(lake, plan.copies)
        assert len(requested) == plan.to_request + plan.recovered
        assert len(copied) == plan.to_copy
        assert len({*requested, *copied}) == len(requested) + len(copied)
        text_of = dict(zip(articles["article_id"].to_pylist(), hashes, strict=True))
        answered, failed = texts["answered"], texts["failed"]
        requested_texts = [text_of[name] for name in requested]
        assert len(set(requested_texts)) == len(requested_texts)
        assert not answered & set(requested_texts)
        # A copied text already has an outcome, or gets one in this run.
        known = answered | set(requested_texts) | (set() if retry_failed else failed)
        assert {text_of[name] for name in copied} <= known
        if not retry_failed:
            assert not failed & set(requested_texts)
            assert permanently_failed_texts(table) == failed
        if limit is None:
            # Every row without a batch is in the table or among the failures.
            settled = {f"a{n:02d}" for n, s in enumerate(states) if s in ("answered", "failed")}
            assert set(text_of) - {*requested, *copied} <= settled
        assert all(batch["size"] == read_batch(lake, batch).num_rows for batch in plan.batches)
        if batch_size:
            # Only the last batch, and the last recovered batch of each part, may be smaller.
            small = [batch for batch in plan.batches if batch["size"] != batch_size]
            assert len(small) <= 1 + min(plan.recovered, len(lake.parts(lake.articles)))
        assert json.loads(json.dumps([plan.batches, plan.copies])) == [plan.batches, plan.copies]
        assert len(RowIndex.from_table(table)) == states.count("answered")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_batches_are_few_and_small_when_serialized(lake: Lake) -> None:
    fill(lake, [article(f"a{number}") for number in range(2_000)])
    table = table_of(lake)
    batches = plan_run(table, recovered=set()).batches
    assert [batch["size"] for batch in batches] == [50] * 40
    assert [batch["number"] for batch in batches] == list(range(1, 41))
    assert max(len(json.dumps(batch)) for batch in batches) < 200
    # Every other row is answered: one range per row, and still only a few KB.
    articles = articles_of(lake)
    outcomes = [
        answer(text, summary="S") if row % 2 else None
        for row, text in enumerate(articles["content_hash"].to_pylist())
    ]
    write_outcomes(table, articles, outcomes, "1")
    (batch, *rest) = plan_run(table, recovered=set(), batch_size=500).batches
    assert (batch["size"], len(rest)) == (500, 1)
    assert len(json.dumps(batch)) < 10_000


def test_the_estimate_covers_only_the_articles_to_request(lake: Lake) -> None:
    fill(lake, [article("a1", "x" * 400), article("a2", "字" * 100), article("a3", "x" * 400)])
    plan = plan_run(table_of(lake), recovered=set(), estimate=True)
    assert (plan.to_request, plan.to_copy) == (2, 1)
    assert (plan.prompt_tokens, plan.longest_prompt) == (200, 100)
    limited = plan_run(table_of(lake), recovered=set(), estimate=True, limit=1)
    assert limited.prompt_tokens == 100
    assert plan_run(table_of(lake), recovered=set()).prompt_tokens is None


def test_a_text_that_failed_permanently_under_another_id_is_copied(
    lake: Lake,
) -> None:
    fill(lake, [article("a1", "One text.")])
    articles, table = articles_of(lake), table_of(lake)
    write_outcomes(table, articles, [failure(articles["content_hash"][0].as_py(), "too_long")], "1")
    fill(lake, [article("a2", "One text.")])
    plan = plan_run(table, recovered=set())
    assert (plan.failed, plan.to_copy, plan.to_request) == (1, 1, 0)
    assert ids_in(lake, plan.copies) == ["a2"]


def test_an_empty_lake_gives_an_empty_plan(lake: Lake) -> None:
    plan = plan_run(table_of(lake), recovered=set(), estimate=True)
    assert (plan.articles, plan.batches, plan.copies, plan.prompt_tokens) == (0, [], [], 0)
    assert not at(lake).exists()
