"""How sources are to be loaded: from a user's settings to what the work needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from article_flows.tasks.cleaning.columns.mapping import Siblings
from article_flows.tasks.cleaning.columns.options import (
    ColumnOption,
    parse_column_options,
    unmatched_patterns,
)
from article_flows.tasks.cleaning.filters.near_duplicates import NearDuplicates
from article_flows.tasks.cleaning.filters.rules import Rules
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.common.signals import raise_if_interrupted
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.superseded import current_articles
from article_flows.tasks.reading.base.rows import Source
from article_flows.tasks.reading.sources.find import SourceOptions, Sources, find_sources
from article_flows.tasks.settings import DateOrder, IngestSettings, LoadRules

_DAY_FIRST: dict[DateOrder, bool | None] = {
    "auto": None,
    "day-first": True,
    "month-first": False,
}


@dataclass(frozen=True)
class Loading:
    """How sources are to be loaded.

    Attributes:
        columns: which source column is what, where the user has said it.
        rules: which rows are articles.
        near_duplicates: finds those to be set aside; None: they are kept.
        mirror: what the load does not meet leaves the lake: nothing is a near duplicate of that.
        day_first: whether 01/02/2020 is the first of February; None: each source tells.
        siblings: all files of the load; None: those that are loaded together.
    """

    columns: Sequence[ColumnOption] = ()
    rules: Rules = field(default_factory=Rules)
    near_duplicates: NearDuplicates | None = None
    mirror: bool = False
    day_first: bool | None = None
    siblings: Siblings | None = None


def sources_of(settings: IngestSettings) -> Sources:
    """Find the sources that settings name.

    Raises:
        UserError: there is none to read, or a column is said of files that none of them is.
    """
    options = SourceOptions(
        encoding=settings.encoding,
        format=settings.format,
        references=settings.references,
        allow_hosts=tuple(settings.allow_hosts),
    )
    sources = find_sources(settings.sources, options)
    given = parse_column_options(settings.columns)
    if patterns := unmatched_patterns(given, (source.name for source in sources)):
        raise UserError(f"--column {patterns[0]}: matches none of the sources")
    return sources


def rules_of(settings: LoadRules) -> Rules:
    """Which rows are articles."""
    return Rules(
        min_chars=settings.min_chars,
        max_chars=settings.max_chars,
        boilerplate=settings.keep_boilerplate,
        detect_language=settings.detect_language,
    )


def day_first_of(settings: LoadRules) -> bool | None:
    """Whether 01/02/2024 is the first of February; None: the source tells."""
    return _DAY_FIRST[settings.date_order]


def loading_of(
    settings: IngestSettings, lake: Lake, sources: Iterable[Source] | None = None
) -> Loading:
    """What settings say of a load; to find near duplicates, all bodies of the lake are read.

    Args:
        settings: the user's.
        lake: what is loaded into.
        sources: all that are loaded, if they are not loaded together.

    Raises:
        UsageError: a column is given in a form that is none.
        UserError: a part of the lake is damaged.
    """
    columns = parse_column_options(settings.columns)
    near = None
    if settings.near_duplicates:
        near = NearDuplicates(settings.similarity)
        for rows in () if settings.mirror else current_articles(lake, ["body"]):
            raise_if_interrupted()
            near.find(rows["article_id"], rows["body"])
    day_first = day_first_of(settings)
    siblings = None if sources is None else Siblings(sources)
    return Loading(columns, rules_of(settings), near, settings.mirror, day_first, siblings)
