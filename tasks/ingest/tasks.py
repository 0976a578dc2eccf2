"""The Prefect tasks of an ingest run."""

from __future__ import annotations

from itertools import chain

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import task_run
from prefect.tasks import Task

from article_flows.tasks.common.errors import Locked, SourceUnavailable, UserError
from article_flows.tasks.common.signals import raise_if_interrupted
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_sources
from article_flows.tasks.ingest.options import Loading, loading_of, sources_of
from article_flows.tasks.ingest.progress import LoadProgress
from article_flows.tasks.ingest.source_report import SourceReport, folded
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.superseded import ARTICLE_PARTS, tidy_articles
from article_flows.tasks.orchestration.sync_calls import result_or_error
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import Source
from article_flows.tasks.reading.sources.find import Sources
from article_flows.tasks.settings import IngestSettings

MOST_GROUPS = 200
"""Task runs of a load, at most: hundreds, however many files there are."""
GROUP_BYTES, GROUP_FILES = 8 << 20, 500
"""Small sources are loaded together up to this."""
RETRIES = 2
RETRY_DELAYS_S = [2.0, 15.0]
"""Seconds before a group whose sources are away is read again; each request was tried before."""


def group_sources(sources: list[Source]) -> list[list[Source]]:
    """Cut sources into groups, one task run each: a large file is one, small ones go together."""
    groups: list[list[Source]] = []
    room = 0
    for source in sources:
        size = _bytes_of(source)
        if not groups or size > room or len(groups[-1]) == GROUP_FILES:
            groups.append([])
            room = GROUP_BYTES
        groups[-1].append(source)
        room -= size
    at_once = -(-len(groups) // MOST_GROUPS)
    return [
        list(chain.from_iterable(groups[start : start + at_once]))
        for start in range(0, len(groups), at_once or 1)
    ]


def _bytes_of(source: Source) -> int:
    """Bytes of a file of this machine; what is elsewhere counts as one of some size."""
    if not isinstance(source.place, LocalFile):
        return GROUP_BYTES // 20
    try:
        return source.place.path.stat().st_size
    except OSError:
        return 0


@task(name="read-known-articles", cache_policy=NO_CACHE, persist_result=False)
def read_known_articles(lake: Lake, settings: IngestSettings) -> Load:
    """The keys of the articles that the lake has: what is new is what is not among them."""
    lake.sweep()
    return Load(lake, keep_versions=settings.keep_versions)


def _is_away(task: Task[..., object], run: TaskRun, state: State[object]) -> bool:
    """Whether a task run is worth another try."""
    return isinstance(result_or_error(state), SourceUnavailable)


@task(
    name="find-sources",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAYS_S,
    retry_condition_fn=_is_away,
)
def find_all_sources(settings: IngestSettings) -> Sources:
    """The files, members of archives and downloads that settings name, and their formats.

    While some are away it is tried again; in the end the others are loaded without them.

    Raises:
        UserError: there is none that can be read.
    """
    sources = sources_of(settings)
    away = [each.reason for each in sources.broken if each.away]
    if away and (task_run.run_count or 0) <= RETRIES:
        raise SourceUnavailable(away[0])
    return sources


@task(name="prepare-loading", cache_policy=NO_CACHE, persist_result=False)
def prepare_loading(lake: Lake, settings: IngestSettings, sources: Sources) -> Loading:
    """How the sources are to be loaded; with ``near_duplicates`` all of the lake's bodies are read.

    Raises:
        UserError: a column is given in a form that is none, or a part of the lake is damaged.
    """
    return loading_of(settings, lake, sources)


@task(
    name="load-sources",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAYS_S,
    retry_condition_fn=_is_away,
)
def load_sources(
    group: list[Source], load: Load, loading: Loading, progress: LoadProgress
) -> list[SourceReport]:
    """Load a group of sources; one that cannot be read is reported and does not stop the rest.

    One that is away for now is tried again, from where it was left: its rows are taken in once.
    """
    reports = progress.reports_of(group)
    unfinished = [(source, report) for source, report in reports if not report.finished]
    try:
        ingest_sources(unfinished, load, loading, lambda _: raise_if_interrupted())
    except SourceUnavailable:
        if (task_run.run_count or 0) <= RETRIES:
            raise
    progress.done(group)
    return folded([report for _, report in reports])


@task(name="replace-versions", cache_policy=NO_CACHE, persist_result=False)
def replace_versions(load: Load, settings: IngestSettings, reports: list[SourceReport]) -> int:
    """Have what the load replaces be current no longer; returns the number of rows.

    Raises:
        UserError: with ``mirror``, a source could not be read or had no article.
    """
    if settings.mirror:
        _refuse_half_a_mirror(reports)
    return load.finish(mirror=settings.mirror)


@task(name="tidy-articles", cache_policy=NO_CACHE, persist_result=False)
def tidy_table(lake: Lake) -> bool:
    """Write small parts together and take out what is superseded, if nobody reads the parts now.

    Returns False where a summarise run is under way: the next load does it then.
    """
    try:
        with lake.locked(ARTICLE_PARTS):
            tidy_articles(lake)
    except Locked:
        return False
    return True


def _refuse_half_a_mirror(reports: list[SourceReport]) -> None:
    broken = [report.error for report in reports if report.error]
    if broken:
        raise UserError(f"nothing was taken out of the lake: with --mirror, {broken[0]}")
    if not any(report.rows_in - report.rejected for report in reports):
        raise UserError(
            "nothing was taken out of the lake: the sources have no article, and with --mirror "
            "that would empty it"
        )
