"""A small lake that has everything in it, for tests that look at lakes or damage them."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.enriched.upkeep import keep_up
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.superseded import tidy_articles
from article_flows.tasks.settings import SummarizeSettings
from article_flows.tasks.summarize.open_job import open_table
from tests.tasks.summarize.job_support import POISON, article, asking, at, endpoint, fill, run

RECIPE = "digest"
"""A shipped recipe with a list and an enum among its fields."""
CHANGED, REFUSED, UNASKED = "a1", "bad", "new"
ARTICLES, ANSWERS = 8, 6


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lake-sample-")


def copy_full_lake(to: Path) -> Lake:
    """The sample as a lake of one's own, without the scratch folders of those who made it."""
    shutil.copytree(full_lake(), to, ignore=shutil.ignore_patterns("parts"))
    return Lake(to)


def copy_to_store(lake: Lake, uri: str) -> Lake:
    """A lake of a folder as one in an object store, where locks are no files."""
    there = Lake(uri)
    for path in sorted(at(lake).rglob("*")):
        name = path.relative_to(at(lake)).as_posix()
        if path.is_file() and not name.startswith("_staging/locks"):
            there.storage.write(name, path.read_bytes())
    return there


@functools.cache
def full_lake() -> Path:
    """Where the sample is; to be copied, not changed.

    Six articles have their answer, one of them has been changed since its first one; one was
    refused; one was loaded after the last run. Nothing is under way.
    """
    lake = Lake(Path(_folder().name, "lake"))
    # With what is not filled in otherwise.
    rows = [article(f"a{n}", author="Ann", note=f"seen {n}") for n in range(ANSWERS)]
    fill(lake, [*rows, article(REFUSED, f"It is {POISON}. Nobody may read it.")])
    _run(lake)
    fill(lake, [article(CHANGED, "Another text altogether. It has two sentences.")])
    _run(lake)
    fill(lake, [article(UNASKED)])
    tidy_articles(lake)
    return at(lake)


def _run(lake: Lake) -> None:
    settings = settings_of(lake)
    run(settings)
    keep_up(table_of(lake), all_rows_current=False)


def settings_of(lake: Lake) -> SummarizeSettings:
    """The settings of the sample's runs."""
    return asking(lake, endpoint().base_url, recipe=RECIPE, price_in=1.0, price_out=2.0)


def table_of(lake: Lake) -> EnrichedTable:
    """The sample's enriched table."""
    return open_table(settings_of(lake))[0]
