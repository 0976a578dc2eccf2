"""Journals: every outcome on disk the moment it arrives, until its part is committed.

Records are written with a system call as they come, so a killed process loses none of them; a
thread makes them durable a few times a second, so a power cut loses at most ``SYNC_EVERY_S``.
What a full disk has no room for is kept and tried again; `journal_reserve` makes room for it.
The bytes are in `journal_format`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from article_flows.tasks.journal.disk_reserve import DiskReserve
from article_flows.tasks.journal.format import MAGIC, encode_records
from article_flows.tasks.journal.leftovers import SUFFIX, JournalSet, leftovers_in
from article_flows.tasks.storage.base import DISK_FULL_ERRNOS, unwritable_error
from article_flows.tasks.storage.local import LocalStorage, sync

logger = logging.getLogger(__name__)

SYNC_EVERY_S = 0.25


class Journal:
    """One append-only file of payloads.

    Args:
        path: where; nothing may be there yet.
        make_room: called when a write has failed; True if it is worth trying again at once.

    Attributes:
        dirty: whether something is written that a power cut could still take.

    Raises:
        OSError: the file cannot be opened or written.
    """

    def __init__(self, path: Path, make_room: Callable[[OSError], bool] = lambda _: False) -> None:
        self.path = path
        self.dirty = False
        self._make_room = make_room
        self._closed = False
        self._torn = False
        self._new = True
        self._waiting: list[bytes] = []
        # Two locks, so that the event loop that appends never waits for a sync to end.
        self._appending = threading.Lock()
        self._syncing = threading.Lock()
        self._size = 0
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        try:
            self._write_if_need_be_twice(MAGIC)
        except OSError:
            os.close(self._descriptor)
            raise

    @property
    def name(self) -> str:
        """How the user finds it."""
        return str(self.path)

    @property
    def unsynced(self) -> int:
        """How many payloads wait because they could not be written."""
        return len(self._waiting)

    def append(self, *payloads: bytes) -> None:
        """Write payloads with one system call; on return they survive the death of this process.

        Raises:
            OSError: the disk is full or gone: what could not be written is kept, and tried again
                with the next append, sync and close, in order. Or the journal is closed.
        """
        with self._appending:
            if self._closed:
                raise OSError(f"{self.path}: is closed")
            self._waiting.extend(payloads)
            self._write_waiting()

    def sync(self) -> None:
        """Make what is written survive a power cut; what waits is tried again first.

        Raises:
            OSError: the disk is full or gone.
        """
        with self._syncing:
            if self._waiting:
                with self._appending:
                    self._write_waiting()
            if self.dirty and not self._closed:
                self.dirty = False
                try:
                    os.fsync(self._descriptor)
                    if self._new:
                        sync(self.path.parent)
                        self._new = False
                except OSError:
                    self.dirty = True
                    raise

    def close(self, *, discard: bool = False) -> int:
        """Close the file; ``discard`` removes it, once its outcomes are committed.

        Gives how many payloads still could not be written, and are lost.
        """
        lost = 0
        with self._syncing, self._appending:
            if not self._closed:
                if not discard:
                    with contextlib.suppress(OSError):
                        self._write_waiting()
                    lost = len(self._waiting)
                self._waiting.clear()
                self._closed = True
                os.close(self._descriptor)
        if discard:
            self.path.unlink(missing_ok=True)
        return lost

    def _write_waiting(self) -> None:
        """Write all that waits at once, or as much of it as there is room for."""
        waiting = self._waiting
        if not waiting or self._closed:
            return
        try:
            self._write_if_need_be_twice(encode_records(waiting))
            waiting.clear()
        except OSError:
            while len(waiting) > 1:
                self._write(encode_records(waiting[:1]))
                del waiting[0]
            raise
        finally:
            self.dirty = True

    def _write_if_need_be_twice(self, records: bytes) -> None:
        try:
            self._write(records)
        except OSError as error:
            if not self._make_room(error):
                raise
            self._write(records)

    def _write(self, records: bytes) -> None:
        """Write records whole or not at all."""
        if self._torn:
            os.ftruncate(self._descriptor, self._size)
        self._torn = True
        view = memoryview(records)
        try:
            # A full disk takes a piece, and says that it is full only when asked for the rest.
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
                self._torn = False
            raise
        self._torn = False
        self._size += len(records)


class JournalFolder(JournalSet):
    """The journals of a run, one a batch, and what earlier runs left beside them.

    As a context manager it holds the reserve and runs the thread that syncs them.

    Args:
        folder: where they lie.
        run: the run's name.
        reserve: bytes of disk to set aside for the answers in flight when the disk fills up.
        lake: the lake as the user names it.
    """

    def __init__(self, folder: Path, run: str, *, reserve: int = 0, lake: str = "") -> None:
        super().__init__(leftovers_in(LocalStorage(str(folder))))
        self._folder = folder
        self._run = run
        self._lake = lake or str(folder)
        self._reserve = DiskReserve(folder / "reserve", reserve)
        self._open: dict[str, Journal] = {}
        self._unsafe: set[str] = set()
        self._ending = threading.Event()
        self._syncing = threading.Thread(target=self._sync_often, name="journal-sync", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._reserve.take()
        except OSError as error:
            raise unwritable_error(self._lake, error) from error
        self._syncing.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._ending.set()
        self._syncing.join()
        self._reserve.release()
        self._sync_all()
        for journal in list(self._open.values()):
            if lost := journal.close():
                logger.error(
                    "%s: %d answers could not be written; those that are in no part of the table "
                    "are asked for again",
                    journal.name,
                    lost,
                )

    @property
    def unsynced(self) -> int:
        """How many payloads wait because they could not be written."""
        return sum(journal.unsynced for journal in list(self._open.values()))

    def open(self, batch: str) -> Journal:
        """The journal of a batch: a new one, or the one that its earlier try left open.

        Raises:
            OSError: it cannot be written.
        """
        if batch not in self._open:
            path = self._folder / f"{self._run}-{batch}{SUFFIX}"
            self._open[batch] = Journal(path, self._make_room)
        return self._open[batch]

    def discard(self, batch: str) -> None:
        """Remove a batch's journal: its outcomes are committed."""
        self._open.pop(batch).close(discard=True)

    def _make_room(self, error: OSError) -> bool:
        """Give the reserve to what is in flight, and have nothing more sent."""
        if error.errno not in DISK_FULL_ERRNOS:
            return False
        self.on_trouble(str(unwritable_error(self._lake, error)))
        return self._reserve.release()

    def _sync_often(self) -> None:
        while not self._ending.wait(SYNC_EVERY_S):
            self._sync_all()

    def _sync_all(self) -> None:
        for journal in list(self._open.values()):
            try:
                journal.sync()
                self._unsafe.discard(journal.name)
            except OSError as error:
                # A journal that is no longer durable must not end the syncing of the others.
                self._make_room(error)
                if journal.name not in self._unsafe:
                    logger.warning("%s: not safe from a power cut (%s)", journal.name, error)
                self._unsafe.add(journal.name)
