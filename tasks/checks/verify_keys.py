"""Check the keys of rows across parts and tables: uniqueness, and references to articles."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from article_flows.tasks.checks.verify_rows import CheckedRows, Constraints, Finding, check_rows
from article_flows.tasks.common.article_schema import Mask
from article_flows.tasks.common.errors import StorageUnavailable
from article_flows.tasks.lake.key_columns import read_key_batches
from article_flows.tasks.lake.parquet_parts import Part, PartMissing
from article_flows.tasks.lake.sorted_keys import Keys, KeySet, count_true

logger = logging.getLogger(__name__)

_DUPLICATE_REMEDY = "remove one of the two parts if it is a copy, else put both back from a backup"


@dataclass
class Scan:
    """What was read from a folder or a table, and the findings.

    Attributes:
        findings: Problems and notes.
        rows: Rows that were read.
        parts: Parts that were read.
        complete: Whether every part could be read.
    """

    findings: list[Finding] = field(default_factory=list)
    rows: int = 0
    parts: int = 0
    complete: bool = True

    def read(self, parts: Iterable[Part], constraints: Constraints) -> Iterator[CheckedRows]:
        """Read and check parts; see `check_rows`."""
        for part in parts:
            self.parts += 1
            earlier = len(self.findings)
            for rows in check_rows(part, constraints, self.findings):
                self.rows += rows.batch.num_rows
                yield rows
            self.complete &= not any(each.unread for each in self.findings[earlier:])


@dataclass
class ArticleScan(Scan):
    """A scan of the articles.

    Attributes:
        current: Keys of the current articles.
        former: Keys of superseded articles.
    """

    current: KeySet = field(default_factory=KeySet)
    former: KeySet = field(default_factory=KeySet)


class UniquenessCheck:
    """A check that each key occurs once in a folder.

    Args:
        parts: The parts of the folder.

    Attributes:
        keys: The keys found so far.
    """

    def __init__(self, parts: list[Part]) -> None:
        self.keys = KeySet()
        self._parts = parts
        self._first_locations: dict[str, str] = {}

    def add(self, rows: CheckedRows, selected: Mask) -> Mask:
        """Add the keys of selected rows and report duplicates; return which rows are new."""
        new = all_false(rows)
        new[selected] = self.keys.add_keys(rows.keys.take(selected))
        if (duplicate := selected & ~new).any():
            part = rows.faults.part.name
            if part not in self._first_locations:
                self._first_locations[part] = self._first_location(rows.keys.take(duplicate))
            what = "the table has the same article_id and content_hash twice"
            where = f"first in {self._first_locations[part]}"
            rows.report(duplicate, f"{what}, {where}", _DUPLICATE_REMEDY)
        return new

    def _first_location(self, keys: Keys) -> str:
        """Return where the first of the keys occurs first, by reading the parts again."""
        searched = KeySet()
        searched.add_keys(keys.take(np.arange(1)))
        for part in self._parts:
            try:
                for key_batch in read_key_batches(part):
                    hits = searched.contains_keys(key_batch.keys)
                    if hits.any():
                        return f"row {key_batch.first + int(np.argmax(hits)) + 1:,} of {part}"
            except (PartMissing, StorageUnavailable):
                raise
            except Exception:
                # A damaged part has a finding of its own.
                logger.debug("cannot read %s", part, exc_info=True)
        return "a part that cannot be read"


class ReferenceCheck:
    """A check that rows of an enriched table belong to an article.

    Args:
        lock: Name of the table's lock.
    """

    def __init__(self, lock: str, articles: ArticleScan) -> None:
        self._articles = articles
        self._lock = lock
        self._superseded: dict[str, int] = {}

    def check(self, rows: CheckedRows, kind: str) -> Mask:
        """Return which rows belong to a current article; report those without any article."""
        current = self._articles.current.contains_keys(rows.keys)
        if current.all():
            return current
        former = ~current & self._articles.former.contains_keys(rows.keys)
        self._superseded[kind] = self._superseded.get(kind, 0) + count_true(former)
        if self._articles.complete:
            rows.report(
                ~current & ~former,
                "its article is not in the lake",
                "put the articles' part back from a backup or load its source again, else the next "
                "run removes the row",
                self._lock,
            )
        return current

    def notes(self, location: str) -> list[Finding]:
        """Return notes on rows of superseded articles, and on a check that was skipped."""
        notes = [
            Finding(
                f"{location}: {kind} for articles that were changed or removed since: {count:,}; "
                "the next run moves them to superseded/",
                is_problem=False,
            )
            for kind, count in self._superseded.items()
            if count
        ]
        if not self._articles.complete:
            notes.append(
                Finding(
                    f"{location}: not checked whether every row has its article, because some "
                    "articles cannot be read; repair those first",
                    is_problem=False,
                )
            )
        return notes


def all_false(rows: CheckedRows) -> Mask:
    """Return a mask that selects no row."""
    return np.zeros(rows.batch.num_rows, np.bool_)
