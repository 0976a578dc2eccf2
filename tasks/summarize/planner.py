"""What is left to do: always computed from the tables, never remembered."""

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

from article_flows.tasks.enriched.failures import PermanentFailures
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.lake.key_columns import KeyBatch, read_key_batches
from article_flows.tasks.lake.parts import Part
from article_flows.tasks.lake.sorted_keys import Flags, KeySet, count_flags, order_of
from article_flows.tasks.lake.superseded import Superseded
from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens_from_lengths
from article_flows.tasks.summarize.batches import Batch, BatchCutter
from article_flows.tasks.summarize.row_states import PriorState, RowIndex

_SMALLEST_BATCH, _LARGEST_BATCH, _BATCHES_A_RUN = 50, 500, 40
"""A Prefect task run costs about 5 ms of CPU: few enough for them to cost little a row."""

_COPY_BATCH = 5_000
_STRETCH_OF_TEXT = 1_024
"""Rows that are looked at together where their text is read, too."""


@dataclass
class Plan:
    """Rows to copy an answer to, and counts of all.

    ``articles`` = ``reused`` + ``refused`` + ``to_ask`` + ``recovered`` + ``to_copy`` + ``left``.

    Attributes:
        reused: rows whose answer is in the table already, and rows that the articles have twice.
        refused: rows that failed for good in an earlier run; ``refused_classes`` says of what.
        recovered: rows whose outcome an earlier run received and did not commit.
        left: rows beyond the limit, and those of batches that were never handed out.
        prompt_tokens: an estimate for the articles to ask about; None if it was not wanted.
        longest_prompt: the same for the longest of them.
    """

    copies: list[Batch] = field(default_factory=list)
    articles: int = 0
    reused: int = 0
    refused: int = 0
    refused_classes: Counter[str] = field(default_factory=Counter)
    recovered: int = 0
    to_ask: int = 0
    to_copy: int = 0
    left: int = 0
    prompt_tokens: int | None = None
    longest_prompt: int = 0


class Planner:
    """Compares the articles with the answers there are, as far as batches are asked for.

    Its memory grows by 24 bytes an article, and by nothing else where no text is there twice.
    Safe to use from several threads, which take turns.

    Args:
        table: the enriched table that the answers go to.
        recovered: content hashes of outcomes that earlier runs left in journals.
        limit: ask about this many articles at most.
        batch_size: rows in a batch; 0 chooses 50 to 500, for about 40 batches a run.
        retry_refused: ask again about rows that failed for good.
        estimate: also estimate the prompt tokens, which means to read the text.
        article_parts: the parts to plan for, where they are not those of the lake.
        superseded: the rows among these that are no articles any more; else those of the lake.
        only: content hashes to ask about; None: those of all articles. Rows of other texts are
            left to do.

    Attributes:
        plan: the counts so far, and the copies; complete once ``batches()`` is exhausted or
            ``count_the_rest()`` was called.
        total: rows of the articles table.

    Raises:
        UserError: a part of the articles is damaged.
    """

    def __init__(
        self,
        table: EnrichedTable,
        *,
        recovered: set[str],
        limit: int | None = None,
        batch_size: int = 0,
        retry_refused: bool = False,
        estimate: bool = False,
        article_parts: list[Part] | None = None,
        superseded: Superseded | None = None,
        only: KeySet | None = None,
    ) -> None:
        lake = table.lake
        self._table = table
        self._parts = lake.parts(lake.articles) if article_parts is None else article_parts
        self._superseded = Superseded(lake) if superseded is None else superseded
        self._recovered = recovered
        self._room = math.inf if limit is None else limit
        self._only = only
        if only is not None:
            self._room = min(self._room, len(only))
        self._batch_size = batch_size
        self._retry_refused = retry_refused
        self._closed = False
        self._lock = threading.Lock()
        self._steps = self._take_steps()
        self._answered_before = 0
        self.plan = Plan(prompt_tokens=0 if estimate else None)
        self.total = sum(part.rows() for part in self._parts) - len(self._superseded)

    @property
    def found_all_rows(self) -> bool:
        """Whether every row that the table had is of an article; known once the plan is complete.

        False as well where the articles have a row twice.
        """
        return self.plan.reused == self._answered_before

    @property
    def most_to_ask(self) -> int:
        """Articles to ask about: those found so far, and at most all that are not looked at yet."""
        return self.plan.to_ask + int(min(self._room, self.total - self.plan.articles))

    def batches(self) -> Iterator[Batch]:
        """Hand out the batches to ask about, reading on as the caller goes on.

        Rows whose outcome waits in a journal come in batches of their own, which need no call.
        """
        while (batch := self._next()) is not None:
            yield batch

    def count_the_rest(self) -> None:
        """Finish the counts without more batches: what was not handed out is left to do."""
        with self._lock:
            self._closed = True
            for _ in self._steps:
                pass

    def _next(self) -> Batch | None:
        with self._lock:
            return None if self._closed else next(self._steps, None)

    def _take_steps(self) -> Iterator[Batch]:
        """Go through the articles, and stop at each batch that is full."""
        rows = RowIndex.of(self._table)
        refusals = PermanentFailures() if self._retry_refused else PermanentFailures.of(self._table)
        known = PriorState(rows, refusals, self._recovered)
        self._answered_before = len(rows)
        todo = self.total - len(rows)
        size = self._batch_size or _batch_size(todo if self._only is None else len(self._only))
        cut = _Cutters(size)
        for part in self._parts:
            for stretch in _stretches(part, estimate=self.plan.prompt_tokens is not None):
                self._take_in(part.name, stretch, known, cut)
                # What is paid for comes first, so that a run that is stopped has committed it.
                cut.recovered.finish()
                yield from self._full(cut)
        cut.finish()
        yield from self._full(cut)
        self.plan.copies = list(cut.copies.ready)

    def _full(self, cut: _Cutters) -> Iterator[Batch]:
        """The batches that are full; once no more are wanted, their rows are left to do."""
        for cutter in (cut.recovered, cut.asks):
            while cutter.ready:
                batch = cutter.ready.popleft()
                if not self._closed:
                    yield batch
                    continue
                self.plan.left += batch["size"]
                if cutter is cut.asks:
                    self.plan.to_ask -= batch["size"]
                else:
                    self.plan.recovered -= batch["size"]

    def _take_in(self, part: str, stretch: KeyBatch, known: PriorState, cut: _Cutters) -> None:
        """Decide what is to be done about each row of a stretch, and count it."""
        plan = self.plan
        current = ~self._superseded.among(part, stretch.keys)
        texts, tags = stretch.texts.take(current), stretch.tags[current]
        order = order_of(texts)
        rows = known.states(texts, tags, order)
        recovered, asked = rows.recovered, rows.new
        if self._only is not None:
            asked = asked & self._only.contains_keys(texts)
        if self._closed:
            recovered = asked = np.zeros_like(asked)
        elif (to_ask := count_flags(asked)) > self._room:
            asked = asked & (np.cumsum(asked) <= self._room)
        to_ask = count_flags(asked)
        self._room -= to_ask
        copied = rows.known | (rows.later & (asked | recovered)[order.first])
        known.account_for(texts, tags, asked | recovered, copied | rows.refused)
        for cutter, wanted in ((cut.asks, asked), (cut.recovered, recovered), (cut.copies, copied)):
            cutter.add(part, stretch.first, _spread(wanted, current))
        plan.articles += len(tags)
        plan.reused += count_flags(rows.reused)
        plan.refused += count_flags(rows.refused)
        plan.refused_classes += known.refusals.count_classes(rows.classes)
        plan.recovered += count_flags(recovered)
        plan.to_ask += to_ask
        plan.to_copy += count_flags(copied)
        plan.left += count_flags(rows.new | rows.recovered | rows.later) - count_flags(
            asked | recovered | (copied & rows.later)
        )
        self._estimate(stretch, _spread(asked, current))

    def _estimate(self, stretch: KeyBatch, asked: Flags) -> None:
        if self.plan.prompt_tokens is not None and asked.any():
            tokens = _token_estimates(stretch.columns)[asked]
            self.plan.prompt_tokens += int(tokens.sum())
            self.plan.longest_prompt = max(self.plan.longest_prompt, int(tokens.max()))


class _Cutters:
    """Where the rows of a run go: to be asked about, in a journal, to be copied to."""

    def __init__(self, size: int) -> None:
        numbers = itertools.count(1)
        self.asks = BatchCutter(size, numbers)
        self.recovered = BatchCutter(size, numbers)
        self.copies = BatchCutter(_COPY_BATCH, itertools.count(1))

    def finish(self) -> None:
        for cutter in (self.asks, self.recovered, self.copies):
            cutter.finish()


def _batch_size(todo: int) -> int:
    return min(_LARGEST_BATCH, max(_SMALLEST_BATCH, -(-todo // _BATCHES_A_RUN)))


def _stretches(part: Part, *, estimate: bool) -> Iterator[KeyBatch]:
    if estimate:
        return read_key_batches(part, ["title", "body"], _STRETCH_OF_TEXT)
    return read_key_batches(part)


def _spread(flags: Flags, current: Flags) -> Flags:
    """Flags of the current rows as flags of all rows."""
    spread = np.zeros_like(current)
    spread[current] = flags
    return spread


def _token_estimates(columns: pa.RecordBatch) -> npt.NDArray[np.int64]:
    def lengths(function: Any) -> Any:
        title, body = (pc.fill_null(function(columns[name]), 0) for name in ("title", "body"))
        return pc.add(title, body).to_numpy(zero_copy_only=False).astype(np.int64)

    tokens = estimate_tokens_from_lengths(lengths(pc.utf8_length), lengths(pc.binary_length))
    return np.asarray(tokens, np.int64)
