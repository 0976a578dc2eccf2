"""Journals: every outcome on disk the moment it arrives, until its part is committed.

A record is written with one system call as it comes, so a killed process loses none of them; a
thread makes them durable a few times a second, so a power cut loses at most ``SYNC_EVERY_S``.

File format: the 8 bytes ``AFJRNL01``, then records of a 4-byte length, a 4-byte CRC-32 of the
payload (both little-endian) and the payload. Reading stops at the first record that is cut or
damaged: what is behind it cannot be trusted to begin where it seems to.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

SYNC_EVERY_S = 0.25
_MAGIC = b"AFJRNL01"
_FRAME = struct.Struct("<II")


class Journal:
    """One append-only file of payloads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dirty = False
        self._closed = False
        # Two locks, so that the event loop that appends never waits for a sync to end.
        self._appending = threading.Lock()
        self._syncing = threading.Lock()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if os.fstat(self._descriptor).st_size == 0:
            os.write(self._descriptor, _MAGIC)

    def append(self, payload: bytes) -> None:
        """Write one payload; on return it survives the death of this process.

        Raises:
            OSError: the disk is full or gone, or the journal is closed; what is written stays
                readable.
        """
        record = _FRAME.pack(len(payload), zlib.crc32(payload)) + payload
        with self._appending:
            if self._closed:
                raise OSError(f"{self.path}: is closed")
            written = os.write(self._descriptor, record)
        if written < len(record):
            raise OSError(f"{self.path}: only {written} of {len(record)} bytes written; disk full?")
        self.dirty = True

    def sync(self) -> None:
        """Make what is written survive a power cut."""
        with self._syncing:
            if self.dirty and not self._closed:
                self.dirty = False
                os.fsync(self._descriptor)

    def close(self, *, discard: bool = False) -> None:
        """Close the file; ``discard`` removes it, once its outcomes are committed."""
        with self._syncing, self._appending:
            if not self._closed:
                self._closed = True
                os.close(self._descriptor)
        if discard:
            self.path.unlink(missing_ok=True)


def read_journal(path: Path) -> Iterator[bytes]:
    """The payloads of a journal up to its end or to the first cut or damaged record."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return
        while len(frame := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum = _FRAME.unpack(frame)
            payload = file.read(length)
            if len(payload) < length or zlib.crc32(payload) != checksum:
                return
            yield payload


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
        for journal in list(self._open.values()):
            journal.sync()
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
            for journal in list(self._open.values()):
                journal.sync()
