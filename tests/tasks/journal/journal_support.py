"""Support for tests of journals: a fake object store over a folder, and helpers to inspect it."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from article_flows.tasks.journal.format import read_journal
from article_flows.tasks.journal.leftovers import LeftoverJournal, leftovers_in
from article_flows.tasks.journal.object_journal import ObjectJournals
from article_flows.tasks.journal.open import open_journals
from article_flows.tasks.journal.spool import spool_folder
from article_flows.tasks.storage.base import StoredFile
from article_flows.tasks.storage.local import LocalStorage

TABLE = "summary-m-1"
FOLDER = f"_staging/journals/{TABLE}"


class FolderAsObjects:
    """An object store over a folder, without append and rename.

    Attributes:
        fault: Raised by every operation, unless it is None.
        hold: Operations wait while it is cleared.
    """

    def __init__(self, folder: Path) -> None:
        self.root = f"s3://bucket/{folder.name}"
        self.folder = None
        self.fault: Exception | None = None
        self.hold = threading.Event()
        self.hold.set()
        self._local = LocalStorage(str(folder))

    def _respond(self) -> None:
        self.hold.wait()
        if self.fault:
            raise self.fault

    def list(self, folder: str) -> list[StoredFile]:
        self._respond()
        return [file for file in self._local.list(folder) if "/parts/" not in file.name]

    def read(self, name: str) -> bytes:
        self._respond()
        return self._local.read(name)

    def write(self, name: str, content: bytes) -> None:
        self._respond()
        self._local.write(name, content)

    def delete(self, name: str) -> None:
        self._respond()
        self._local.delete(name)

    def location(self, name: str) -> str:
        return f"{self.root}/{name}"

    @property
    def scratch(self) -> Path:
        raise NotImplementedError

    def open(self, name: str) -> Any:
        raise NotImplementedError

    def publish(self, staged: Path, name: str) -> None:
        raise NotImplementedError

    def watch(self, listener: Callable[[bool], None]) -> None:
        raise NotImplementedError


def journals_of(store: FolderAsObjects, run: str = "run") -> ObjectJournals:
    journals = open_journals(store, TABLE, run, max_in_flight=8)
    assert isinstance(journals, ObjectJournals)
    return journals


def until(condition: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if condition():
            return
        time.sleep(0.005)
    pytest.fail("timed out")


def objects(store: FolderAsObjects) -> list[str]:
    return [file.name for file in store.list(FOLDER)]


def in_spool(store: FolderAsObjects) -> list[Path]:
    return sorted(spool_folder(store.root, TABLE).glob("*"))


def records(leftovers: list[LeftoverJournal]) -> list[bytes]:
    return [record for leftover in leftovers for record in leftover.records()]


def find_spooled(store: FolderAsObjects) -> list[LeftoverJournal]:
    return leftovers_in(LocalStorage(str(spool_folder(store.root, TABLE))))


def leftover_of(path: Path) -> LeftoverJournal:
    return LeftoverJournal(LocalStorage(str(path.parent)), path.name)


def records_of(path: Path) -> list[bytes]:
    """Return the records of a journal file."""
    return read_journal(path.read_bytes()).records
