"""What an HTTP exchange ends with: a response, whose headers are decoded only if asked for."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final, Literal

LARGEST_BODY: Final = 16 << 20
"""Bytes of a body, packed or unpacked; a chat completion has some thousand."""

_AUTO_WBITS: Final = 47
"""zlib's window bits for "gzip or zlib, whichever the header says"."""
_RAW_WBITS: Final = -15
"""The same for deflate without a header, which some servers send as ``deflate``."""

Fault = Literal["connect", "connection", "timeout", "truncated", "too_large"]


class HttpError(Exception):
    """An exchange without a response.

    Attributes:
        fault: ``connect`` (none could be opened), ``connection`` (it broke, or what came is not
            HTTP), ``timeout``, ``truncated`` (the body is not whole) or ``too_large``.
        message: in words; may repeat what the server sent.
    """

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.message = message


class Response:
    """Status, headers and whole body of an answer; ``body`` is unpacked.

    Args:
        status: the HTTP status.
        fields: the header fields by lower-case name, as they came; of one sent twice, the first.
        body: as it came.

    Raises:
        HttpError: the body cannot be unpacked, or is too large when it is.
    """

    __slots__ = ("_fields", "body", "status")

    def __init__(self, status: int, fields: Mapping[bytes, bytes], body: bytes) -> None:
        self.status = status
        self._fields = fields
        encoding = fields.get(b"content-encoding")
        self.body = _unpacked(body, encoding.decode(errors="replace")) if encoding else body

    def __repr__(self) -> str:
        return f"<Response {self.status}, {len(self.body)} bytes>"

    @property
    def headers(self) -> dict[str, str]:
        """All headers by lower-case name; bytes that are not UTF-8 are replaced."""
        return {
            name.decode(errors="replace"): value.strip().decode(errors="replace")
            for name, value in self._fields.items()
        }

    def mentions(self, word: bytes) -> bool:
        """Whether the name of a header holds a word (in lower case)."""
        return word in b" ".join(self._fields)


def _unpacked(body: bytes, encoding: str) -> bytes:
    """The body without its Content-Encoding (we ask for none; some proxies pack all the same)."""
    for name in reversed([part.strip().lower() for part in encoding.split(",")]):
        if name in ("gzip", "x-gzip", "deflate") and body:
            body = _inflated(body)
        elif name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise HttpError("connection", f"the answer is packed as {name}, which nobody asked for")
    return body


def _inflated(packed: bytes) -> bytes:
    """Every member of a gzip file, or one deflate stream, up to the largest body there may be."""
    unpacked = bytearray()
    try:
        while packed:
            inflater, rest = _start(packed)
            unpacked += inflater.decompress(rest, LARGEST_BODY + 1 - len(unpacked))
            if len(unpacked) > LARGEST_BODY:
                raise HttpError("too_large", too_large())
            if not inflater.eof:
                raise HttpError("truncated", "the packed answer broke off")
            packed = inflater.unused_data
    except zlib.error:
        raise HttpError("truncated", "the packed answer is garbled") from None
    return bytes(unpacked)


def _start(packed: bytes) -> tuple[zlib._Decompress, bytes]:
    """A decompressor that fits how the data starts, and the data."""
    # Two bytes tell zlib's and gzip's headers (RFC 1950, 1952) from raw deflate (RFC 1951).
    gzip = packed[:2] == b"\x1f\x8b"
    zlib_header = packed[0] & 15 == 8 and int.from_bytes(packed[:2], "big") % 31 == 0
    return zlib.decompressobj(_AUTO_WBITS if gzip or zlib_header else _RAW_WBITS), packed


def too_large() -> str:
    """What is said of a body over the bound."""
    return f"the answer is over {LARGEST_BODY >> 20} MiB"
