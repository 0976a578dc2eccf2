"""Check everything that must hold of a lake, and say in one line each what does not, and why.

Nothing is written and no lock is taken, so a lake may be read-only, and runs may be under way:
what one of them explains is no problem. Memory grows by 16 bytes an article and by 16 an answer of
the largest table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from article_flows.tasks.checks.status import again_if_gone, need_lake
from article_flows.tasks.checks.verify_files import verify_files, verify_staging
from article_flows.tasks.checks.verify_keys import ArticlesSeen
from article_flows.tasks.checks.verify_rows import Finding
from article_flows.tasks.checks.verify_tables import (
    TableSeen,
    verify_articles,
    verify_rejects,
    verify_table,
)
from article_flows.tasks.enriched.discovery import find_tables
from article_flows.tasks.lake.lake import STAGING, Lake
from article_flows.tasks.locks.holders import HeldLock, LockWatch
from article_flows.tasks.locks.waiting import TIMING, Timing
from article_flows.tasks.storage.base import StoredFile


@dataclass(frozen=True)
class Verified:
    """What was checked, and what was found, a line each.

    Attributes:
        articles: current ones.
        answers: rows of all enriched tables.
        parts: how many were read to their last page.
        problems: what is not as it should be.
        notes: what is worth knowing all the same.
    """

    lake: str
    articles: int
    answers: int
    parts: int
    problems: list[str]
    notes: list[str]

    @property
    def well(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


_MOST_PASSES = 3
"""Times that a lake is read through if it changes while problems are found."""


def verify_lake(lake: Lake, timing: Timing = TIMING) -> Verified:
    """Read a whole lake and check what must hold of it.

    On an object store that has locks whose holder gives no sign of life it takes at least
    ``timing.expiry_s``, to see whether it is dead.

    Raises:
        UserError: there is no such lake, or it cannot be listed.
        StorageUnavailable: the storage does not answer.
    """
    need_lake(lake)
    for _ in range(_MOST_PASSES):
        before = _table_files(lake)
        found = _one_pass(lake, timing)
        # A whole run may have come and gone meanwhile, and no lock tells of it.
        if found.well or before == _table_files(lake):
            break
    return found


def _table_files(lake: Lake) -> list[StoredFile]:
    """The files of all tables, which change when a run or a load has been at work."""
    return [file for file in lake.storage.list("") if not file.name.startswith(f"{STAGING}/")]


def _one_pass(lake: Lake, timing: Timing) -> Verified:
    watch = LockWatch(lake.storage, timing)
    articles = again_if_gone(lambda: verify_articles(lake))
    rejects = again_if_gone(lambda: verify_rejects(lake))
    found = find_tables(lake)
    findings = [*articles.findings, *rejects.findings]
    parts, answers = articles.parts + rejects.parts, 0
    for each in found:
        seen = again_if_gone(partial(verify_table, each, lake, articles))
        findings += [Finding(each.problem)] if each.problem else []
        findings += [*seen.findings, *_left(each.recipe, each.table_id, articles, seen)]
        parts, answers = parts + seen.parts, answers + seen.rows
    files = lake.storage.list("")
    findings += verify_files(lake, files, found)
    held, stale = watch.end()
    findings += verify_staging(lake, files, found, stale)
    return Verified(
        lake=str(lake),
        articles=len(articles.current),
        answers=answers,
        parts=parts,
        problems=_problems(findings, held),
        notes=_notes(findings, held),
    )


def _left(recipe: str, table_id: str, articles: ArticlesSeen, seen: TableSeen) -> list[Finding]:
    """What a table's counts say: articles = answered + failed + left to do."""
    total = len(articles.current)
    left = total - seen.answered - seen.failed
    if not left and not seen.failed:
        return []
    line = (
        f"{recipe}/{table_id}: articles {total:,} = answered {seen.answered:,} + "
        f"failed {seen.failed:,} + left to do {left:,}"
    )
    return [Finding(line, is_problem=False)]


def _problems(findings: list[Finding], held: dict[str, HeldLock]) -> list[str]:
    lines = [each.line for each in findings if each.is_problem and each.lock not in held]
    return list(dict.fromkeys(lines))


def _notes(findings: list[Finding], held: dict[str, HeldLock]) -> list[str]:
    notes = [each.line for each in findings if not each.is_problem]
    for name, lock in held.items():
        notes.append(f"{name} is being written ({lock}); what that run has under way is no problem")
    return list(dict.fromkeys(notes))
