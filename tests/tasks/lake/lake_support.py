"""A small sample lake with every kind of content, for tests that inspect or damage lakes."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.enriched.upkeep import maintain_table
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.tombstones import compact_articles
from article_flows.tasks.settings import SummarizeSettings
from article_flows.tasks.summarize.open_job import open_table
from tests.tasks.summarize.job_support import (
    POISON,
    article,
    at,
    endpoint,
    fill,
    run,
    summarize_settings,
)

RECIPE = "digest"
"""A built-in recipe whose fields include a list and an enum."""
CHANGED, FILTERED, UNANSWERED = "a1", "bad", "new"
ARTICLES, ANSWERS = 8, 6


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lake-sample-")


def copy_full_lake(to: Path) -> Lake:
    """Copy the sample lake, without the scratch folders of the runs that created it."""
    shutil.copytree(full_lake(), to, ignore=shutil.ignore_patterns("parts"))
    return Lake(to)


def copy_to_store(lake: Lake, uri: str) -> Lake:
    """Copy a local lake to an object store, without its lock files."""
    copy = Lake(uri)
    for path in sorted(at(lake).rglob("*")):
        name = path.relative_to(at(lake)).as_posix()
        if path.is_file() and not name.startswith("_staging/locks"):
            copy.storage.write(name, path.read_bytes())
    return copy


@functools.cache
def full_lake() -> Path:
    """Return the folder of the sample lake, which tests must copy rather than change.

    Six articles have an answer, and one of them has changed since its first answer. One article was
    rejected, and one was loaded after the last run. No run is in progress.
    """
    lake = Lake(Path(_folder().name, "lake"))
    # With values in columns that are otherwise null.
    rows = [article(f"a{n}", author="Ann", note=f"seen {n}") for n in range(ANSWERS)]
    fill(lake, [*rows, article(FILTERED, f"It is {POISON}. Nobody may read it.")])
    _run(lake)
    fill(lake, [article(CHANGED, "Another text altogether. It has two sentences.")])
    _run(lake)
    fill(lake, [article(UNANSWERED)])
    compact_articles(lake)
    return at(lake)


def _run(lake: Lake) -> None:
    settings = settings_of(lake)
    run(settings)
    maintain_table(table_of(lake), all_rows_current=False)


def settings_of(lake: Lake) -> SummarizeSettings:
    """Return the settings of the sample's runs."""
    return summarize_settings(lake, endpoint().base_url, recipe=RECIPE, price_in=1.0, price_out=2.0)


def table_of(lake: Lake) -> EnrichedTable:
    """Return the sample's enriched table."""
    return open_table(settings_of(lake))[0]
