"""Inspect many sources: some of each kind are read, the others are taken to be like them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from article_flows.tasks.checks.inspection import Inspection, inspect_source
from article_flows.tasks.checks.inspection_sizes import size_of
from article_flows.tasks.cleaning.columns.mapping import Siblings
from article_flows.tasks.ingest.options import Loading
from article_flows.tasks.reading.base.rows import Source

MOST_FOLDERS = 20
"""Folders beyond which files are sampled from all of them together: inspect stays quick."""
LOOKED_AT = 5
"""Files that are looked at of one folder, format and suffix."""
_LOOKED_AT_TOGETHER = 20
_KEYS: tuple[Callable[[Source], object], ...] = (
    lambda source: (*_folder_and_suffix(source.name), source.format),
    lambda source: (_folder_and_suffix(source.name)[1], source.format),
    lambda source: source.format,
)
"""By what sources are taken to be alike: the first by which there are not too many kinds."""


@dataclass
class Group:
    """Sources that would be loaded in the same way.

    Attributes:
        looked: inspections of the sources that were read; the first is shown in detail.
        alike: sources that are taken to be like them.
    """

    looked: list[Inspection] = field(default_factory=list)
    alike: list[Source] = field(default_factory=list)

    @property
    def first(self) -> Inspection:
        """The one that was looked at first."""
        return self.looked[0]

    @property
    def names(self) -> list[str]:
        """The names of all, those that were looked at first."""
        return [*(each.name for each in self.looked), *(each.name for each in self.alike)]

    @property
    def more(self) -> int:
        """How many there are beside the first."""
        return len(self.looked) + len(self.alike) - 1

    @property
    def articles(self) -> int:
        """Rows of those looked at that would be stored."""
        return sum(each.articles for each in self.looked)

    @property
    def problem(self) -> str:
        """Why they cannot be loaded, or would give no article, in one line; empty if they do."""
        return self.first.error or ("" if self.articles else self.first.nothing)

    @property
    def rows(self) -> int | None:
        """Rows of all sources, estimated for those that were not read; None if unknown."""
        counts = [each.total_rows for each in self.looked]
        one_each = all(count is not None and count <= 1 for count in counts)
        return self.more + 1 if one_each else self._extrapolated(counts)

    @property
    def tokens(self) -> int | None:
        """Tokens in the bodies of all sources, estimated likewise."""
        return None if self.rows is None else self._extrapolated([e.tokens for e in self.looked])

    def as_json(self) -> dict[str, Any]:
        """The group for ``--json``: its first source in detail, the others by name."""
        return {
            **asdict(self.first),
            "more_like_it": self.more,
            "looked_at": len(self.looked),
            "files": self.names,
            "rows_of_all": self.rows,
            "tokens_of_all": self.tokens,
            "problem": self.problem or None,
        }

    def _extrapolated(self, counts: Sequence[int | None]) -> int | None:
        """Estimate the sum over all by that of those looked at: by sizes if known, or by number."""
        known = [count for count in counts if count is not None]
        if len(known) < len(counts):
            return None
        looked = [each.size.stored for each in self.looked]
        alike = [size_of(source.place).stored for source in self.alike]
        times = len(self.alike) / len(self.looked)
        if None not in alike and any(looked):
            times = sum(filter(None, alike)) / sum(filter(None, looked))
        return round(sum(known) * (1 + times))


def inspect_sources(sources: Sequence[Source], loading: Loading) -> list[Group]:
    """Inspect some of the sources, and group all by what a load would make of them.

    Sources that are not read are put with most of the others of their folder.
    """
    loading = replace(loading, siblings=Siblings(sources))
    for key in _KEYS:
        families: dict[object, list[Source]] = {}
        for source in sources:
            families.setdefault(key(source), []).append(source)
        if len(families) <= MOST_FOLDERS:
            break
    most = LOOKED_AT if key is _KEYS[0] else _LOOKED_AT_TOGETHER
    groups: dict[object, Group] = {}
    for family in families.values():
        last = len(family) - 1
        chosen = {round(last * step / (most - 1)) for step in range(most)}
        kinds: Counter[object] = Counter()
        for place in sorted(chosen):
            seen = inspect_source(family[place], loading)
            groups.setdefault(seen.kind, Group()).looked.append(seen)
            kinds[seen.kind] += 1
        [(usual, _)] = kinds.most_common(1)
        groups[usual].alike += (each for place, each in enumerate(family) if place not in chosen)
    return list(groups.values())


def _folder_and_suffix(name: str) -> tuple[str, str]:
    path = PurePosixPath(name)
    return str(path.parent), path.suffix
