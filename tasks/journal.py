"""Journals: every outcome on disk the moment it arrives, until its part is committed.

Records are written with a system call as they come, so a killed process loses none of them; a
thread makes them durable a few times a second, so a power cut loses at most ``SYNC_EVERY_S``.

File format: the 8 bytes ``AFJRNL01``, then records of a 4-byte length, a 4-byte CRC-32 of the
length and the payload (both little-endian), and the payload. Reading stops at the first record
that is cut or damaged: what is behind it cannot be trusted to begin where it seems to. The CRC
takes in the length, so that the zeros that a power cut can leave at the end are no record.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)

SYNC_EVERY_S = 0.25
_MAGIC = b"AFJRNL01"
_FRAME = struct.Struct("<II")
_LENGTH = struct.Struct("<I")


class Journal:
    """One append-only file of payloads; one that is there already is gone on with.

    Raises:
        OSError: the file cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dirty = False
        self._closed = False
        # Two locks, so that the event loop that appends never waits for a sync to end.
        self._appending = threading.Lock()
        self._syncing = threading.Lock()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        # Nothing can be read behind a record that is cut, so nothing may be written there.
        self._size = _readable_bytes(path)
        os.ftruncate(self._descriptor, self._size)
        if self._size == 0:
            self._write(_MAGIC)

    def append(self, *payloads: bytes) -> None:
        """Write payloads with one system call; on return they survive the death of this process.

        Raises:
            OSError: the disk is full or gone, or the journal is closed; what is written stays
                readable.
        """
        records = b"".join(
            [_FRAME.pack(len(payload), _checksum(payload)) + payload for payload in payloads]
        )
        with self._appending:
            if self._closed:
                raise OSError(f"{self.path}: is closed")
            self._write(records)
        self.dirty = True

    def sync(self) -> None:
        """Make what is written survive a power cut."""
        with self._syncing:
            if self.dirty and not self._closed:
                self.dirty = False
                try:
                    os.fsync(self._descriptor)
                except OSError:
                    self.dirty = True
                    raise

    def close(self, *, discard: bool = False) -> None:
        """Close the file; ``discard`` removes it, once its outcomes are committed."""
        with self._syncing, self._appending:
            if not self._closed:
                self._closed = True
                os.close(self._descriptor)
        if discard:
            self.path.unlink(missing_ok=True)

    def _write(self, records: bytes) -> None:
        """Write records whole or not at all."""
        written = os.write(self._descriptor, records)
        if written < len(records):
            os.ftruncate(self._descriptor, self._size)
            raise OSError(
                f"{self.path}: only {written} of {len(records)} bytes written; disk full?"
            )
        self._size += written


def read_journal(path: Path) -> Iterator[bytes]:
    """The payloads of a journal up to its end or to the first cut or damaged record."""
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size - len(_MAGIC)
        if file.read(len(_MAGIC)) != _MAGIC:
            return
        while len(frame := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum = _FRAME.unpack(frame)
            left -= _FRAME.size + length
            # A damaged length can be 4 GB: it is not even tried.
            if left < 0 or _checksum(payload := file.read(length)) != checksum:
                return
            yield payload


def _checksum(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(len(payload))))


def _readable_bytes(path: Path) -> int:
    """Length of a journal up to its end or to the first cut or damaged record; 0 without any."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return 0
    return len(_MAGIC) + sum(_FRAME.size + len(payload) for payload in read_journal(path))


class JournalFolder:
    """The journals of a run, one a batch, and what earlier runs left beside them.

    As a context manager it runs the thread that syncs them.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.leftovers = sorted(folder.glob("*.journal"))
        self._folder = folder
        self._run = run
        self._open: dict[str, Journal] = {}
        self._ending = threading.Event()
        self._syncing = threading.Thread(target=self._sync_often, name="journal-sync", daemon=True)

    def __enter__(self) -> Self:
        self._syncing.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._syncing.join()
        self._sync_all()
        for journal in list(self._open.values()):
            journal.close()

    def open(self, batch: str) -> Journal:
        """The journal of a batch: a new one, or the one that its earlier try left open."""
        if batch not in self._open:
            self._open[batch] = Journal(self._folder / f"{self._run}-{batch}.journal")
        return self._open[batch]

    def discard(self, batch: str) -> None:
        """Remove a batch's journal: its outcomes are committed."""
        self._open.pop(batch).close(discard=True)

    def discard_leftovers(self) -> None:
        """Remove what earlier runs left: it is committed by now."""
        for path in self.leftovers:
            path.unlink(missing_ok=True)

    def _sync_often(self) -> None:
        while not self._ending.wait(SYNC_EVERY_S):
            self._sync_all()

    def _sync_all(self) -> None:
        for journal in list(self._open.values()):
            try:
                journal.sync()
            except OSError as error:
                # A journal that is no longer durable must not end the syncing of the others.
                logger.warning("%s: not safe from a power cut (%s)", journal.path, error)
