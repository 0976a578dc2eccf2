"""The Prefect tasks of an ingest run."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.articles import SourceReport, ingest_source
from tasks.errors import Locked, UserError
from tasks.interruption import raise_if_interrupted
from tasks.lake import Lake
from tasks.loads import Load
from tasks.settings import IngestSettings
from tasks.sources import Source
from tasks.superseded import ARTICLE_PARTS, tidy_articles

_MOST_GROUPS = 200


def group_sources(sources: list[Source]) -> list[list[Source]]:
    """Cut sources into groups, one task run each: hundreds of task runs, however many files."""
    size = -(-len(sources) // _MOST_GROUPS)
    return [sources[start : start + size] for start in range(0, len(sources), size)]


@task(name="read-known-articles", cache_policy=NO_CACHE, persist_result=False)
def read_known_articles(lake: Lake) -> Load:
    """The keys of the articles that the lake has: what is new is what is not among them."""
    lake.sweep()
    return Load(lake)


@task(name="load-sources", cache_policy=NO_CACHE, persist_result=False)
def load_sources(
    group: list[Source], load: Load, given_columns: dict[str, str]
) -> list[SourceReport]:
    """Load a group of sources; one that cannot be read is reported and does not stop the rest.

    Without retries: the load takes for stored what the first try did not come to commit. To run the
    flow again is safe, and loads just what is not there.
    """
    reports = []
    for source in group:
        try:
            reports.append(
                ingest_source(source, load, given_columns, lambda _: raise_if_interrupted())
            )
        except UserError as error:
            reports.append(SourceReport(source.name, error=str(error)))
    return reports


@task(name="replace-versions", cache_policy=NO_CACHE, persist_result=False)
def replace_versions(load: Load, settings: IngestSettings, reports: list[SourceReport]) -> int:
    """Have what the load replaces be current no longer; returns the number of rows.

    Raises:
        UserError: with ``mirror``, a source could not be read or had no article.
    """
    if settings.mirror:
        _refuse_half_a_mirror(reports)
    return load.finish(mirror=settings.mirror, keep_versions=settings.keep_versions)


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
