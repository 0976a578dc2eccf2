"""Check the tables of a lake: articles, rejects, and enriched tables with their failures."""

from __future__ import annotations

from dataclasses import dataclass, replace

from article_flows.tasks.checks.verify_keys import (
    ArticleScan,
    ReferenceCheck,
    Scan,
    UniquenessCheck,
    all_false,
)
from article_flows.tasks.checks.verify_rows import CheckedRows, Constraints
from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.enriched.discovery import FoundTable
from article_flows.tasks.enriched.table import FAILURE_SCHEMA, EnrichedTable
from article_flows.tasks.ingest.rejects import REJECTS_SCHEMA
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parquet_parts import Part
from article_flows.tasks.lake.sorted_keys import KeySet, count_true
from article_flows.tasks.lake.tombstones import TOMBSTONE_SCHEMA, TOMBSTONES, Tombstones

_RELOAD = "put the part back from a backup, or remove it and load its sources again"
_RERUN = "put the part back from a backup, or remove it and run again to get new answers"
_NEXT_RUN = "run again: the next run removes it"

_ARTICLE_CONSTRAINTS = Constraints(
    ARTICLES_SCHEMA, ("article_id", "body", "content_hash", "source"), _RELOAD, hashed=True
)
_REJECT_CONSTRAINTS = Constraints(
    REJECTS_SCHEMA, ("source", "row", "reason", "rejected_at"), _RELOAD
)
_TOMBSTONE_CONSTRAINTS = Constraints(
    TOMBSTONE_SCHEMA,
    ("part", "article_id", "content_hash"),
    "remove the file and load the changed sources again",
)
_REQUIRED_OF_ANSWERS = (
    "recipe recipe_hash prompt_tokens cached_tokens completion_tokens attempts answered_at "
    "flow_run_id"
).split()
_REQUIRED_OF_FAILURES = (
    "article_id content_hash error_class attempts prompt_tokens completion_tokens model recipe "
    "recipe_hash failed_at flow_run_id"
).split()


@dataclass
class TableScan(Scan):
    """A scan of an enriched table.

    Attributes:
        answered: Current articles that have an answer.
        failed: Current articles that failed.
    """

    answered: int = 0
    failed: int = 0


def verify_articles(lake: Lake) -> ArticleScan:
    """Check current and superseded articles, with 16 bytes of memory per row.

    Raises:
        PartMissing: Parts were merged meanwhile.
    """
    scan = ArticleScan()
    superseded = _superseded(lake, scan)
    for rows in scan.read(
        parts_of(lake, f"{lake.superseded}/{lake.articles}"), _ARTICLE_CONSTRAINTS
    ):
        scan.former.add_keys(rows.keys)
    scan.rows = 0
    parts = parts_of(lake, lake.articles)
    uniqueness = UniquenessCheck(parts)
    for rows in scan.read(parts, _ARTICLE_CONSTRAINTS):
        part = rows.faults.part.name
        former = all_false(rows) if superseded is None else superseded.among(part, rows.keys)
        scan.former.add_keys(rows.keys.take(former))
        uniqueness.add(rows, ~former)
    scan.current = uniqueness.keys
    return scan


def verify_rejects(lake: Lake) -> Scan:
    """Check the rejected rows.

    Raises:
        PartMissing: Parts were merged meanwhile.
    """
    scan = Scan()
    for _ in scan.read(parts_of(lake, lake.rejects), _REJECT_CONSTRAINTS):
        pass
    return scan


def verify_table(found: FoundTable, lake: Lake, articles: ArticleScan) -> TableScan:
    """Check an enriched table, its failures and its superseded rows.

    Needs 16 bytes of memory per row, in addition to those of the articles.

    Raises:
        PartMissing: Parts were merged meanwhile.
    """
    scan = TableScan()
    if found.table is None:
        return scan
    answers, failures = _answer_constraints(found.table), _failure_constraints(found.table)
    references = ReferenceCheck(found.name, articles)
    parts = parts_of(lake, found.folders[0])
    uniqueness = UniquenessCheck(parts)
    for rows in scan.read(parts, answers):
        new = uniqueness.add(rows, ~all_false(rows))
        scan.answered += count_true(new & references.check(rows, "answers"))
    answer_rows, failed = scan.rows, KeySet()
    for rows in scan.read(parts_of(lake, found.folders[1]), failures):
        scan.failed += _count_failed(rows, failed, uniqueness.keys, references, found.name)
    # Superseded answers whose article was removed before they arrived lack the article's columns.
    required = ("content_hash", *found.table.recipe.fields, *_REQUIRED_OF_ANSWERS)
    superseded_answers = replace(answers, required=required)
    for folder, constraints in (
        (found.folders[2], superseded_answers),
        (found.folders[3], failures),
    ):
        for _ in scan.read(parts_of(lake, folder), constraints):
            pass
    scan.rows = answer_rows
    scan.findings += references.notes(lake.location(found.folders[0]))
    return scan


def parts_of(lake: Lake, folder: str) -> list[Part]:
    """Return the parts of a folder, even if the record of a merge is damaged."""
    try:
        return lake.parts(folder)
    except UserError:
        files = [file for file in lake.storage.list(folder) if file.name.endswith(".parquet")]
        return [Part(lake.storage, *file) for file in files]


def _count_failed(
    rows: CheckedRows, failed: KeySet, answered: KeySet, references: ReferenceCheck, lock: str
) -> int:
    """Check rows of failures; return the number of articles that have failed and are current."""
    has_answer = answered.contains_keys(rows.keys)
    rows.report(has_answer, "the article has an answer now", _NEXT_RUN, lock)
    new = failed.add_keys(rows.keys)
    rows.report(~new & ~has_answer, "the article has failed again since", _NEXT_RUN, lock)
    return count_true(new & ~has_answer & references.check(rows, "failures"))


def _superseded(lake: Lake, articles: ArticleScan) -> Tombstones | None:
    """Return the rows that are listed as superseded; None if a list is damaged."""
    scan = Scan()
    parts = [Part(lake.storage, *file) for file in lake.storage.list(TOMBSTONES)]
    for _ in scan.read(parts, _TOMBSTONE_CONSTRAINTS):
        pass
    articles.findings += scan.findings
    return Tombstones(lake) if scan.complete else None


def _answer_constraints(table: EnrichedTable) -> Constraints:
    fields = table.recipe.fields
    return Constraints(
        schema=table.schema,
        required=("article_id", "body", "content_hash", "source", *fields, *_REQUIRED_OF_ANSWERS),
        remedy=_RERUN,
        constants={"recipe": table.recipe.name, "recipe_hash": table.recipe_hash},
        choices={name: each.values for name, each in fields.items() if each.values},
        lists=tuple(name for name, each in fields.items() if each.type == "list"),
        hashed=True,
    )


def _failure_constraints(table: EnrichedTable) -> Constraints:
    constants = {
        "recipe": table.recipe.name,
        "recipe_hash": table.recipe_hash,
        "model": table.model,
    }
    return Constraints(FAILURE_SCHEMA, tuple(_REQUIRED_OF_FAILURES), _RERUN, constants)
