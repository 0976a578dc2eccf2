"""Plan a run: compare the articles with the tables, and cut the open ones into batches.

The plan is always computed from the tables; no other state is stored. Dry runs use it as well.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.common.article_schema import Mask
from article_flows.tasks.enriched.failures import PermanentFailures
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.lake.key_columns import KeyBatch, read_key_batches
from article_flows.tasks.lake.parquet_parts import Part
from article_flows.tasks.lake.sorted_keys import KeySet, count_true, key_order
from article_flows.tasks.lake.tombstones import Tombstones
from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens_from_lengths
from article_flows.tasks.summarize.batches import Batch, BatchCutter
from article_flows.tasks.summarize.row_states import PriorState, RowIndex

_MIN_BATCH, _MAX_BATCH, _TARGET_BATCHES = 50, 500, 40
"""Batch sizes in rows, and the number of batches to aim for. A Prefect task run takes about 5 ms of
CPU, which is little per row at these sizes."""

_COPY_BATCH = 5_000
_TEXT_BATCH_ROWS = 1_024
"""Rows that are read at once with their text, to estimate tokens."""


@dataclass
class Plan:
    """The counts of a plan, and the batches of rows that get a copied outcome.

    ``articles`` is the sum of ``reused``, ``failed``, ``recovered``, ``to_request``, ``to_copy``
    and ``left``.

    Attributes:
        copies: Batches of rows that get the outcome of another row with the same text.
        articles: Current rows of the articles table.
        reused: Rows whose answer is already in the table, and duplicate rows.
        failed: Rows that failed permanently in an earlier run.
        failed_classes: The same by error class.
        recovered: Rows whose outcome an earlier run received but did not commit.
        to_request: Rows that need a request.
        to_copy: Rows in ``copies``.
        left: Rows beyond the limit, and rows of batches that were not submitted.
        prompt_tokens: Estimated tokens of the articles to request; None if not estimated.
        longest_prompt: Estimated tokens of the longest of them.
    """

    copies: list[Batch] = field(default_factory=list)
    articles: int = 0
    reused: int = 0
    failed: int = 0
    failed_classes: Counter[str] = field(default_factory=Counter)
    recovered: int = 0
    to_request: int = 0
    to_copy: int = 0
    left: int = 0
    prompt_tokens: int | None = None
    longest_prompt: int = 0


class Planner:
    """A lazy comparison of the articles with their outcomes, which yields batches to request.

    Thread-safe. Memory is 24 bytes per article if every text is unique.

    Args:
        recovered: Content hashes of the outcomes that earlier runs left in journals.
        limit: The maximum number of articles to request; None for no limit.
        batch_size: Rows in a batch; 0 chooses 50 to 500 rows, for about 40 batches.
        retry_failed: Whether rows that failed permanently are requested again.
        estimate: Whether to estimate the prompt tokens, for which the texts are read.
        article_parts: The parts of articles to plan for; None for those of the lake.
        superseded: The superseded rows of these parts; None for those of the lake.
        only: The content hashes to request; None for all. Rows of other texts are left.

    Attributes:
        plan: The counts so far; complete once ``batches()`` is exhausted or ``finish_counts()``
            has returned.
        total: Current rows of the articles table.

    Raises:
        UserError: A part of the articles is damaged.
    """

    def __init__(
        self,
        table: EnrichedTable,
        *,
        recovered: set[str],
        limit: int | None = None,
        batch_size: int = 0,
        retry_failed: bool = False,
        estimate: bool = False,
        article_parts: list[Part] | None = None,
        superseded: Tombstones | None = None,
        only: KeySet | None = None,
    ) -> None:
        lake = table.lake
        self._table = table
        self._parts = lake.parts(lake.articles) if article_parts is None else article_parts
        self._superseded = Tombstones(lake) if superseded is None else superseded
        self._recovered = recovered
        self._only = only
        self._remaining = math.inf if limit is None else limit
        if only is not None:
            self._remaining = min(self._remaining, len(only))
        self._batch_size = batch_size
        self._retry_failed = retry_failed
        self._closed = False
        self._lock = threading.Lock()
        self._batches = self._generate_batches()
        self._answered_before = 0
        self.plan = Plan(prompt_tokens=0 if estimate else None)
        self.total = sum(part.rows() for part in self._parts) - len(self._superseded)

    @property
    def all_rows_current(self) -> bool:
        """Whether every row of the table is of a current article, once the plan is complete.

        Also False if the articles have duplicate rows.
        """
        return self.plan.reused == self._answered_before

    @property
    def max_to_request(self) -> int:
        """An upper bound of the requests: those found so far, and all articles not yet compared."""
        return self.plan.to_request + int(min(self._remaining, self.total - self.plan.articles))

    def batches(self) -> Iterator[Batch]:
        """Yield the batches to request, comparing further articles as they are consumed.

        Rows whose outcome is in a journal are in separate batches, which send no request.
        """
        while (batch := self._next()) is not None:
            yield batch

    def finish_counts(self) -> None:
        """Complete the counts without further batches; rows not yielded count as left."""
        with self._lock:
            self._closed = True
            for _ in self._batches:
                pass

    def _next(self) -> Batch | None:
        with self._lock:
            return None if self._closed else next(self._batches, None)

    def _generate_batches(self) -> Iterator[Batch]:
        rows = RowIndex.from_table(self._table)
        permanent_failures = (
            PermanentFailures() if self._retry_failed else PermanentFailures.from_table(self._table)
        )
        prior_state = PriorState(rows, permanent_failures, self._recovered)
        self._answered_before = len(rows)
        unanswered = self.total - len(rows) if self._only is None else len(self._only)
        cutters = _Cutters(self._batch_size or _batch_size(unanswered))
        for part in self._parts:
            for key_batch in _key_batches(part, with_text=self.plan.prompt_tokens is not None):
                self._plan_rows(part.name, key_batch, prior_state, cutters)
                # Paid outcomes come first, so that a run that is stopped has committed them.
                cutters.recovered.finish()
                yield from self._ready_batches(cutters)
        cutters.finish()
        yield from self._ready_batches(cutters)
        self.plan.copies = list(cutters.copies.ready)

    def _ready_batches(self, cutters: _Cutters) -> Iterator[Batch]:
        """Yield the full batches; once the planner is closed, count their rows as left instead."""
        for cutter in (cutters.recovered, cutters.requests):
            while cutter.ready:
                batch = cutter.ready.popleft()
                if not self._closed:
                    yield batch
                    continue
                self.plan.left += batch["size"]
                if cutter is cutters.requests:
                    self.plan.to_request -= batch["size"]
                else:
                    self.plan.recovered -= batch["size"]

    def _plan_rows(
        self, part: str, key_batch: KeyBatch, prior_state: PriorState, cutters: _Cutters
    ) -> None:
        """Decide what happens to each row of a key batch, and count it."""
        current = ~self._superseded.among(part, key_batch.keys)
        texts, tags = key_batch.texts.take(current), key_batch.tags[current]
        order = key_order(texts)
        states = prior_state.classify(texts, tags, order)
        recovered, requested = states.recovered, states.new
        if self._only is not None:
            requested = requested & self._only.contains_keys(texts)
        if self._closed:
            recovered = requested = np.zeros_like(requested)
        elif count_true(requested) > self._remaining:
            requested = requested & (np.cumsum(requested) <= self._remaining)
        self._remaining -= count_true(requested)
        settled = requested | recovered
        copied = states.copyable | (states.repeated & settled[order.first])
        prior_state.add_planned(texts, tags, settled, copied | states.failed)
        for cutter, flags in (
            (cutters.requests, requested),
            (cutters.recovered, recovered),
            (cutters.copies, copied),
        ):
            cutter.add(part, key_batch.first, _expand(flags, current))
        plan = self.plan
        plan.articles += len(tags)
        plan.reused += count_true(states.reused)
        plan.failed += count_true(states.failed)
        plan.failed_classes += prior_state.permanent_failures.count_classes(states.error_classes)
        plan.recovered += count_true(recovered)
        plan.to_request += count_true(requested)
        plan.to_copy += count_true(copied)
        plan.left += count_true(states.new | states.recovered | states.repeated) - count_true(
            settled | (copied & states.repeated)
        )
        self._estimate(key_batch, _expand(requested, current))

    def _estimate(self, key_batch: KeyBatch, requested: Mask) -> None:
        if self.plan.prompt_tokens is not None and requested.any():
            tokens = _token_estimates(key_batch.columns)[requested]
            self.plan.prompt_tokens += int(tokens.sum())
            self.plan.longest_prompt = max(self.plan.longest_prompt, int(tokens.max()))


class _Cutters:
    """The batch cutters of a plan: rows to request, recovered rows, and rows to copy to."""

    def __init__(self, size: int) -> None:
        numbers = itertools.count(1)
        self.requests = BatchCutter(size, numbers)
        self.recovered = BatchCutter(size, numbers)
        self.copies = BatchCutter(_COPY_BATCH, itertools.count(1))

    def finish(self) -> None:
        for cutter in (self.requests, self.recovered, self.copies):
            cutter.finish()


def _batch_size(open_rows: int) -> int:
    return min(_MAX_BATCH, max(_MIN_BATCH, -(-open_rows // _TARGET_BATCHES)))


def _key_batches(part: Part, *, with_text: bool) -> Iterator[KeyBatch]:
    if with_text:
        return read_key_batches(part, ["title", "body"], _TEXT_BATCH_ROWS)
    return read_key_batches(part)


def _expand(flags: Mask, current: Mask) -> Mask:
    """Expand flags of the current rows to flags of all rows."""
    expanded = np.zeros_like(current)
    expanded[current] = flags
    return expanded


def _token_estimates(columns: pa.RecordBatch) -> npt.NDArray[np.int64]:
    def lengths(function: Any) -> Any:
        title, body = (pc.fill_null(function(columns[name]), 0) for name in ("title", "body"))
        return pc.add(title, body).to_numpy(zero_copy_only=False).astype(np.int64)

    tokens = estimate_tokens_from_lengths(lengths(pc.utf8_length), lengths(pc.binary_length))
    return np.asarray(tokens, np.int64)
