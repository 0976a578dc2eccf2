"""The journals of a run, wherever its lake is: files in a folder, or objects in a store."""

from __future__ import annotations

from typing import TypeAlias

from article_flows.tasks.journal.disk_reserve import reserve_bytes
from article_flows.tasks.journal.file_journal import Journal, JournalFolder
from article_flows.tasks.journal.leftovers import SUFFIX, Leftover, leftovers_in
from article_flows.tasks.journal.object_journal import ObjectJournal, ObjectJournals
from article_flows.tasks.journal.spool import spool_folder
from article_flows.tasks.storage.base import Storage, unwritable_error
from article_flows.tasks.storage.local import LocalStorage

BatchJournal: TypeAlias = Journal | ObjectJournal
"""Where the outcomes of one batch are kept until its part is committed."""

Journals: TypeAlias = JournalFolder | ObjectJournals
"""The journals of a run and what earlier runs left. A context manager."""


def open_journals(
    storage: Storage, table_name: str, run_name: str, *, max_in_flight: int = 0
) -> Journals:
    """The journals of a run over a table of a lake; to be entered before anything is paid for.

    Entering it raises UserError where the disk has no room for what may be in flight
    (``max_in_flight`` requests), or the lake cannot be written.
    """
    home = _home(table_name)
    if storage.folder is None:
        spool = spool_folder(storage.root, table_name)
        leftovers = find_leftovers(storage, table_name)
        return ObjectJournals(storage, home, run_name, spool, leftovers)
    folder = storage.folder / home
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable_error(storage.root, error) from error
    reserve = reserve_bytes(max_in_flight) if max_in_flight else 0
    return JournalFolder(folder, run_name, reserve=reserve, lake=storage.root)


def find_leftovers(storage: Storage, table_name: str) -> list[Leftover]:
    """What earlier runs left of a table in its lake, and on this machine; nothing is written."""
    leftovers = leftovers_in(storage, _home(table_name))
    if storage.folder is None:
        # A spool that cannot be listed is no reason to stop: only a warning, once it is needed.
        spool = LocalStorage(str(spool_folder(storage.root, table_name)))
        names = sorted(path.name for path in spool.folder.glob(f"*{SUFFIX}"))
        leftovers += [Leftover(spool, name) for name in names]
    return leftovers


def _home(table_name: str) -> str:
    return f"_staging/journals/{table_name}"
