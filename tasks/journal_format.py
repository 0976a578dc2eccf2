"""The bytes of a journal: how records are framed, and what stands at the end of them.

The 8 bytes ``AFJRNL01``, then records of a 4-byte length, a 4-byte CRC-32 of the length and the
payload (both little-endian), and the payload. Reading stops at the first record that is cut or
damaged: what is behind it cannot be trusted to begin where it seems to. The CRC takes in the
length, so that the zeros that a power cut can leave at the end are no record.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from enum import Enum
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

MAGIC = b"AFJRNL01"
_FRAME = struct.Struct("<II")
_LENGTH = struct.Struct("<I")

_LOOKED_THROUGH = 1 << 20
"""Bytes behind a record that seems cut in which another one is looked for: one whose length is
damaged reaches past the end, too. A third of a second in the worst case."""


class End(Enum):
    """How a journal ends.

    WHOLE: behind its last record. CUT: within a record, or in zeros: the usual end after a kill
    or a power cut. DAMAGED: something else follows, or the record is there and is not what was
    written. FOREIGN: it is not a journal of this version at all.
    """

    WHOLE = "whole"
    CUT = "cut"
    DAMAGED = "damaged"
    FOREIGN = "foreign"


def encode_records(payloads: Iterable[bytes]) -> bytes:
    """Payloads as records, to be written behind ``MAGIC`` or behind other records."""
    return b"".join(
        [_FRAME.pack(len(payload), _checksum(payload)) + payload for payload in payloads]
    )


class JournalReader:
    """The records of an open journal, from its beginning, and what was found behind them.

    Attributes:
        readable: bytes up to the end of the last record read, the magic among them.
        left_out: bytes behind them that are no zeros at the end; known when all are read.
        end: how the journal ends; known when all are read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.readable = 0
        self.left_out = 0
        self.end = End.WHOLE
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        file = self._file
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(len(MAGIC))
        if head != MAGIC:
            self._end_without_magic(head)
            return
        self.readable = len(MAGIC)
        while len(frame := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum = _FRAME.unpack(frame)
            ends = self.readable + _FRAME.size + length
            # A damaged length can be 4 GB: it is not even tried.
            if ends > size or _checksum(payload := file.read(length)) != checksum:
                self._end_at_bad_record(ends)
                return
            self.readable = ends
            yield payload
        if frame:
            self._end_at_bad_record(size + 1)

    def _end_without_magic(self, head: bytes) -> None:
        rest = _without_zeros(head + self._file.read())
        self.left_out = len(rest)
        if rest and not MAGIC.startswith(rest):
            self.end = End.FOREIGN
        elif head:
            self.end = End.CUT

    def _end_at_bad_record(self, ends: int) -> None:
        self._file.seek(self.readable)
        rest = _without_zeros(self._file.read())
        self.left_out = len(rest)
        cut = self.readable + len(rest) < ends and not _holds_a_record(rest)
        self.end = End.CUT if cut else End.DAMAGED


def examine(path: Path) -> JournalReader:
    """Read a journal file through for its ``readable``, ``left_out`` and ``end``."""
    with path.open("rb") as file:
        reader = JournalReader(file)
        for _ in reader:
            pass
        return reader


def examine_bytes(content: bytes) -> JournalReader:
    """As examine, for a journal in memory."""
    reader = JournalReader(BytesIO(content))
    for _ in reader:
        pass
    return reader


def _checksum(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(len(payload))))


def _without_zeros(content: bytes) -> bytes:
    return content.rstrip(b"\0")


def _holds_a_record(rest: bytes) -> bool:
    """Whether a whole record begins anywhere behind the first byte."""
    for start in range(1, min(len(rest), _LOOKED_THROUGH) - _FRAME.size):
        length, checksum = _FRAME.unpack_from(rest, start)
        payload = start + _FRAME.size
        if length <= len(rest) - payload and (
            _checksum(rest[payload : payload + length]) == checksum
        ):
            return True
    return False
