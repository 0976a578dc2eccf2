"""Inspect many sources by sampling: some of each group are read, the others are extrapolated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from article_flows.tasks.checks.inspection import Inspection, inspect_source
from article_flows.tasks.checks.inspection_sizes import size_of
from article_flows.tasks.cleaning.columns.mapping import Siblings
from article_flows.tasks.ingest.options import LoadOptions
from article_flows.tasks.reading.base.rows import Source

MAX_FOLDERS = 20
"""Number of folders up to which files are sampled by folder, to limit the time of `inspect`."""
SAMPLES_BY_FOLDER = 5
"""Files that are inspected for each folder, suffix and format."""
_SAMPLES_OVERALL = 20
_GROUPINGS: tuple[Callable[[Source], object], ...] = (
    lambda source: (*_folder_and_suffix(source.name), source.format),
    lambda source: (_folder_and_suffix(source.name)[1], source.format),
    lambda source: source.format,
)
"""Keys for sampling similar sources; the first one that gives few enough groups is used."""


@dataclass
class SourceGroup:
    """Sources that would be loaded in the same way.

    Attributes:
        inspected: Inspections of the sampled sources; the first is shown in detail.
        similar: Sources that were not read and are assumed to be similar.
    """

    inspected: list[Inspection] = field(default_factory=list)
    similar: list[Source] = field(default_factory=list)

    @property
    def first(self) -> Inspection:
        """The first inspection."""
        return self.inspected[0]

    @property
    def names(self) -> list[str]:
        """The names of all sources, inspected ones first."""
        return [*(each.name for each in self.inspected), *(each.name for each in self.similar)]

    @property
    def others(self) -> int:
        """The number of sources after the first."""
        return len(self.inspected) + len(self.similar) - 1

    @property
    def articles(self) -> int:
        """The number of inspected rows that would be stored."""
        return sum(each.articles for each in self.inspected)

    @property
    def problem(self) -> str:
        """Why the group cannot be loaded or has no articles, in one line; empty otherwise."""
        return self.first.error or ("" if self.articles else self.first.no_articles_reason)

    @property
    def rows(self) -> int | None:
        """The number of rows in all sources, partly estimated; None if unknown."""
        counts = [each.total_rows for each in self.inspected]
        one_each = all(count is not None and count <= 1 for count in counts)
        return self.others + 1 if one_each else self._extrapolated(counts)

    @property
    def tokens(self) -> int | None:
        """The estimated number of tokens in all bodies; None if unknown."""
        if self.rows is None:
            return None
        return self._extrapolated([each.tokens for each in self.inspected])

    def as_json(self) -> dict[str, Any]:
        """Return the group for ``--json``: its first source in detail, the others by name."""
        return {
            **asdict(self.first),
            "more_like_it": self.others,
            "looked_at": len(self.inspected),
            "files": self.names,
            "rows_of_all": self.rows,
            "tokens_of_all": self.tokens,
            "problem": self.problem or None,
        }

    def _extrapolated(self, counts: Sequence[int | None]) -> int | None:
        """Extrapolate counts of the inspected sources to all, by size or else by number."""
        known = [count for count in counts if count is not None]
        if len(known) < len(counts):
            return None
        inspected_bytes = [each.size.stored for each in self.inspected]
        similar_bytes = [size_of(source.file).stored for source in self.similar]
        ratio = len(self.similar) / len(self.inspected)
        if None not in similar_bytes and any(inspected_bytes):
            ratio = sum(filter(None, similar_bytes)) / sum(filter(None, inspected_bytes))
        return round(sum(known) * (1 + ratio))


def inspect_sources(sources: Sequence[Source], loading: LoadOptions) -> list[SourceGroup]:
    """Inspect a sample of the sources, and group all sources by how they would be loaded.

    Sources that are not read join the largest group of their folder.
    """
    loading = replace(loading, siblings=Siblings(sources))
    for grouping in _GROUPINGS:
        families: dict[object, list[Source]] = {}
        for source in sources:
            families.setdefault(grouping(source), []).append(source)
        if len(families) <= MAX_FOLDERS:
            break
    sample_size = SAMPLES_BY_FOLDER if grouping is _GROUPINGS[0] else _SAMPLES_OVERALL
    groups: dict[object, SourceGroup] = {}
    for family in families.values():
        last = len(family) - 1
        sample = {round(last * step / (sample_size - 1)) for step in range(sample_size)}
        group_sizes: Counter[object] = Counter()
        for index in sorted(sample):
            inspection = inspect_source(family[index], loading)
            groups.setdefault(inspection.group_key, SourceGroup()).inspected.append(inspection)
            group_sizes[inspection.group_key] += 1
        [(largest, _)] = group_sizes.most_common(1)
        groups[largest].similar += (
            source for index, source in enumerate(family) if index not in sample
        )
    return list(groups.values())


def _folder_and_suffix(name: str) -> tuple[str, str]:
    path = PurePosixPath(name)
    return str(path.parent), path.suffix
