"""The contents of a lake: its articles and, for each enriched table, progress and cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.enriched.discovery import FoundTable, find_tables
from article_flows.tasks.enriched.outcomes import journaled_answers
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.journal.open import find_leftovers
from article_flows.tasks.lake.key_columns import read_parts
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parquet_parts import Part, PartMissing
from article_flows.tasks.lake.sorted_keys import KeySet, count_true
from article_flows.tasks.lake.tombstones import Tombstones, current_row_keys
from article_flows.tasks.llm.protocol.errors import PERMANENT_ERROR_CLASSES
from article_flows.tasks.locks.holders import held_locks

T = TypeVar("T")

_MAX_ATTEMPTS = 5
"""Attempts to read a table whose parts are merged by a run at the same time."""


@dataclass
class TableStatus:
    """The status of an enriched table.

    The number of articles in the lake is ``answered`` + ``failed`` + ``left``.

    Attributes:
        newest: Whether it has the latest answer of all tables of its recipe.
        outdated: Answers to articles that were changed or removed; the next run removes them.
        asked_again: Failed articles that the next run retries, by error class.
        failed_for_good: Failed articles that only ``--retry-failed`` retries, by error class.
        left: Articles that neither have an answer nor failed.
        waiting: Answers in journals that are not yet in a part of the table.
        cost_usd: US dollars paid for all answers, including superseded ones, and for failures.
        unpriced: Rows without a cost, which are not in ``cost_usd``.
        held_by: The run that is writing to the table.
        size: Size of its parts in bytes.
    """

    recipe: str
    model: str
    table_id: str
    table: str
    newest: bool = False
    answered: int = 0
    outdated: int = 0
    asked_again: Counter[str] = field(default_factory=Counter)
    failed_for_good: Counter[str] = field(default_factory=Counter)
    left: int = 0
    waiting: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    last_answered_at: datetime | None = None
    parts: int = 0
    size: int = 0
    held_by: str | None = None

    @property
    def failed(self) -> int:
        """The number of failed articles."""
        return self.asked_again.total() + self.failed_for_good.total()


@dataclass
class LakeStatus:
    """The status of a lake.

    Attributes:
        articles: Current articles.
        superseded: Rows of articles that were changed or removed.
        rejects: Rejected source rows.
        parts: Parts of the articles table.
        size: Size of these parts in bytes.
        loading: The run that is loading articles.
        not_read: Why tables cannot be read, a line each.
    """

    lake: str
    articles: int
    superseded: int
    rejects: int
    parts: int
    size: int
    loading: str | None
    tables: list[TableStatus]
    not_read: list[str]


def lake_status(lake: Lake) -> LakeStatus:
    """Return the status of a lake, without writing to it or taking a lock.

    Memory grows by 16 bytes per article and per answer of the largest table.

    Raises:
        UserError: The lake does not exist, or a part is damaged.
    """
    require_lake(lake)
    current, superseded = retry_if_merged(lambda: _articles(lake))
    locks = held_locks(lake.storage)
    found_tables = find_tables(lake)
    tables = []
    for found in found_tables:
        if found.table is not None:
            status = retry_if_merged(partial(_table_status, found, found.table, current))
            status.held_by = str(locks[found.name]) if found.name in locks else None
            tables.append(status)
    _mark_newest(tables)
    parts = lake.parts(lake.articles)
    return LakeStatus(
        lake=str(lake),
        articles=len(current),
        superseded=superseded,
        rejects=_rows(lake, lake.rejects),
        parts=len(parts),
        size=sum(part.size for part in parts),
        loading=str(locks["articles"]) if "articles" in locks else None,
        tables=tables,
        not_read=[found.problem for found in found_tables if found.problem],
    )


def require_lake(lake: Lake) -> None:
    """Raise UserError if the lake does not exist or is empty."""
    folders = (lake.articles, lake.rejects, lake.summaries, lake.failures)
    if any(lake.storage.list(folder) for folder in folders):
        return
    folder = lake.storage.folder
    if folder is not None and not folder.exists():
        raise UserError(f"lake {lake}: does not exist; name the folder of a lake with --lake")
    raise UserError(f"lake {lake}: has no articles; load some with `ingest` or `run`")


def retry_if_merged(read: Callable[[], T]) -> T:
    """Call a function that reads parts, and again if a run has merged some of them meanwhile."""
    for _ in range(_MAX_ATTEMPTS - 1):
        try:
            return read()
        except PartMissing:
            continue
    return read()


def _articles(lake: Lake) -> tuple[KeySet, int]:
    """Return the keys of the current articles and the number of superseded rows."""
    current, listed = current_row_keys(lake), len(Tombstones(lake))
    return current, listed + _rows(lake, f"{lake.superseded}/{lake.articles}")


def _rows(lake: Lake, folder: str) -> int:
    return retry_if_merged(lambda: sum(part.rows() for part in lake.parts(folder)))


def _table_status(found: FoundTable, table: EnrichedTable, current: KeySet) -> TableStatus:
    lake = table.lake
    status = TableStatus(found.recipe, table.model, found.table_id, lake.location(table.folder))
    waiting = journaled_answers(find_leftovers(lake.storage, found.name))
    parts = lake.parts(table.folder)
    status.parts, status.size = len(parts), sum(part.size for part in parts)
    answered = _count_answers(status, parts, current, waiting)
    _count_failures(status, lake.parts(table.failures), current, answered)
    status.left = len(current) - status.answered - status.failed
    _add_costs(status, (part for folder in found.folders for part in lake.parts(folder)))
    times = (pc.max(_column(part, "answered_at")).as_py() for part in parts)
    status.last_answered_at = max((time for time in times if time is not None), default=None)
    return status


def _count_answers(
    status: TableStatus, parts: list[Part], current: KeySet, waiting: KeySet
) -> KeySet:
    """Count the answers in a table and in its journals; return the keys of its rows."""
    answered, committed = KeySet(), KeySet()
    for key_batch in read_parts(parts):
        keys, texts = key_batch.keys, key_batch.texts
        new = answered.add_keys(keys)
        is_current = current.contains_keys(keys)
        status.answered += count_true(new & is_current)
        status.outdated += count_true(new & ~is_current)
        if len(waiting):
            committed.add_keys(texts.take(waiting.contains_keys(texts)))
    status.waiting = len(waiting) - len(committed)
    return answered


def _count_failures(
    status: TableStatus, parts: list[Part], current: KeySet, answered: KeySet
) -> None:
    """Count the current failures: the newest part of an article counts, see `enriched.failures`."""
    failed = KeySet()
    for key_batch in read_parts(reversed(parts), ["error_class"]):
        keys = key_batch.keys
        is_current = failed.add_keys(keys) & current.contains_keys(keys)
        is_current &= ~answered.contains_keys(keys)
        classes = key_batch.columns["error_class"].to_numpy(zero_copy_only=False)[is_current]
        for name, count in Counter(classes.tolist()).items():
            counts = (
                status.failed_for_good if name in PERMANENT_ERROR_CLASSES else status.asked_again
            )
            counts[name or "unknown"] += count


def _add_costs(status: TableStatus, parts: Iterable[Part]) -> None:
    for part in parts:
        costs = _column(part, "cost_usd")
        status.cost_usd += pc.sum(costs).as_py() or 0.0
        status.unpriced += costs.null_count


def _column(part: Part, name: str) -> pa.ChunkedArray:
    with part.open() as file:
        return file.read([name])[name]


def _mark_newest(tables: list[TableStatus]) -> None:
    newest: dict[str, TableStatus] = {}
    for table in tables:
        if table.last_answered_at is not None:
            known = newest.setdefault(table.recipe, table)
            if table.last_answered_at > (known.last_answered_at or table.last_answered_at):
                newest[table.recipe] = table
    for table in newest.values():
        table.newest = True
