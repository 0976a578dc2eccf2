"""The bytes of a journal: how records are framed, and what stands at the end of them.

The 8 bytes ``AFJRNL01``, then records of a 4-byte length, a 4-byte CRC-32 of the length and the
payload (both little-endian), and the payload. Reading stops at the first record that is cut or
damaged: what is behind it cannot be trusted to begin where it seems to. The CRC takes in the
length, so that the zeros that a power cut can leave at the end are no record.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

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


class JournalContents(NamedTuple):
    """What a journal holds.

    Attributes:
        records: its payloads, up to its end or to the first cut or damaged record.
        left_out: bytes behind them that are no zeros at the end.
        end: how it ends.
    """

    records: list[bytes]
    left_out: int
    end: End


def read_journal(content: bytes) -> JournalContents:
    """Read the bytes of a journal, from its beginning."""
    if not content.startswith(MAGIC):
        rest = content.rstrip(b"\0")
        if rest and not MAGIC.startswith(rest):
            return JournalContents([], len(rest), End.FOREIGN)
        return JournalContents([], len(rest), End.CUT if content else End.WHOLE)
    records: list[bytes] = []
    start, size = len(MAGIC), len(content)
    while start < size:
        ends = size + 1
        if start + _FRAME.size <= size:
            length, checksum = _FRAME.unpack_from(content, start)
            ends = start + _FRAME.size + length
            payload = content[start + _FRAME.size : ends]
            if ends <= size and _checksum(payload) == checksum:
                records.append(payload)
                start = ends
                continue
        rest = content[start:].rstrip(b"\0")
        cut = start + len(rest) < ends and not _holds_a_record(rest)
        return JournalContents(records, len(rest), End.CUT if cut else End.DAMAGED)
    return JournalContents(records, 0, End.WHOLE)


def _checksum(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(len(payload))))


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
