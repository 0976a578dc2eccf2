"""The files of a lake: foreign ones, and what killed runs left below ``_staging``."""

from __future__ import annotations

from collections.abc import Iterator

from article_flows.tasks.checks.verify_rows import Finding
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.enriched.current import POINTER
from article_flows.tasks.enriched.discovery import FoundTable
from article_flows.tasks.enriched.outcomes import waiting_answers
from article_flows.tasks.enriched.table import DESCRIPTION
from article_flows.tasks.ingest.load import LOADS
from article_flows.tasks.journal.format import End
from article_flows.tasks.journal.leftovers import SET_ASIDE, SUFFIX
from article_flows.tasks.journal.open import find_leftovers
from article_flows.tasks.lake.lake import STAGING, Lake
from article_flows.tasks.lake.merge_log import NOTES, read_notes
from article_flows.tasks.lake.superseded import ARTICLE_PARTS
from article_flows.tasks.locks.holders import HeldLock
from article_flows.tasks.storage.base import StoredFile
from article_flows.tasks.storage.scratch import ownerless

_RUN_AGAIN = "run again to take them in"
_LOAD_AGAIN = "load again: that load takes up its articles"


def verify_files(lake: Lake, files: list[StoredFile], tables: list[FoundTable]) -> list[Finding]:
    """What lies among the tables and is of none.

    Args:
        lake: the lake.
        files: all that it has.
        tables: its enriched tables.
    """
    own = {lake.articles, lake.rejects, f"{lake.superseded}/{lake.articles}"}
    own |= {folder for table in tables for folder in table.folders}
    described = {f"{table.folders[0]}/{DESCRIPTION}" for table in tables}
    described |= {f"{lake.summaries}/{table.recipe}/{POINTER}" for table in tables}
    findings = []
    for file in files:
        top, _, _ = file.name.partition("/")
        folder, _, base = file.name.rpartition("/")
        if top == STAGING or file.name in described:
            continue
        where = lake.location(file.name)
        if top not in (*own, lake.summaries, lake.failures, lake.superseded):
            remedy = "article-flows does not read it"
            findings.append(Finding(f"{where}: is not of the lake; {remedy}", is_problem=False))
        elif base[0] in "._":
            what = "is not of the lake, and readers of Parquet pass it over; remove it"
            findings.append(Finding(f"{where}: {what}", is_problem=False))
        elif not base.endswith(".parquet"):
            what = "is no part, and readers of the folder stumble over it; remove it"
            findings.append(Finding(f"{where}: {what}"))
        elif folder not in own:
            findings.append(Finding(f"{where}: lies where no table has its parts; remove it"))
    return findings


def verify_staging(
    lake: Lake, files: list[StoredFile], tables: list[FoundTable], stale: list[HeldLock]
) -> list[Finding]:
    """What is not settled: merges, loads, journals, scratch folders, locks of the dead.

    Args:
        lake: the lake.
        files: all that it has.
        tables: its enriched tables.
        stale: locks that somebody holds who is dead.
    """
    staged = [file for file in files if file.name.startswith(f"{STAGING}/")]
    findings = [
        *_merges(lake),
        *_loads(lake, staged),
        *_journals(lake, staged, tables),
        *_scratch(lake),
        *_unknown(lake, staged),
    ]
    for lock in stale:
        findings.append(
            Finding(
                f"lake {lake}: the lock {lock.name} is of a run that is dead ({lock}); the next "
                "run takes it over after a while: run again"
            )
        )
    return findings


def _merges(lake: Lake) -> Iterator[Finding]:
    """Notes of merges that have not ended."""
    for file in lake.storage.list(NOTES):
        home = file.name.removeprefix(f"{NOTES}/").rpartition("/")[0]
        where = lake.location(file.name)
        try:
            note = next((n for n in read_notes(lake.storage, home) if n.name == file.name), None)
        except UserError:
            yield Finding(f"{where}: the note of a merge is damaged; remove it and verify again")
            continue
        if note is not None:
            kinds = {lake.articles, f"{lake.superseded}/{lake.articles}"}
            table = "-".join(home.split("/")[-2:])
            yield Finding(
                f"{where}: a merge of {len(note.old):,} parts of {home} is half done (readers "
                "other than article-flows may see rows twice); run again to finish it",
                ARTICLE_PARTS if home in kinds else table,
            )


def _loads(lake: Lake, staged: list[StoredFile]) -> Iterator[Finding]:
    for file in staged:
        if file.name.startswith(f"{LOADS}/"):
            where = lake.location(file.name)
            yield Finding(f"{where}: a load was not finished; {_LOAD_AGAIN}", lake.articles)


def _journals(lake: Lake, staged: list[StoredFile], tables: list[FoundTable]) -> Iterator[Finding]:
    """Answers that wait, and journals that somebody should look at."""
    names = {table.name for table in tables}
    home = f"{STAGING}/journals/"
    for file in staged:
        if not file.name.startswith(home):
            continue
        names.add(file.name.removeprefix(home).partition("/")[0])
        if file.name.endswith(SET_ASIDE):
            why = "damaged" if file.name.endswith(SET_ASIDE[1]) else "not of this version"
            yield Finding(
                f"{lake.location(file.name)}: a journal that is {why} was set aside; look at it, "
                "then remove it"
            )
        elif file.name.endswith("/reserve"):
            yield Finding(
                f"{lake.location(file.name)}: disk space ({file.size:,} bytes) that a killed run "
                "had set aside; run again, or remove it",
                file.name.removeprefix(home).partition("/")[0],
            )
    for name in sorted(names):
        yield from _waiting(lake, name)


def _waiting(lake: Lake, name: str) -> Iterator[Finding]:
    leftovers = find_leftovers(lake.storage, name)
    if not leftovers:
        return
    try:
        count = len(waiting_answers(leftovers))
    except UserError as error:
        yield Finding(str(error), name)
        return
    first = leftovers[0].name
    more = f" and {len(leftovers) - 1:,} more journals" if len(leftovers) > 1 else ""
    yield Finding(f"{first}{more}: {count:,} answers of a killed run wait; {_RUN_AGAIN}", name)
    for leftover in leftovers:
        if leftover.end()[0] in (End.DAMAGED, End.FOREIGN):
            yield Finding(
                f"{leftover.name}: the journal is damaged before its end; the next run takes in "
                "what can be read and sets it aside: check the disk, then run again",
                name,
            )


def _scratch(lake: Lake) -> Iterator[Finding]:
    """Folders of half-written parts whose owner has died; found without writing."""
    if lake.storage.folder is None:
        return
    for folder in sorted(ownerless(lake.storage.folder / STAGING / "parts")):
        yield Finding(f"{folder}: half-written files of a killed run; run again: that removes it")


def _unknown(lake: Lake, staged: list[StoredFile]) -> Iterator[Finding]:
    known = ("locks", "journals", "parts", "merges", "loads", "superseded", "uploads", "schemas")
    for file in staged:
        path = file.name.split("/")
        odd_journal = path[1] == "journals" and not file.name.endswith(
            (SUFFIX, *SET_ASIDE, "/reserve")
        )
        if path[1] not in known or odd_journal:
            yield Finding(f"{lake.location(file.name)}: is not of article-flows; remove it")
