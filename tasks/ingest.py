"""The Prefect tasks of an ingest run."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.articles import SourceReport, ingest_source, known_keys
from tasks.errors import UserError
from tasks.keys import KeySet
from tasks.lake import Lake
from tasks.sources import Source

_MOST_GROUPS = 200


def group_sources(sources: list[Source]) -> list[list[Source]]:
    """Cut sources into groups, one task run each: hundreds of task runs, however many files."""
    size = -(-len(sources) // _MOST_GROUPS)
    return [sources[start : start + size] for start in range(0, len(sources), size)]


@task(name="read-known-articles", cache_policy=NO_CACHE, persist_result=False)
def read_known_articles(lake: Lake) -> KeySet:
    """The keys of the articles that the lake has: what is new is what is not among them."""
    return known_keys(lake)


@task(name="load-sources", cache_policy=NO_CACHE, persist_result=False)
def load_sources(
    group: list[Source], lake: Lake, given_columns: dict[str, str], known: KeySet, loaded: KeySet
) -> list[SourceReport]:
    """Load a group of sources; one that cannot be read is reported and does not stop the rest.

    Without retries: ``known`` holds by then what the first try did not come to commit. To run the
    flow again is safe, and loads just what is not there.
    """
    reports = []
    for source in group:
        try:
            reports.append(ingest_source(source, lake, given_columns, known, loaded=loaded))
        except UserError as error:
            reports.append(SourceReport(source.name, error=str(error)))
    return reports
