"""What a lake holds: its articles, and of each enriched table what is done, left, and paid for."""

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
from article_flows.tasks.enriched.outcomes import waiting_answers
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.journal.open import find_leftovers
from article_flows.tasks.lake.key_columns import read_parts
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parts import Part, PartMissing
from article_flows.tasks.lake.sorted_keys import KeySet, count_flags
from article_flows.tasks.lake.superseded import Superseded, current_rows
from article_flows.tasks.llm.protocol.errors import PERMANENT_CLASSES
from article_flows.tasks.locks.holders import held_locks

T = TypeVar("T")

_MOST_TRIES = 5
"""Times that a table is read anew because a run has merged its parts meanwhile."""


@dataclass
class TableStatus:
    """An enriched table: ``articles`` = ``answered`` + all that ``failed`` + ``left``.

    Attributes:
        newest: whether no other table of the recipe has a later answer.
        outdated: answers to articles that were changed or removed; the next run takes them out.
        asked_again: articles that failed and that the next run asks about again, by error class.
        failed_for_good: those that only a run with ``--retry-failed`` asks about, by error class.
        waiting: answers in journals that are in no part of the table yet.
        cost_usd: US dollars for all that was paid for, also for what is superseded or failed.
        unpriced: rows that do not say what they cost; not in ``cost_usd``.
        held_by: who is writing the table now.
        size: bytes of its parts.
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
        """Articles that failed, whether or not the next run asks about them again."""
        return self.asked_again.total() + self.failed_for_good.total()


@dataclass
class LakeStatus:
    """A lake's articles and its tables.

    Attributes:
        articles: those that are current.
        superseded: rows of articles that were changed or removed.
        rejects: source rows that could not be used.
        parts, size: of the articles; bytes.
        loading: who is loading articles now.
        not_read: why a table cannot be told of, in one line each.
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
    """Read a lake through for what it holds; nothing is written, no lock is taken.

    Takes 16 bytes an article and 16 an answer of the largest table.

    Raises:
        UserError: there is no such lake, or a part is damaged.
    """
    need_lake(lake)
    current, superseded = again_if_gone(lambda: _articles(lake))
    held = held_locks(lake.storage)
    found = find_tables(lake)
    tables = []
    for each in found:
        if each.table is not None:
            status = again_if_gone(partial(_table, each, each.table, current))
            status.held_by = str(held[each.name]) if each.name in held else None
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
        loading=str(held["articles"]) if "articles" in held else None,
        tables=tables,
        not_read=[each.problem for each in found if each.problem],
    )


def need_lake(lake: Lake) -> None:
    """Raise UserError if there is no lake, or nothing in it."""
    folders = (lake.articles, lake.rejects, lake.summaries, lake.failures)
    if any(lake.storage.list(folder) for folder in folders):
        return
    folder = lake.storage.folder
    if folder is not None and not folder.exists():
        raise UserError(f"lake {lake}: is not there; name the folder of a lake with --lake")
    raise UserError(f"lake {lake}: has no articles; load some with `ingest` or `run`")


def again_if_gone(look: Callable[[], T]) -> T:
    """Look at parts, and once more if some of them were merged while we did."""
    for _ in range(_MOST_TRIES - 1):
        try:
            return look()
        except PartMissing:
            continue
    return look()


def _articles(lake: Lake) -> tuple[KeySet, int]:
    """The keys of the current articles, and how many rows are superseded."""
    return current_rows(lake), len(Superseded(lake)) + _rows(
        lake, f"{lake.superseded}/{lake.articles}"
    )


def _rows(lake: Lake, folder: str) -> int:
    return again_if_gone(lambda: sum(part.rows() for part in lake.parts(folder)))


def _table(found: FoundTable, table: EnrichedTable, current: KeySet) -> TableStatus:
    lake = table.lake
    status = TableStatus(found.recipe, table.model, found.table_id, lake.location(table.folder))
    waiting = waiting_answers(find_leftovers(lake.storage, found.name))
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
    """Count a table's answers, and those that wait for it; returns the keys of its rows."""
    answered, committed = KeySet(), KeySet()
    for stretch in read_parts(parts):
        keys, texts = stretch.keys, stretch.texts
        new = answered.add_keys(keys)
        is_current = current.contains_keys(keys)
        status.answered += count_flags(new & is_current)
        status.outdated += count_flags(new & ~is_current)
        if len(waiting):
            committed.add_keys(texts.take(waiting.contains_keys(texts)))
    status.waiting = len(waiting) - len(committed)
    return answered


def _count_failures(
    status: TableStatus, parts: list[Part], current: KeySet, answered: KeySet
) -> None:
    """Count the failures that stand; the newest part decides (see `enriched/failures.py`)."""
    failed = KeySet()
    for stretch in read_parts(reversed(parts), ["error_class"]):
        keys = stretch.keys
        stands = failed.add_keys(keys) & current.contains_keys(keys)
        stands &= ~answered.contains_keys(keys)
        classes = stretch.columns["error_class"].to_numpy(zero_copy_only=False)[stands]
        for name, count in Counter(classes.tolist()).items():
            kind = status.failed_for_good if name in PERMANENT_CLASSES else status.asked_again
            kind[name or "unknown"] += count


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
