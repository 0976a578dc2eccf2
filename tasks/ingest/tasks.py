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
from article_flows.tasks.ingest.options import LoadOptions, load_options, sources_of
from article_flows.tasks.ingest.progress import LoadProgress
from article_flows.tasks.ingest.source_report import SourceReport, fold_reports
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.tombstones import ARTICLE_PARTS_LOCK, compact_articles
from article_flows.tasks.orchestration.sync_calls import result_or_error
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import Source
from article_flows.tasks.reading.sources.find import Sources
from article_flows.tasks.settings import IngestSettings

MAX_GROUPS = 200
"""The maximum number of task runs of a load, however many files there are."""
GROUP_BYTES, GROUP_FILES = 8 << 20, 500
"""The maximum size of a group of small sources, in bytes and in files."""
RETRIES = 2
RETRY_DELAYS_S = [2.0, 15.0]
"""Seconds before each retry of a group with unavailable sources; each request has its own retries
as well."""


def group_sources(sources: list[Source]) -> list[list[Source]]:
    """Split sources into groups, one per task run; a large file gets a group of its own."""
    groups: list[list[Source]] = []
    bytes_left = 0
    for source in sources:
        size = _bytes_of(source)
        if not groups or size > bytes_left or len(groups[-1]) == GROUP_FILES:
            groups.append([])
            bytes_left = GROUP_BYTES
        groups[-1].append(source)
        bytes_left -= size
    merged = -(-len(groups) // MAX_GROUPS)
    return [
        list(chain.from_iterable(groups[start : start + merged]))
        for start in range(0, len(groups), merged or 1)
    ]


def _bytes_of(source: Source) -> int:
    if not isinstance(source.file, LocalFile):
        # The size of remote files is unknown; assume 20 per group.
        return GROUP_BYTES // 20
    try:
        return source.file.path.stat().st_size
    except OSError:
        return 0


@task(name="read-known-articles", cache_policy=NO_CACHE, persist_result=False)
def read_known_articles(lake: Lake, settings: IngestSettings) -> Load:
    """Read the keys of the articles in the lake, which decide which rows are new."""
    lake.sweep()
    return Load(lake, keep_versions=settings.keep_versions)


def _is_unavailable(task: Task[..., object], run: TaskRun, state: State[object]) -> bool:
    return isinstance(result_or_error(state), SourceUnavailable)


@task(
    name="find-sources",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAYS_S,
    retry_condition_fn=_is_unavailable,
)
def find_all_sources(settings: IngestSettings) -> Sources:
    """Find the files, archive members and downloads in the settings, and their formats.

    While some are unavailable the task is retried; after the last retry they are left out.

    Raises:
        UserError: There is no source that can be read.
    """
    sources = sources_of(settings)
    unavailable = [each.reason for each in sources.broken if each.temporary]
    if unavailable and (task_run.run_count or 0) <= RETRIES:
        raise SourceUnavailable(unavailable[0])
    return sources


@task(name="prepare-loading", cache_policy=NO_CACHE, persist_result=False)
def prepare_loading(lake: Lake, settings: IngestSettings, sources: Sources) -> LoadOptions:
    """Return the options of the load; with ``near_duplicates`` all bodies in the lake are read.

    Raises:
        UserError: A ``--column`` option is invalid, or a part of the lake is damaged.
    """
    return load_options(settings, lake, sources)


@task(
    name="load-sources",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAYS_S,
    retry_condition_fn=_is_unavailable,
)
def load_sources(
    group: list[Source], load: Load, loading: LoadOptions, progress: LoadProgress
) -> list[SourceReport]:
    """Load a group of sources and return their reports.

    An unreadable source does not stop the others. A temporarily unavailable source is retried from
    where it stopped, so each row is loaded once.
    """
    reports = progress.reports_of(group)
    unfinished = [(source, report) for source, report in reports if not report.finished]
    try:
        ingest_sources(unfinished, load, loading, lambda _: raise_if_interrupted())
    except SourceUnavailable:
        if (task_run.run_count or 0) <= RETRIES:
            raise
    progress.done(group)
    return fold_reports([report for _, report in reports])


@task(name="replace-versions", cache_policy=NO_CACHE, persist_result=False)
def replace_versions(load: Load, settings: IngestSettings, reports: list[SourceReport]) -> int:
    """Mark the rows that the load replaces as superseded; return their number.

    Raises:
        UserError: With ``mirror``, a source could not be read or the sources have no articles.
    """
    if settings.mirror:
        _check_complete_mirror(reports)
    return load.finish(mirror=settings.mirror)


@task(name="tidy-articles", cache_policy=NO_CACHE, persist_result=False)
def tidy_table(lake: Lake) -> bool:
    """Merge small parts and remove superseded rows, unless another run is reading the parts.

    Returns:
        False if a summarize run is active; the next load tries again.
    """
    try:
        with lake.locked(ARTICLE_PARTS_LOCK):
            compact_articles(lake)
    except Locked:
        return False
    return True


def _check_complete_mirror(reports: list[SourceReport]) -> None:
    broken = [report.error for report in reports if report.error]
    if broken:
        raise UserError(f"nothing was removed from the lake: with --mirror, {broken[0]}")
    if not any(report.rows_in - report.rejected for report in reports):
        raise UserError(
            "nothing was removed from the lake: the sources have no articles, and with --mirror "
            "that would empty it"
        )
