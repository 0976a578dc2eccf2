"""The journals of a run, wherever its lake is: files in a folder, or objects in a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from tasks.journal import JournalFolder
from tasks.journal_leftovers import Leftover, file_leftovers
from tasks.journal_objects import ObjectJournals, object_leftovers
from tasks.journal_reserve import reserve_bytes
from tasks.journal_spool import spool_folder
from tasks.storage import Storage, unwritable


class BatchJournal(Protocol):
    """Where the outcomes of one batch are kept until its part is committed."""

    @property
    def name(self) -> str:
        """How the user finds it."""
        ...

    def append(self, *payloads: bytes) -> None:
        """Keep payloads; raises OSError where that fails for now: they are tried again."""
        ...


class Journals(Protocol):
    """The journals of a run and what earlier runs left. A context manager.

    Attributes:
        leftovers: what earlier runs left.
        on_trouble: told, in any thread, why nothing more may be paid for.
    """

    leftovers: list[Leftover]
    on_trouble: Callable[[str], None]

    @property
    def unsynced(self) -> int:
        """How many payloads are not yet where they will be safe."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *problem: object) -> None: ...

    def open(self, batch: str) -> BatchJournal:
        """The journal of a batch: a new one, or the one that its earlier try left open."""
        ...

    def discard(self, batch: str) -> None:
        """Remove a batch's records: its outcomes are committed."""
        ...

    def set_aside_foreign(self) -> None:
        """Set aside, with a warning, what earlier runs left that is no journal of this version."""
        ...

    def discard_leftovers(self) -> None:
        """Remove what earlier runs left: it is committed by now. Damaged ones are set aside."""
        ...


def open_journals(
    storage: Storage, table_name: str, run_name: str, *, max_in_flight: int = 0
) -> Journals:
    """The journals of a run over a table of a lake; to be entered before anything is paid for.

    Entering it raises UserError where the disk has no room for what may be in flight
    (``max_in_flight`` requests), or the lake cannot be written.
    """
    if storage.folder is None:
        return ObjectJournals(storage, table_name, run_name, spool_folder(storage.root, table_name))
    folder = _folder(storage.folder, table_name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(storage.root, error) from error
    reserve = reserve_bytes(max_in_flight) if max_in_flight else 0
    return JournalFolder(folder, run_name, reserve=reserve, lake=storage.root)


def find_leftovers(storage: Storage, table_name: str) -> list[Leftover]:
    """What earlier runs left of a table, for who only looks: nothing is written."""
    if storage.folder is None:
        return object_leftovers(storage, table_name, spool_folder(storage.root, table_name))
    folder = _folder(storage.folder, table_name)
    return file_leftovers(folder)


def _folder(lake: Path, table_name: str) -> Path:
    return lake / "_staging" / "journals" / table_name
