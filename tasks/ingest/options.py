"""Turn the settings of a load into sources and options; flows and the command line call this."""

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
from article_flows.tasks.lake.tombstones import current_articles
from article_flows.tasks.reading.base.rows import Source
from article_flows.tasks.reading.sources.find import SourceOptions, Sources, find_sources
from article_flows.tasks.settings import DateOrder, IngestSettings, LoadRules

_DAY_FIRST: dict[DateOrder, bool | None] = {
    "auto": None,
    "day-first": True,
    "month-first": False,
}


@dataclass(frozen=True)
class LoadOptions:
    """The options of a load.

    Attributes:
        columns: The ``--column`` options.
        rules: Which rows are articles.
        near_duplicates: The index that finds near duplicates to reject; None to keep them.
        mirror: Whether articles that the load does not bring leave the lake, so that they are not
            compared for near duplicates.
        day_first: Whether 01/02/2020 is the first of February; None to infer it for each source.
        siblings: All files of the load; None if all of them are loaded in one call.
    """

    columns: Sequence[ColumnOption] = ()
    rules: Rules = field(default_factory=Rules)
    near_duplicates: NearDuplicates | None = None
    mirror: bool = False
    day_first: bool | None = None
    siblings: Siblings | None = None


def sources_of(settings: IngestSettings) -> Sources:
    """Find the sources in the settings.

    Raises:
        UserError: There is no source to read, or a ``--column`` pattern matches no source.
    """
    options = SourceOptions(
        encoding=settings.encoding,
        format=settings.format,
        references=settings.references,
        allow_hosts=tuple(settings.allow_hosts),
    )
    sources = find_sources(settings.source_names, options)
    given = parse_column_options(settings.columns)
    if patterns := unmatched_patterns(given, (source.name for source in sources)):
        raise UserError(f"--column {patterns[0]}: matches none of the sources")
    return sources


def rules_of(settings: LoadRules) -> Rules:
    """Return the rules in the settings."""
    return Rules(
        min_chars=settings.min_chars,
        max_chars=settings.max_chars,
        boilerplate=settings.keep_boilerplate,
        detect_language=settings.detect_language,
    )


def day_first_of(settings: LoadRules) -> bool | None:
    """Return whether 01/02/2024 is the first of February; None to infer it for each source."""
    return _DAY_FIRST[settings.date_order]


def load_options(
    settings: IngestSettings, lake: Lake, sources: Iterable[Source] | None = None
) -> LoadOptions:
    """Return the options in the settings; with near-duplicate detection, index the lake's bodies.

    Args:
        settings: The user's settings.
        lake: The lake to load into.
        sources: All sources of the load, if they are not all loaded in one call.

    Raises:
        UsageError: A ``--column`` option is invalid.
        UserError: A part of the lake is damaged.
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
    return LoadOptions(columns, rules_of(settings), near, settings.mirror, day_first, siblings)
