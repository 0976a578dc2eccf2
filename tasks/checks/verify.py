"""Check the integrity of a lake and describe each problem in one line, with its cause and remedy.

Nothing is written and no lock is taken, so the lake may be read-only, and effects of concurrent
runs are not reported as problems. Memory grows by 16 bytes per article and per answer of the
largest table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from article_flows.tasks.checks.status import require_lake, retry_if_merged
from article_flows.tasks.checks.verify_files import verify_files, verify_staging
from article_flows.tasks.checks.verify_keys import ArticleScan
from article_flows.tasks.checks.verify_rows import Finding
from article_flows.tasks.checks.verify_tables import (
    TableScan,
    verify_articles,
    verify_rejects,
    verify_table,
)
from article_flows.tasks.enriched.discovery import find_tables
from article_flows.tasks.lake.lake import STAGING, Lake
from article_flows.tasks.locks.holders import HeldLock, LockWatch
from article_flows.tasks.locks.waiting import DEFAULT_TIMING, Timing
from article_flows.tasks.storage.base import StoredFile

_MAX_PASSES = 3
"""Attempts to verify a lake that changes while it is read."""


@dataclass(frozen=True)
class Verification:
    """The result of `verify_lake`.

    Attributes:
        articles: Number of current articles.
        answers: Rows in all enriched tables.
        parts: Number of parts that were read completely.
        problems: Violations of the lake's integrity, a line each.
        notes: Other observations, a line each.
    """

    lake: str
    articles: int
    answers: int
    parts: int
    problems: list[str]
    notes: list[str]

    @property
    def passed(self) -> bool:
        """Whether there are no problems."""
        return not self.problems


def verify_lake(lake: Lake, timing: Timing = DEFAULT_TIMING) -> Verification:
    """Read a whole lake and check its integrity.

    On an object store, a lock without a heartbeat is watched for up to ``timing.expiry_s`` to
    find out whether its holder is dead.

    Raises:
        UserError: The lake does not exist, or cannot be listed.
        StorageUnavailable: The storage does not respond.
    """
    require_lake(lake)
    for _ in range(_MAX_PASSES):
        before = _table_files(lake)
        verification = _verify_once(lake, timing)
        # A run may have started and finished meanwhile, in which case no lock explains its effects.
        if verification.passed or before == _table_files(lake):
            break
    return verification


def _table_files(lake: Lake) -> list[StoredFile]:
    """Return the files of all tables, which show whether a run has changed the lake."""
    return [file for file in lake.storage.list("") if not file.name.startswith(f"{STAGING}/")]


def _verify_once(lake: Lake, timing: Timing) -> Verification:
    watch = LockWatch(lake.storage, timing)
    articles = retry_if_merged(lambda: verify_articles(lake))
    rejects = retry_if_merged(lambda: verify_rejects(lake))
    tables = find_tables(lake)
    findings = [*articles.findings, *rejects.findings]
    parts, answers = articles.parts + rejects.parts, 0
    for found in tables:
        table = retry_if_merged(partial(verify_table, found, lake, articles))
        findings += [Finding(found.problem)] if found.problem else []
        findings += [*table.findings, *_progress(found.recipe, found.table_id, articles, table)]
        parts, answers = parts + table.parts, answers + table.rows
    files = lake.storage.list("")
    findings += verify_files(lake, files, tables)
    held, stale = watch.end()
    findings += verify_staging(lake, files, tables, stale)
    return Verification(
        lake=str(lake),
        articles=len(articles.current),
        answers=answers,
        parts=parts,
        problems=_problems(findings, held),
        notes=_notes(findings, held),
    )


def _progress(recipe: str, table_id: str, articles: ArticleScan, table: TableScan) -> list[Finding]:
    """Return a note with the counts of a table that does not have an answer for every article."""
    total = len(articles.current)
    remaining = total - table.answered - table.failed
    if not remaining and not table.failed:
        return []
    message = (
        f"{recipe}/{table_id}: articles {total:,} = answered {table.answered:,} + "
        f"failed {table.failed:,} + remaining {remaining:,}"
    )
    return [Finding(message, is_problem=False)]


def _problems(findings: list[Finding], held: dict[str, HeldLock]) -> list[str]:
    messages = [each.message for each in findings if each.is_problem and each.lock not in held]
    return list(dict.fromkeys(messages))


def _notes(findings: list[Finding], held: dict[str, HeldLock]) -> list[str]:
    notes = [each.message for each in findings if not each.is_problem]
    for name, lock in held.items():
        notes.append(f"{name} is being written ({lock}); its unfinished work is not checked")
    return list(dict.fromkeys(notes))
