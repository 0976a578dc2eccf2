"""What is left to do: always computed from the tables, never remembered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.enriched import EnrichedTable
from tasks.keys import KeySet, row_key
from tasks.lake import Lake, open_part
from tasks.llm.errors import PERMANENT_CLASSES
from tasks.llm.tokens import estimate_tokens_from_lengths

Batch = dict[str, Any]
"""Which rows of which parts: ``{"number": 7, "size": 50, "rows": {part: [[start, stop], ...]}}``.

Parts are named relative to the lake; rows count from 0; a few KB at most, never article text.
"""

_SMALLEST_BATCH, _LARGEST_BATCH, _BATCHES_A_RUN = 50, 500, 400
_COPY_BATCH = 5_000


@dataclass
class Plan:
    """Batches to ask about, rows to copy an answer to, and counts of the rest.

    ``articles`` = ``reused`` + ``refused`` + ``to_ask`` + ``recovered`` + ``to_copy`` + ``left``.

    Attributes:
        reused: rows whose answer is in the table already, and rows that the articles have twice.
        refused: rows that failed for good in an earlier run; ``refused_classes`` says of what.
        recovered: rows whose outcome an earlier run received and did not commit.
        left: rows beyond the limit.
        prompt_tokens: an estimate for the articles to ask about; None if it was not wanted.
        longest_prompt: the same for the longest of them.
    """

    batches: list[Batch] = field(default_factory=list)
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


class _Batches:
    """Cuts a run of row positions into batches."""

    def __init__(self, size: int) -> None:
        self.done: list[Batch] = []
        self._size = size
        self._rows: dict[str, list[list[int]]] = {}
        self._count = 0

    def add(self, part: str, row: int) -> None:
        ranges = self._rows.setdefault(part, [])
        if ranges and ranges[-1][1] == row:
            ranges[-1][1] = row + 1
        else:
            ranges.append([row, row + 1])
        self._count += 1
        if self._count == self._size:
            self.finish()

    def finish(self) -> list[Batch]:
        if self._count:
            number = len(self.done) + 1
            self.done.append({"number": number, "size": self._count, "rows": self._rows})
            self._rows, self._count = {}, 0
        return self.done


def plan_run(
    table: EnrichedTable,
    *,
    recovered: set[str],
    limit: int | None = None,
    batch_size: int = 0,
    retry_refused: bool = False,
    estimate: bool = False,
    article_parts: list[Path] | None = None,
) -> Plan:
    """Compare the articles with the answers there are.

    Args:
        table: the enriched table that the answers go to.
        recovered: content hashes of outcomes that earlier runs left in journals.
        limit: ask about this many articles at most.
        batch_size: rows in a batch; 0 chooses 50 to 500, for about 400 batches a run.
        retry_refused: ask again about rows that failed for good.
        estimate: also estimate the prompt tokens, which means to read the text.
        article_parts: the parts to plan for, where they are not those of the lake.
    """
    lake = table.lake
    parts = lake.parts(lake.articles) if article_parts is None else article_parts
    done_rows, done_texts = _answered(table)
    refused_rows, refused = (KeySet(), {}) if retry_refused else _refused(table)
    plan = Plan(prompt_tokens=0 if estimate else None)
    total = sum(open_part(part).metadata.num_rows for part in parts)
    asks = _Batches(batch_size or _batch_size(total - len(done_rows)))
    copies = _Batches(_COPY_BATCH)
    claimed, seen = KeySet(), KeySet()
    for part, first, ids, texts, tokens in _articles(lake, parts, estimate):
        keys = [bytes.fromhex(text) for text in texts]
        rows = list(map(row_key, ids, texts))
        # A part that is there twice (a backup put back, say) must not have its rows twice.
        row_done = done_rows.contains_many(rows) | ~seen.add_many(rows)
        row_refused = refused_rows.contains_many(rows)
        text_known = done_texts.contains_many(keys) | claimed.contains_many(keys)
        claimed_here: set[bytes] = set()
        for offset, (text, key) in enumerate(zip(texts, keys, strict=True)):
            plan.articles += 1
            if row_done[offset]:
                plan.reused += 1
            elif text_known[offset] or key in claimed_here:
                plan.to_copy += 1
                copies.add(part, first + offset)
            elif row_refused[offset]:
                plan.refused += 1
                plan.refused_classes[refused[text]] += 1
            elif text in refused:
                # Refused under another id: this row has to be among the failures, too.
                plan.to_copy += 1
                copies.add(part, first + offset)
            elif text in recovered:
                claimed_here.add(key)
                plan.recovered += 1
                asks.add(part, first + offset)
            elif limit is not None and plan.to_ask >= limit:
                plan.left += 1
            else:
                claimed_here.add(key)
                plan.to_ask += 1
                asks.add(part, first + offset)
                if plan.prompt_tokens is not None:
                    plan.prompt_tokens += tokens[offset]
                    plan.longest_prompt = max(plan.longest_prompt, tokens[offset])
        claimed.update(claimed_here)
    plan.batches, plan.copies = asks.finish(), copies.finish()
    return plan


def read_batch(lake: Lake, batch: Batch) -> pa.Table:
    """The articles of a batch, reading no more row groups than it takes."""
    return pa.concat_tables(
        [_read_rows(lake.root / part, ranges) for part, ranges in batch["rows"].items()]
    )


def refused_texts(table: EnrichedTable) -> set[str]:
    """Content hashes of the articles that failed for good."""
    return set(_refused(table)[1])


def _refused(table: EnrichedTable) -> tuple[KeySet, dict[str, str]]:
    """Keys of the rows that failed for good, and the error class of their texts."""
    keys, texts = KeySet(), dict[str, str]()
    for part in table.lake.parts(table.failures):
        columns = ["article_id", "content_hash", "error_class"]
        for row in open_part(part).read(columns).to_pylist():
            if row["error_class"] in PERMANENT_CLASSES:
                keys.add(row_key(row["article_id"], row["content_hash"]))
                texts[row["content_hash"]] = row["error_class"]
    return keys, texts


def _batch_size(todo: int) -> int:
    return min(_LARGEST_BATCH, max(_SMALLEST_BATCH, -(-todo // _BATCHES_A_RUN)))


def answered_rows(table: EnrichedTable) -> KeySet:
    """Keys (article_id and content_hash) of the rows in the table."""
    return _answered(table)[0]


def answered_texts(table: EnrichedTable) -> KeySet:
    """Content hashes (16 bytes each) of the rows in the table."""
    return _answered(table)[1]


def _answered(table: EnrichedTable) -> tuple[KeySet, KeySet]:
    """Keys of the rows in the table, and of the texts."""
    rows, texts = KeySet(), KeySet()
    for part in table.lake.parts(table.folder):
        for batch in open_part(part).iter_batches(columns=["article_id", "content_hash"]):
            ids, hashes = (column.to_pylist() for column in batch)
            rows.update(map(row_key, ids, hashes))
            texts.update(map(bytes.fromhex, hashes))
    return rows, texts


def _articles(
    lake: Lake, parts: list[Path], estimate: bool
) -> Iterator[tuple[str, int, list[str], list[str], list[int]]]:
    """Part, first row, article ids, content hashes and estimated prompt tokens, in stretches."""
    columns = ["article_id", "content_hash", *(["title", "body"] if estimate else [])]
    for part in parts:
        name = str(part.relative_to(lake.root)) if part.is_relative_to(lake.root) else str(part)
        row = 0
        for batch in open_part(part).iter_batches(columns=columns):
            tokens = _token_estimates(batch) if estimate else []
            ids, texts = batch["article_id"].to_pylist(), batch["content_hash"].to_pylist()
            yield name, row, ids, texts, tokens
            row += batch.num_rows


def _token_estimates(batch: pa.RecordBatch) -> list[int]:
    def lengths(function: Any) -> Any:
        title, body = (pc.fill_null(function(batch[name]), 0) for name in ("title", "body"))
        return pc.add(title, body).to_numpy(zero_copy_only=False).astype(np.int64)

    tokens = estimate_tokens_from_lengths(lengths(pc.utf8_length), lengths(pc.binary_length))
    estimates: list[int] = np.asarray(tokens).tolist()
    return estimates


def _read_rows(path: Path, ranges: list[list[int]]) -> pa.Table:
    file = open_part(path)
    wanted = np.concatenate([np.arange(start, stop) for start, stop in ranges])
    sizes = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
    ends = np.cumsum(sizes)
    group_of = np.searchsorted(ends, wanted, side="right")
    groups = np.unique(group_of)
    table = file.read_row_groups(groups.tolist())
    starts_in_file = ends[groups] - np.array(sizes)[groups]
    starts_in_table = np.concatenate([[0], np.cumsum(np.array(sizes)[groups])[:-1]])
    shift = (starts_in_table - starts_in_file)[np.searchsorted(groups, group_of)]
    return table.take(pa.array(wanted + shift))
