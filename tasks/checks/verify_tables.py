"""The tables of a lake against each other: what each has, once, and what belongs to what."""

from __future__ import annotations

from dataclasses import dataclass, replace

from article_flows.tasks.checks.verify_keys import ArticlesSeen, Belongs, Once, Seen, no_row
from article_flows.tasks.checks.verify_rows import Expected, Rows
from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.enriched.discovery import FoundTable
from article_flows.tasks.enriched.table import FAILURE_SCHEMA, EnrichedTable
from article_flows.tasks.ingest.rejects import REJECTS_SCHEMA
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parts import Part
from article_flows.tasks.lake.sorted_keys import KeySet, count_flags
from article_flows.tasks.lake.superseded import LIST_SCHEMA, LISTS, Superseded

_RELOAD = "put the part back from a backup, or remove it and load its sources again"
_REASK = "put the part back from a backup, or remove it and run again: its rows are asked again"
_NEXT_RUN = "run again: the next run takes it out"

_ARTICLES = Expected(
    ARTICLES_SCHEMA, ("article_id", "body", "content_hash", "source"), _RELOAD, hashed=True
)
_REJECTS = Expected(REJECTS_SCHEMA, ("source", "row", "reason", "rejected_at"), _RELOAD)
_LIST = Expected(
    LIST_SCHEMA,
    ("part", "article_id", "content_hash"),
    "remove the list and load again the sources that changed",
)
_FACTS = (
    "recipe recipe_hash prompt_tokens cached_tokens completion_tokens attempts answered_at "
    "flow_run_id"
).split()
_FAILURE_FACTS = (
    "article_id content_hash error_class attempts prompt_tokens completion_tokens model recipe "
    "recipe_hash failed_at flow_run_id"
).split()


@dataclass
class TableSeen(Seen):
    """An enriched table: current articles that are ``answered``, and that ``failed``."""

    answered: int = 0
    failed: int = 0


def verify_articles(lake: Lake) -> ArticlesSeen:
    """Check the articles and the superseded ones; takes 16 bytes a row.

    Raises:
        PartMissing: parts were merged meanwhile.
    """
    seen = ArticlesSeen()
    superseded = _superseded(lake, seen)
    for rows in seen.read(parts_of(lake, f"{lake.superseded}/{lake.articles}"), _ARTICLES):
        seen.former.add_keys(rows.keys)
    seen.rows = 0
    parts = parts_of(lake, lake.articles)
    once = Once(parts)
    for rows in seen.read(parts, _ARTICLES):
        part = rows.faults.part.name
        gone = no_row(rows) if superseded is None else superseded.among(part, rows.keys)
        seen.former.add_keys(rows.keys.take(gone))
        once.take_in(rows, ~gone)
    seen.current = once.keys
    return seen


def verify_rejects(lake: Lake) -> Seen:
    """Check the rejects; raises PartMissing."""
    seen = Seen()
    for _ in seen.read(parts_of(lake, lake.rejects), _REJECTS):
        pass
    return seen


def verify_table(found: FoundTable, lake: Lake, articles: ArticlesSeen) -> TableSeen:
    """Check an enriched table, its failures, and what is superseded of both.

    Takes 16 bytes a row beside those of the articles. Raises PartMissing.
    """
    seen = TableSeen()
    if found.table is None:
        return seen
    answers, failures = _expected_answers(found.table), _expected_failures(found.table)
    belongs = Belongs(found.name, articles)
    parts = parts_of(lake, found.folders[0])
    once = Once(parts)
    for rows in seen.read(parts, answers):
        new = once.take_in(rows, ~no_row(rows))
        seen.answered += count_flags(new & belongs.check(rows, "answers"))
    total, failed = seen.rows, KeySet()
    for rows in seen.read(parts_of(lake, found.folders[1]), failures):
        seen.failed += _count_failed(rows, failed, once.keys, belongs, found.name)
    # Among old answers are those whose article left before they came: without its columns.
    old = replace(answers, required=("content_hash", *found.table.recipe.fields, *_FACTS))
    for folder, expected in ((found.folders[2], old), (found.folders[3], failures)):
        for _ in seen.read(parts_of(lake, folder), expected):
            pass
    seen.rows = total
    seen.findings += belongs.notes(lake.location(found.folders[0]))
    return seen


def parts_of(lake: Lake, folder: str) -> list[Part]:
    """The parts of a folder, also where the note of a merge cannot be read."""
    try:
        return lake.parts(folder)
    except UserError:
        files = [file for file in lake.storage.list(folder) if file.name.endswith(".parquet")]
        return [Part(lake.storage, *file) for file in files]


def _count_failed(rows: Rows, failed: KeySet, answered: KeySet, belongs: Belongs, lock: str) -> int:
    """Check rows of failures; gives how many of their articles have just failed."""
    has_answer = answered.contains_keys(rows.keys)
    rows.blame(has_answer, "the article has its answer by now", _NEXT_RUN, lock)
    new = failed.add_keys(rows.keys)
    rows.blame(~new & ~has_answer, "the article has failed again since", _NEXT_RUN, lock)
    return count_flags(new & ~has_answer & belongs.check(rows, "failures"))


def _superseded(lake: Lake, seen: Seen) -> Superseded | None:
    """The rows that are listed as superseded; None if a list is damaged."""
    lists = Seen()
    parts = [Part(lake.storage, *file) for file in lake.storage.list(LISTS)]
    for _ in lists.read(parts, _LIST):
        pass
    seen.findings += lists.findings
    return Superseded(lake) if lists.whole else None


def _expected_answers(table: EnrichedTable) -> Expected:
    fields = table.recipe.fields
    return Expected(
        schema=table.schema,
        required=("article_id", "body", "content_hash", "source", *fields, *_FACTS),
        remedy=_REASK,
        constants={"recipe": table.recipe.name, "recipe_hash": table.recipe_hash},
        choices={name: each.values for name, each in fields.items() if each.values},
        lists=tuple(name for name, each in fields.items() if each.type == "list"),
        hashed=True,
    )


def _expected_failures(table: EnrichedTable) -> Expected:
    constants = {
        "recipe": table.recipe.name,
        "recipe_hash": table.recipe_hash,
        "model": table.model,
    }
    return Expected(FAILURE_SCHEMA, tuple(_FAILURE_FACTS), _REASK, constants)
