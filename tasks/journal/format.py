"""The file format of journals: framed records with checksums.

The 8 bytes ``AFJRNL01``, then records of a 4-byte length, a 4-byte CRC-32 of length and payload
(both little-endian), and the payload. Reading stops at the first truncated or damaged record, since
the start of any later record is uncertain. The CRC covers the length, so the zeros that a power
failure can leave at the end of a file are not a valid record.
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

_SEARCHED_BYTES = 1 << 20
"""Bytes after an apparently truncated record that are searched for another record: a record with a
damaged length can also seem to end after the file. Takes a third of a second at worst."""


class JournalEnd(Enum):
    """How a journal ends.

    Attributes:
        COMPLETE: After its last record.
        TRUNCATED: Within a record, or with zeros, as usual after a kill or a power failure.
        DAMAGED: A record is corrupt, or other bytes follow.
        FOREIGN: The file is not a journal of this version.
    """

    COMPLETE = "complete"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    FOREIGN = "foreign"


def encode_records(payloads: Iterable[bytes]) -> bytes:
    """Return payloads as records, to be appended to ``MAGIC`` or to other records.

    Example:
        >>> content = MAGIC + encode_records([b"one", b"two"])
        >>> read_journal(content).records
        [b'one', b'two']
        >>> truncated = read_journal(content[:-1])
        >>> truncated.records, truncated.left_out
        ([b'one'], 10)
    """
    return b"".join(
        [_FRAME.pack(len(payload), _checksum(payload)) + payload for payload in payloads]
    )


class JournalContents(NamedTuple):
    """The parsed content of a journal.

    Attributes:
        records: The payloads before the end or the first truncated or damaged record.
        left_out: The number of bytes after these records, without zeros at the end.
        end: How the journal ends.
    """

    records: list[bytes]
    left_out: int
    end: JournalEnd


def read_journal(content: bytes) -> JournalContents:
    """Parse the bytes of a journal."""
    if not content.startswith(MAGIC):
        rest = content.rstrip(b"\0")
        if rest and not MAGIC.startswith(rest):
            return JournalContents([], len(rest), JournalEnd.FOREIGN)
        how = JournalEnd.TRUNCATED if content else JournalEnd.COMPLETE
        return JournalContents([], len(rest), how)
    records: list[bytes] = []
    start, size = len(MAGIC), len(content)
    while start < size:
        end = size + 1
        if start + _FRAME.size <= size:
            length, checksum = _FRAME.unpack_from(content, start)
            end = start + _FRAME.size + length
            payload = content[start + _FRAME.size : end]
            if end <= size and _checksum(payload) == checksum:
                records.append(payload)
                start = end
                continue
        rest = content[start:].rstrip(b"\0")
        is_truncated = start + len(rest) < end and not _contains_record(rest)
        how = JournalEnd.TRUNCATED if is_truncated else JournalEnd.DAMAGED
        return JournalContents(records, len(rest), how)
    return JournalContents(records, 0, JournalEnd.COMPLETE)


def _checksum(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(len(payload))))


def _contains_record(rest: bytes) -> bool:
    """Return whether a complete record starts anywhere after the first byte."""
    for start in range(1, min(len(rest), _SEARCHED_BYTES) - _FRAME.size):
        length, checksum = _FRAME.unpack_from(rest, start)
        payload = start + _FRAME.size
        if length <= len(rest) - payload and (
            _checksum(rest[payload : payload + length]) == checksum
        ):
            return True
    return False
