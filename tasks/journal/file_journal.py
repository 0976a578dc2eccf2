"""Write-ahead journals in a local folder: they hold every outcome until its part is committed.

Each append is a system call, so a killed process loses no record. A thread syncs the files several
times a second, so a power failure loses the records of at most ``SYNC_EVERY_S`` seconds. Records
that do not fit on a full disk stay in memory and are written again; `disk_reserve.py` frees space
for them. `format.py` defines the bytes.
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
from article_flows.tasks.journal.leftovers import JOURNAL_SUFFIX, JournalSet, leftovers_in
from article_flows.tasks.storage.base import DISK_FULL_ERRNOS, unwritable_error
from article_flows.tasks.storage.local import LocalStorage, sync

logger = logging.getLogger(__name__)

SYNC_EVERY_S = 0.25


class FileJournal:
    """One append-only file of payloads.

    Args:
        path: The file, which must not exist yet.
        make_room: Called when a write fails; returns whether to retry it immediately.

    Attributes:
        dirty: Whether a power failure could lose something that was written.

    Raises:
        OSError: The file exists, or cannot be created or written.
    """

    def __init__(self, path: Path, make_room: Callable[[OSError], bool] = lambda _: False) -> None:
        self.path = path
        self.dirty = False
        self._make_room = make_room
        self._closed = False
        self._torn = False
        self._new = True
        self._pending: list[bytes] = []
        # Two locks, so that the event loop, which appends, never waits for a sync.
        self._appending = threading.Lock()
        self._syncing = threading.Lock()
        self._size = 0
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        try:
            self._write_with_retry(MAGIC)
        except OSError:
            os.close(self._descriptor)
            raise

    @property
    def name(self) -> str:
        """The path, for messages."""
        return str(self.path)

    @property
    def unwritten(self) -> int:
        """Number of payloads that could not be written yet."""
        return len(self._pending)

    def append(self, *payloads: bytes) -> None:
        """Write payloads with one system call; on return they survive the death of this process.

        Raises:
            OSError: The journal is closed, or the disk is full or gone. Payloads that could not be
                written are kept; the next append, sync and close retry them, in order.
        """
        with self._appending:
            if self._closed:
                raise OSError(f"{self.path}: is closed")
            self._pending.extend(payloads)
            self._write_pending()

    def sync(self) -> None:
        """Write pending payloads, then make all of them survive a power failure.

        Raises:
            OSError: The disk is full or gone.
        """
        with self._syncing:
            if self._pending:
                with self._appending:
                    self._write_pending()
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
        """Close the file.

        Args:
            discard: Whether to delete the file, because its outcomes are committed.

        Returns:
            The number of payloads that could not be written and are lost.
        """
        lost = 0
        with self._syncing, self._appending:
            if not self._closed:
                if not discard:
                    with contextlib.suppress(OSError):
                        self._write_pending()
                    lost = len(self._pending)
                self._pending.clear()
                self._closed = True
                os.close(self._descriptor)
        if discard:
            self.path.unlink(missing_ok=True)
        return lost

    def _write_pending(self) -> None:
        """Write all pending payloads at once, or if that fails, as many as there is space for."""
        pending = self._pending
        if not pending or self._closed:
            return
        try:
            self._write_with_retry(encode_records(pending))
            pending.clear()
        except OSError:
            while len(pending) > 1:
                self._write(encode_records(pending[:1]))
                del pending[0]
            raise
        finally:
            self.dirty = True

    def _write_with_retry(self, records: bytes) -> None:
        try:
            self._write(records)
        except OSError as error:
            if not self._make_room(error):
                raise
            self._write(records)

    def _write(self, records: bytes) -> None:
        """Write all bytes or none: a failed write is undone, now or before the next one."""
        if self._torn:
            os.ftruncate(self._descriptor, self._size)
        self._torn = True
        view = memoryview(records)
        try:
            # A disk that fills up writes a part first, and fails only when given the rest.
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
                self._torn = False
            raise
        self._torn = False
        self._size += len(records)


class FileJournals(JournalSet):
    """The journals of a run, one per batch, and the leftovers of earlier runs in the same folder.

    As a context manager, it holds the disk reserve and runs the thread that syncs the journals.

    Args:
        folder: The folder of the journals.
        run: The run's name.
        reserve: Bytes to reserve for the answers in flight when the disk fills up.
        lake: The lake as the user wrote it, for messages.
    """

    def __init__(self, folder: Path, run: str, *, reserve: int = 0, lake: str = "") -> None:
        super().__init__(leftovers_in(LocalStorage(str(folder))))
        self._folder = folder
        self._run = run
        self._lake = lake or str(folder)
        self._reserve = DiskReserve(folder / "reserve", reserve)
        self._open: dict[str, FileJournal] = {}
        self._sync_failed: set[str] = set()
        self._stopping = threading.Event()
        self._syncer = threading.Thread(target=self._sync_loop, name="journal-sync", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._reserve.allocate()
        except OSError as error:
            raise unwritable_error(self._lake, error) from error
        self._syncer.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopping.set()
        self._syncer.join()
        self._reserve.release()
        self._sync_all()
        for journal in list(self._open.values()):
            if lost := journal.close():
                logger.error(
                    "%s: %d answers could not be written; those not in the table yet will be "
                    "requested again",
                    journal.name,
                    lost,
                )

    @property
    def unwritten(self) -> int:
        """Number of payloads that could not be written yet."""
        return sum(journal.unwritten for journal in list(self._open.values()))

    def open(self, batch: str) -> FileJournal:
        """Return the journal of a batch: a new one, or the one open from an earlier attempt.

        Raises:
            OSError: The journal cannot be created.
        """
        if batch not in self._open:
            path = self._folder / f"{self._run}-{batch}{JOURNAL_SUFFIX}"
            self._open[batch] = FileJournal(path, self._make_room)
        return self._open[batch]

    def discard(self, batch: str) -> None:
        """Delete the journal of a batch whose outcomes are committed."""
        self._open.pop(batch).close(discard=True)

    def _make_room(self, error: OSError) -> bool:
        """If the disk is full, report it, so that the run stops, and release the reserve."""
        if error.errno not in DISK_FULL_ERRNOS:
            return False
        self.on_write_failure(str(unwritable_error(self._lake, error)))
        return self._reserve.release()

    def _sync_loop(self) -> None:
        while not self._stopping.wait(SYNC_EVERY_S):
            self._sync_all()

    def _sync_all(self) -> None:
        for journal in list(self._open.values()):
            try:
                journal.sync()
                self._sync_failed.discard(journal.name)
            except OSError as error:
                # One journal that cannot be synced must not stop the syncing of the others.
                self._make_room(error)
                if journal.name not in self._sync_failed:
                    logger.warning(
                        "%s: a power failure could lose answers (%s)", journal.name, error
                    )
                self._sync_failed.add(journal.name)
