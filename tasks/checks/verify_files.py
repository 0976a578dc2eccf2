"""Find foreign files in a lake, and unfinished work that killed runs left in ``_staging``."""

from __future__ import annotations

from collections.abc import Iterator

from article_flows.tasks.checks.verify_rows import Finding
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.enriched.current import LINKS, POINTER
from article_flows.tasks.enriched.discovery import FoundTable
from article_flows.tasks.enriched.outcomes import journaled_answers
from article_flows.tasks.enriched.table import DESCRIPTION_FILE
from article_flows.tasks.ingest.load import LOADS
from article_flows.tasks.journal.format import JournalEnd
from article_flows.tasks.journal.leftovers import JOURNAL_SUFFIX, SET_ASIDE_SUFFIXES
from article_flows.tasks.journal.open import find_leftovers
from article_flows.tasks.lake.lake import STAGING, Lake
from article_flows.tasks.lake.merge_log import MERGE_NOTES, read_merge_notes
from article_flows.tasks.lake.tombstones import ARTICLE_PARTS_LOCK
from article_flows.tasks.locks.holders import HeldLock
from article_flows.tasks.storage.base import StoredFile
from article_flows.tasks.storage.scratch import abandoned_folders


def verify_files(lake: Lake, files: list[StoredFile], tables: list[FoundTable]) -> list[Finding]:
    """Report files that belong to none of the lake's tables.

    Args:
        files: All files in the lake.
        tables: The lake's enriched tables.
    """
    part_folders = {lake.articles, lake.rejects, f"{lake.superseded}/{lake.articles}"}
    part_folders |= {folder for table in tables for folder in table.folders}
    descriptions = {f"{table.folders[0]}/{DESCRIPTION_FILE}" for table in tables}
    descriptions |= {f"{lake.summaries}/{table.recipe}/{POINTER}" for table in tables}
    findings = [
        Finding(
            f"{lake.location(folder)}: is a copy of a table in place of the link to it, and is not "
            "kept up to date; remove it (in a folder, the next run makes the link)"
        )
        for folder in sorted({_copied_link(file) for file in files} - {""})
    ]
    for file in files:
        top, _, _ = file.name.partition("/")
        folder, _, base = file.name.rpartition("/")
        if top == STAGING or file.name in descriptions or _copied_link(file):
            continue
        where = lake.location(file.name)
        if top not in (*part_folders, lake.summaries, lake.failures, lake.superseded):
            what = "does not belong to the lake; article-flows ignores it"
            findings.append(Finding(f"{where}: {what}", is_problem=False))
        elif base[0] in "._":
            what = "does not belong to the lake; Parquet readers ignore it, remove it"
            findings.append(Finding(f"{where}: {what}", is_problem=False))
        elif not base.endswith(".parquet"):
            what = "is not a Parquet part and breaks readers of this folder; remove it"
            findings.append(Finding(f"{where}: {what}"))
        elif folder not in part_folders:
            findings.append(Finding(f"{where}: is in a folder that belongs to no table; remove it"))
    return findings


def _copied_link(file: StoredFile) -> str:
    """Return the folder that a copy made of a recipe's link, if a file is in one."""
    top, _, rest = file.name.partition("/")
    recipe, slash, _ = rest.partition("/")
    return f"{top}/{recipe}" if top == LINKS and slash else ""


def verify_staging(
    lake: Lake, files: list[StoredFile], tables: list[FoundTable], stale: list[HeldLock]
) -> list[Finding]:
    """Report unfinished merges and loads, journals, scratch folders and stale locks.

    Args:
        files: All files in the lake.
        tables: The lake's enriched tables.
        stale: Locks whose holders are dead.
    """
    staged = [file for file in files if file.name.startswith(f"{STAGING}/")]
    findings = [
        *_unfinished_merges(lake),
        *_unfinished_loads(lake, staged),
        *_journal_findings(lake, staged, tables),
        *_abandoned_scratch(lake),
        *_foreign_staging_files(lake, staged),
    ]
    for lock in stale:
        findings.append(
            Finding(
                f"lake {lake}: the lock {lock.name} belongs to a dead run ({lock}); run again, "
                "the next run takes it over after a while"
            )
        )
    return findings


def _unfinished_merges(lake: Lake) -> Iterator[Finding]:
    for file in lake.storage.list(MERGE_NOTES):
        folder = file.name.removeprefix(f"{MERGE_NOTES}/").rpartition("/")[0]
        where = lake.location(file.name)
        try:
            note = next(
                (n for n in read_merge_notes(lake.storage, folder) if n.name == file.name), None
            )
        except UserError:
            yield Finding(f"{where}: the record of a merge is damaged; remove it and verify again")
            continue
        if note is not None:
            article_folders = {lake.articles, f"{lake.superseded}/{lake.articles}"}
            table = "-".join(folder.split("/")[-2:])
            yield Finding(
                f"{where}: a merge of {len(note.old):,} parts of {folder} is incomplete (readers "
                "other than article-flows may see rows twice); run again to finish it",
                ARTICLE_PARTS_LOCK if folder in article_folders else table,
            )


def _unfinished_loads(lake: Lake, staged: list[StoredFile]) -> Iterator[Finding]:
    for file in staged:
        if file.name.startswith(f"{LOADS}/"):
            where = lake.location(file.name)
            yield Finding(f"{where}: a load is incomplete; load again to finish it", lake.articles)


def _journal_findings(
    lake: Lake, staged: list[StoredFile], tables: list[FoundTable]
) -> Iterator[Finding]:
    """Report answers waiting in journals, and damaged journals."""
    names = {table.name for table in tables}
    folder = f"{STAGING}/journals/"
    for file in staged:
        if not file.name.startswith(folder):
            continue
        names.add(file.name.removeprefix(folder).partition("/")[0])
        if file.name.endswith(SET_ASIDE_SUFFIXES):
            reason = "damaged" if file.name.endswith(SET_ASIDE_SUFFIXES[1]) else "incompatible"
            yield Finding(
                f"{lake.location(file.name)}: a journal was set aside as {reason}; inspect it, "
                "then remove it"
            )
        elif file.name.endswith("/reserve"):
            yield Finding(
                f"{lake.location(file.name)}: disk space ({file.size:,} bytes) reserved by a "
                "killed run; run again, or remove it",
                file.name.removeprefix(folder).partition("/")[0],
            )
    for name in sorted(names):
        yield from _waiting_answers(lake, name)


def _waiting_answers(lake: Lake, name: str) -> Iterator[Finding]:
    leftovers = find_leftovers(lake.storage, name)
    if not leftovers:
        return
    try:
        count = len(journaled_answers(leftovers))
    except UserError as error:
        yield Finding(str(error), name)
        return
    first = leftovers[0].name
    others = f" and {len(leftovers) - 1:,} more journals" if len(leftovers) > 1 else ""
    what = f"{count:,} answers of a killed run are not in the table yet; run again to recover them"
    yield Finding(f"{first}{others}: {what}", name)
    for leftover in leftovers:
        if leftover.end()[0] in (JournalEnd.DAMAGED, JournalEnd.FOREIGN):
            yield Finding(
                f"{leftover.name}: the journal is damaged before its end; check the disk, then run "
                "again: the run recovers what is readable and sets the journal aside",
                name,
            )


def _abandoned_scratch(lake: Lake) -> Iterator[Finding]:
    """Report folders of partly written files whose process has died."""
    if lake.storage.folder is None:
        return
    for folder in sorted(abandoned_folders(lake.storage.folder / STAGING / "parts")):
        yield Finding(f"{folder}: partly written files of a killed run; run again to remove them")


def _foreign_staging_files(lake: Lake, staged: list[StoredFile]) -> Iterator[Finding]:
    known = ("locks", "journals", "parts", "merges", "loads", "superseded", "uploads", "schemas")
    for file in staged:
        path = file.name.split("/")
        is_foreign = path[1] not in known
        if path[1] == "journals":
            is_foreign = not file.name.endswith((JOURNAL_SUFFIX, *SET_ASIDE_SUFFIXES, "/reserve"))
        if is_foreign:
            yield Finding(f"{lake.location(file.name)}: is not a file of article-flows; remove it")
