"""Journals in an object store, which has no append: groups of records, one small object each.

A thread writes what has gathered as one object each ``SYNC_EVERY_S`` or ``GROUP_BYTES``, in the
format of a journal file; the event loop never waits for the store. Until an object is there its
records are in the spool of this machine: a killed process loses nothing where it was, and one
group commit where the machine is gone with it. An object is deleted once every batch that has
records in it is committed.
"""

from __future__ import annotations

import itertools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from article_flows.tasks.journal.format import MAGIC, encode_records
from article_flows.tasks.journal.leftovers import SUFFIX, JournalSet, Leftover
from article_flows.tasks.journal.spool import JournalSpool
from article_flows.tasks.storage.base import Storage

logger = logging.getLogger(__name__)

SYNC_EVERY_S = 0.5
GROUP_BYTES = 256 << 10
_RETRY_S = 5.0
"""Seconds between tries of a store that has failed for longer than its patience."""


class ObjectJournal:
    """The records of one batch; never blocks, never raises."""

    def __init__(self, journals: ObjectJournals, batch: str, name: str) -> None:
        self.name = name
        self._journals = journals
        self._batch = batch

    def append(self, *payloads: bytes) -> None:
        """Keep payloads: at once on this machine's disk, within a group commit in the store."""
        self._journals.append(self._batch, payloads)


class ObjectJournals(JournalSet):
    """The journals of a run in an object store, and what earlier runs left there.

    As a context manager it runs the thread that writes them.

    Args:
        storage: the lake's.
        folder: of the objects.
        run: the run's name.
        spool: the folder of this machine for what the store does not have yet.
        leftovers: what earlier runs left, in the store and in the spool.
    """

    def __init__(
        self, storage: Storage, folder: str, run: str, spool: Path, leftovers: list[Leftover]
    ) -> None:
        super().__init__(leftovers)
        self._storage = storage
        self._prefix = f"{folder}/{run}"
        self._spool = JournalSpool(spool, run)
        self._numbers = itertools.count()
        self._open: dict[str, ObjectJournal] = {}
        self._wake = threading.Condition()
        # All below is of the condition's lock.
        self._waiting: list[tuple[str, bytes]] = []
        self._waiting_bytes = 0
        self._spooled: list[Path] = []
        self._being_written: str | None = None
        self._in_flight = 0
        self._batches_of: dict[str, set[str]] = {}
        self._down: str | None = None
        self._ending = False
        self._writer = threading.Thread(target=self._write_often, name="journal", daemon=True)
        self._deleting = ThreadPoolExecutor(max_workers=2, thread_name_prefix="journal-delete")

    def __enter__(self) -> Self:
        self._writer.start()
        return self

    def __exit__(self, *problem: object) -> None:
        with self._wake:
            self._ending = True
            self._wake.notify()
        self._writer.join()
        self._deleting.shutdown(cancel_futures=self._down is not None)
        self._say_what_is_left()

    @property
    def unsynced(self) -> int:
        """How many payloads the store does not have yet."""
        with self._wake:
            return len(self._waiting) + self._in_flight

    def open(self, batch: str) -> ObjectJournal:
        """The journal of a batch: a new one, or the one that its earlier try left open."""
        if batch not in self._open:
            name = self._storage.location(f"{self._prefix}-*{SUFFIX}")
            self._open[batch] = ObjectJournal(self, batch, name)
        return self._open[batch]

    def append(self, batch: str, payloads: tuple[bytes, ...]) -> None:
        """Keep payloads of a batch; see `ObjectJournal.append`."""
        with self._wake:
            self._waiting.extend((batch, payload) for payload in payloads)
            self._waiting_bytes += sum(map(len, payloads))
            self._spool.append(payloads)
            if self._waiting_bytes >= GROUP_BYTES:
                self._wake.notify()

    def discard(self, batch: str) -> None:
        """Forget a batch's records: its outcomes are committed."""
        with self._wake:
            del self._open[batch]
            self._waiting = [record for record in self._waiting if record[0] != batch]
            self._waiting_bytes = sum(len(payload) for _, payload in self._waiting)
            for name, batches in list(self._batches_of.items()):
                batches.discard(batch)
                self._delete_if_done(name)

    def _write_often(self) -> None:
        while True:
            with self._wake:
                pause = SYNC_EVERY_S if self._down is None else _RETRY_S
                self._wake.wait_for(self._is_due, pause)
                ending = self._ending
            # A store that has just been away for longer than its patience is not waited for again.
            if not (ending and self._down):
                self._write_group()
            if ending:
                return

    def _is_due(self) -> bool:
        return self._ending or (self._down is None and self._waiting_bytes >= GROUP_BYTES)

    def _write_group(self) -> None:
        """Write what waits as one object; what cannot be written waits on."""
        with self._wake:
            group, self._waiting, self._waiting_bytes = self._waiting, [], 0
            self._in_flight = len(group)
            self._spooled += self._spool.cut()
            in_spool = list(self._spooled)
            name = f"{self._prefix}-{next(self._numbers):06d}{SUFFIX}" if group else None
            self._being_written = name
            if name:
                # Also one whose writing has failed may be there.
                self._batches_of[name] = {batch for batch, _ in group}
        problem = self._problem_of_writing(name, [payload for _, payload in group])
        with self._wake:
            self._being_written = None
            self._in_flight = 0
            if problem:
                again = [record for record in group if record[0] in self._open]
                self._waiting[:0] = again
                self._waiting_bytes += sum(len(payload) for _, payload in again)
            else:
                self._spooled = self._spooled[len(in_spool) :]
            was_down, self._down = self._down, problem
            if name:
                self._delete_if_done(name)
        if problem and not was_down:
            self.on_trouble(problem)
        if not problem:
            for path in in_spool:
                path.unlink(missing_ok=True)

    def _problem_of_writing(self, name: str | None, payloads: list[bytes]) -> str | None:
        try:
            if name:
                self._storage.write(name, MAGIC + encode_records(payloads))
        except Exception as error:
            # Whatever it is, the records are kept and the run is told: this thread must not end.
            logger.debug("%s", name, exc_info=True)
            return str(error) or repr(error)
        return None

    def _delete_if_done(self, name: str) -> None:
        if not self._batches_of[name] and name != self._being_written:
            del self._batches_of[name]
            self._deleting.submit(self._delete, name)

    def _delete(self, name: str) -> None:
        try:
            self._storage.delete(name)
        except Exception as error:
            # What is in it is committed: the next run finds that out, and removes it.
            logger.debug("%s: not removed (%s)", name, error)

    def _say_what_is_left(self) -> None:
        with self._wake:
            left = len(self._waiting)
            self._spooled += self._spool.cut()
            if not left:
                for path in self._spooled:
                    path.unlink(missing_ok=True)
                self._spool.tidy()
            elif self._spool.broken:
                logger.error(
                    "%s: %d answers could not be written (%s); those that are in no part of the "
                    "table are asked for again",
                    self._storage.root,
                    left,
                    self._down,
                )
            else:
                logger.warning(
                    "%s: %d answers are kept in %s, since the lake could not be written (%s); the "
                    "next run on this machine takes them in",
                    self._storage.root,
                    left,
                    self._spool.folder,
                    self._down,
                )
