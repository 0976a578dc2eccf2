"""`open_journals`: the journals of a run, as local files or as objects in a store."""

from __future__ import annotations

from typing import TypeAlias

from article_flows.tasks.journal.disk_reserve import reserve_bytes
from article_flows.tasks.journal.file_journal import FileJournal, FileJournals
from article_flows.tasks.journal.leftovers import JOURNAL_SUFFIX, LeftoverJournal, leftovers_in
from article_flows.tasks.journal.object_journal import ObjectJournal, ObjectJournals
from article_flows.tasks.journal.spool import spool_folder
from article_flows.tasks.storage.base import Storage, unwritable_error
from article_flows.tasks.storage.local import LocalStorage

BatchJournal: TypeAlias = FileJournal | ObjectJournal
"""The journal of one batch: holds its outcomes until its part is committed."""

Journals: TypeAlias = FileJournals | ObjectJournals
"""The journals of a run and the leftovers of earlier runs; a context manager."""


def open_journals(
    storage: Storage, table_name: str, run_name: str, *, max_in_flight: int = 0
) -> Journals:
    """Return the journals of a run that fills a table; enter them before sending any request.

    Entering raises UserError if the lake cannot be written, or if the disk has no space for the
    responses of ``max_in_flight`` requests.

    Args:
        storage: The lake's storage.
        table_name: The table that the run fills.
        run_name: The run's unique name.
        max_in_flight: The largest number of concurrent requests; 0 for no disk reserve.

    Raises:
        UserError: The folder of the journals cannot be created.
    """
    journal_folder = _journal_folder(table_name)
    if storage.folder is None:
        spool = spool_folder(storage.root, table_name)
        leftovers = find_leftovers(storage, table_name)
        return ObjectJournals(storage, journal_folder, run_name, spool, leftovers)
    folder = storage.folder / journal_folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable_error(storage.root, error) from error
    reserve = reserve_bytes(max_in_flight) if max_in_flight else 0
    return FileJournals(folder, run_name, reserve=reserve, lake=storage.root)


def find_leftovers(storage: Storage, table_name: str) -> list[LeftoverJournal]:
    """Return the journals that earlier runs left for a table, in the lake and on this machine."""
    leftovers = leftovers_in(storage, _journal_folder(table_name))
    if storage.folder is None:
        # Tolerates a spool that cannot be listed: `JournalSpool` warns when it is needed.
        spool = LocalStorage(str(spool_folder(storage.root, table_name)))
        names = sorted(path.name for path in spool.folder.glob(f"*{JOURNAL_SUFFIX}"))
        leftovers += [LeftoverJournal(spool, name) for name in names]
    return leftovers


def _journal_folder(table_name: str) -> str:
    return f"_staging/journals/{table_name}"
