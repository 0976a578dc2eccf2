"""Write-ahead journals in an object store: group commits of records into small objects.

Object stores have no append. So a thread writes the pending records as one object, in the format of
a journal file, after ``SYNC_EVERY_S`` seconds or ``GROUP_BYTES`` bytes; the event loop never waits
for the store. Until an object is written, its records are in the local spool: a killed process
loses nothing, and a lost machine loses one group commit. An object is deleted once all batches with
records in it are committed.
"""

from __future__ import annotations

import itertools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from article_flows.tasks.journal.format import MAGIC, encode_records
from article_flows.tasks.journal.leftovers import JOURNAL_SUFFIX, JournalSet, LeftoverJournal
from article_flows.tasks.journal.spool import JournalSpool
from article_flows.tasks.storage.base import Storage

logger = logging.getLogger(__name__)

SYNC_EVERY_S = 0.5
GROUP_BYTES = 256 << 10
_RETRY_S = 5.0
"""Pause between attempts after the storage's own retries have failed, in seconds."""


class ObjectJournal:
    """The journal of one batch; never blocks on the store and never raises."""

    def __init__(self, journals: ObjectJournals, batch: str, name: str) -> None:
        self.name = name
        self._journals = journals
        self._batch = batch

    def append(self, *payloads: bytes) -> None:
        """Spool payloads to the local disk now; the next group commit writes them to the store."""
        self._journals.append(self._batch, payloads)


class ObjectJournals(JournalSet):
    """The journals of a run in an object store, and the leftovers of earlier runs.

    As a context manager, it runs the thread that performs the group commits.

    Args:
        storage: The lake's storage.
        folder: The lake's folder for the objects.
        run: The run's name.
        spool: The local folder for records that are not in the store yet.
        leftovers: The journals of earlier runs, in the store and in the spool.
    """

    def __init__(
        self, storage: Storage, folder: str, run: str, spool: Path, leftovers: list[LeftoverJournal]
    ) -> None:
        super().__init__(leftovers)
        self._storage = storage
        self._prefix = f"{folder}/{run}"
        self._spool = JournalSpool(spool, run)
        self._numbers = itertools.count()
        self._open: dict[str, ObjectJournal] = {}
        self._wake = threading.Condition()
        # The condition's lock guards everything below.
        self._pending: list[tuple[str, bytes]] = []
        self._pending_bytes = 0
        self._spooled: list[Path] = []
        self._current_object: str | None = None
        self._in_flight = 0
        self._batches_of: dict[str, set[str]] = {}
        self._failure: str | None = None
        self._stopping = False
        self._writer = threading.Thread(target=self._write_loop, name="journal", daemon=True)
        self._deleting = ThreadPoolExecutor(max_workers=2, thread_name_prefix="journal-delete")

    def __enter__(self) -> Self:
        self._writer.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._writer.join()
        self._deleting.shutdown(cancel_futures=self._failure is not None)
        self._report_unwritten()

    @property
    def unwritten(self) -> int:
        """Number of payloads that are not in the store yet."""
        with self._wake:
            return len(self._pending) + self._in_flight

    def open(self, batch: str) -> ObjectJournal:
        """Return the journal of a batch: a new one, or the one open from an earlier attempt."""
        if batch not in self._open:
            name = self._storage.location(f"{self._prefix}-*{JOURNAL_SUFFIX}")
            self._open[batch] = ObjectJournal(self, batch, name)
        return self._open[batch]

    def append(self, batch: str, payloads: tuple[bytes, ...]) -> None:
        """Append payloads of a batch; see `ObjectJournal.append`."""
        with self._wake:
            self._pending.extend((batch, payload) for payload in payloads)
            self._pending_bytes += sum(map(len, payloads))
            self._spool.append(payloads)
            if self._pending_bytes >= GROUP_BYTES:
                self._wake.notify()

    def discard(self, batch: str) -> None:
        """Drop the records of a batch whose outcomes are committed."""
        with self._wake:
            del self._open[batch]
            self._pending = [record for record in self._pending if record[0] != batch]
            self._pending_bytes = sum(len(payload) for _, payload in self._pending)
            for name, batches in list(self._batches_of.items()):
                batches.discard(batch)
                self._delete_if_committed(name)

    def _write_loop(self) -> None:
        while True:
            with self._wake:
                pause_s = SYNC_EVERY_S if self._failure is None else _RETRY_S
                self._wake.wait_for(self._is_due, pause_s)
                stopping = self._stopping
            # If the store has just failed despite all retries, do not wait for it once more.
            if not (stopping and self._failure):
                self._commit_group()
            if stopping:
                return

    def _is_due(self) -> bool:
        return self._stopping or (self._failure is None and self._pending_bytes >= GROUP_BYTES)

    def _commit_group(self) -> None:
        """Write the pending records as one object; if that fails, they stay pending."""
        with self._wake:
            group, self._pending, self._pending_bytes = self._pending, [], 0
            self._in_flight = len(group)
            self._spooled += self._spool.rotate()
            spooled = list(self._spooled)
            name = f"{self._prefix}-{next(self._numbers):06d}{JOURNAL_SUFFIX}" if group else None
            self._current_object = name
            if name:
                # Recorded before the write, since even a write that fails may create the object.
                self._batches_of[name] = {batch for batch, _ in group}
        failure = self._try_write(name, [payload for _, payload in group])
        with self._wake:
            self._current_object = None
            self._in_flight = 0
            if failure:
                uncommitted = [record for record in group if record[0] in self._open]
                self._pending[:0] = uncommitted
                self._pending_bytes += sum(len(payload) for _, payload in uncommitted)
            else:
                self._spooled = self._spooled[len(spooled) :]
            previous_failure, self._failure = self._failure, failure
            if name:
                self._delete_if_committed(name)
        if failure and not previous_failure:
            self.on_write_failure(failure)
        if not failure:
            for path in spooled:
                path.unlink(missing_ok=True)

    def _try_write(self, name: str | None, payloads: list[bytes]) -> str | None:
        """Write an object, if there is a name; return an error message if that fails."""
        try:
            if name:
                self._storage.write(name, MAGIC + encode_records(payloads))
        except Exception as error:
            # This thread must not end on any error: the records stay pending, and the run is
            # notified.
            logger.debug("%s", name, exc_info=True)
            return str(error) or repr(error)
        return None

    def _delete_if_committed(self, name: str) -> None:
        if not self._batches_of[name] and name != self._current_object:
            del self._batches_of[name]
            self._deleting.submit(self._delete, name)

    def _delete(self, name: str) -> None:
        try:
            self._storage.delete(name)
        except Exception as error:
            # Its records are committed; the next run will notice that and delete it.
            logger.debug("%s: not deleted (%s)", name, error)

    def _report_unwritten(self) -> None:
        with self._wake:
            unwritten = len(self._pending)
            self._spooled += self._spool.rotate()
            if not unwritten:
                for path in self._spooled:
                    path.unlink(missing_ok=True)
                self._spool.remove_if_empty()
            elif self._spool.failed:
                logger.error(
                    "%s: %d answers could not be written (%s); those not in the table yet will be "
                    "requested again",
                    self._storage.root,
                    unwritten,
                    self._failure,
                )
            else:
                logger.warning(
                    "%s: %d answers are kept in %s, since the lake could not be written (%s); the "
                    "next run on this machine recovers them",
                    self._storage.root,
                    unwritten,
                    self._spool.folder,
                    self._failure,
                )
