"""Which rows of a lake belong together: each is there once, and each has its article."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from article_flows.tasks.checks.verify_rows import Expected, Finding, Rows, checked_rows
from article_flows.tasks.common.errors import StorageUnavailable
from article_flows.tasks.lake.key_columns import read_key_batches
from article_flows.tasks.lake.parts import Part, PartMissing
from article_flows.tasks.lake.sorted_keys import Flags, Keys, KeySet, count_flags

logger = logging.getLogger(__name__)

_A_COPY = "remove one of the two parts if it is a copy, else put both back from a backup"


@dataclass
class Seen:
    """What was found in a folder, or in a table.

    Attributes:
        findings: what is wrong, and what is worth knowing.
        rows, parts: how many were read.
        whole: whether every part could be read.
    """

    findings: list[Finding] = field(default_factory=list)
    rows: int = 0
    parts: int = 0
    whole: bool = True

    def read(self, parts: Iterable[Part], expected: Expected) -> Iterator[Rows]:
        """Read parts through; see `checked_rows`."""
        for part in parts:
            self.parts += 1
            before = len(self.findings)
            for some in checked_rows(part, expected, self.findings):
                self.rows += some.batch.num_rows
                yield some
            self.whole &= not any(each.unread for each in self.findings[before:])


@dataclass
class ArticlesSeen(Seen):
    """The articles: keys of the ``current`` ones, and of ``former`` ones that are superseded."""

    current: KeySet = field(default_factory=KeySet)
    former: KeySet = field(default_factory=KeySet)


class Once:
    """The keys of a folder's rows, each of which may be there only once."""

    def __init__(self, parts: list[Part]) -> None:
        self.keys = KeySet()
        self._parts = parts
        self._places: dict[str, str] = {}

    def take_in(self, rows: Rows, chosen: Flags) -> Flags:
        """Add the keys of chosen rows, and put down those that are known; which are new."""
        new = no_row(rows)
        new[chosen] = self.keys.add_keys(rows.keys.take(chosen))
        if (twice := chosen & ~new).any():
            name = rows.faults.part.name
            if name not in self._places:
                self._places[name] = self._first_place(rows.keys.take(twice))
            what = "the table has the same article_id and content_hash twice"
            rows.blame(twice, f"{what}, first in {self._places[name]}", _A_COPY)
        return new

    def _first_place(self, keys: Keys) -> str:
        """Where the first of some keys is for the first time; reads on to there."""
        wanted = KeySet()
        wanted.add_keys(keys.take(np.arange(1)))
        for part in self._parts:
            try:
                for stretch in read_key_batches(part):
                    hits = wanted.contains_keys(stretch.keys)
                    if hits.any():
                        return f"row {stretch.first + int(np.argmax(hits)) + 1:,} of {part}"
            except (PartMissing, StorageUnavailable):
                raise
            except Exception:
                logger.debug("%s", part, exc_info=True)  # what is wrong with it has its own line
        return "a part that cannot be read to there"


class Belongs:
    """Whether rows of an enriched table are of an article that is current, or was."""

    def __init__(self, lock: str, articles: ArticlesSeen) -> None:
        self._articles = articles
        self._lock = lock
        self._former: dict[str, int] = {}

    def check(self, rows: Rows, kind: str) -> Flags:
        """Which rows are of a current article; put down those that are of none at all."""
        current = self._articles.current.contains_keys(rows.keys)
        if current.all():
            return current
        former = ~current & self._articles.former.contains_keys(rows.keys)
        self._former[kind] = self._former.get(kind, 0) + count_flags(former)
        if self._articles.whole:
            rows.blame(
                ~current & ~former,
                "its article is not in the lake",
                "put the articles' part back from a backup or load its source again; else the next "
                "run takes the row out",
                self._lock,
            )
        return current

    def notes(self, where: str) -> list[Finding]:
        """What is superseded and waits for the next run."""
        notes = [
            Finding(
                f"{where}: {kind} for articles that were changed or removed since: {count:,}; the "
                "next run takes them out",
                is_problem=False,
            )
            for kind, count in self._former.items()
            if count
        ]
        if not self._articles.whole:
            notes.append(
                Finding(
                    f"{where}: not checked whether every row has its article, since not all "
                    "articles can be read; mend those first",
                    is_problem=False,
                )
            )
        return notes


def no_row(rows: Rows) -> Flags:
    """Flags that are false for every row."""
    return np.zeros(rows.batch.num_rows, np.bool_)
