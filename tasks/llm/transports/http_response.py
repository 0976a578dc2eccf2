"""The outcome of an HTTP request: a response with lazily decoded headers, or an error."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final, Literal

MAX_BODY_BYTES: Final = 16 << 20
"""Limit on a body, compressed or not; a chat completion has a few thousand bytes."""

_AUTO_WBITS: Final = 47
"""zlib's window bits for detecting gzip or zlib by the header."""
_RAW_WBITS: Final = -15
"""zlib's window bits for deflate without a header, which some servers send as ``deflate``."""

Fault = Literal["connect", "connection", "timeout", "truncated", "too_large"]


class HttpError(Exception):
    """A request without a complete response.

    Attributes:
        fault: ``connect`` (no connection could be opened), ``connection`` (it was lost, or the
            response is not HTTP), ``timeout``, ``truncated`` (incomplete body) or ``too_large``.
        message: A description, which may contain text that the server sent.
    """

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.message = message


class Response:
    """A complete response; ``body`` is decompressed.

    Args:
        status: The HTTP status.
        fields: The raw header fields by lower-case name; of repeated fields, the first.
        body: The raw body.

    Raises:
        HttpError: The body cannot be decompressed, or is then too large.
    """

    __slots__ = ("_fields", "body", "status")

    def __init__(self, status: int, fields: Mapping[bytes, bytes], body: bytes) -> None:
        self.status = status
        self._fields = fields
        encoding = fields.get(b"content-encoding")
        self.body = _decode_body(body, encoding.decode(errors="replace")) if encoding else body

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
        """Return whether the name of any header contains a word (in lower case)."""
        return word in b" ".join(self._fields)


def _decode_body(body: bytes, encoding: str) -> bytes:
    """Undo the Content-Encoding; none is requested, but some proxies compress nevertheless."""
    for name in reversed([part.strip().lower() for part in encoding.split(",")]):
        if name in ("gzip", "x-gzip", "deflate") and body:
            body = _decompress(body)
        elif name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise HttpError(
                "connection", f"the response is compressed with {name}, which was not requested"
            )
    return body


def _decompress(compressed: bytes) -> bytes:
    """Decompress all members of a gzip file, or a deflate stream, up to `MAX_BODY_BYTES`."""
    body = bytearray()
    try:
        while compressed:
            decompressor = _decompressor(compressed)
            body += decompressor.decompress(compressed, MAX_BODY_BYTES + 1 - len(body))
            if len(body) > MAX_BODY_BYTES:
                raise HttpError("too_large", too_large_message())
            if not decompressor.eof:
                raise HttpError("truncated", "the compressed response was cut short")
            compressed = decompressor.unused_data
    except zlib.error:
        raise HttpError("truncated", "the compressed response is malformed") from None
    return bytes(body)


def _decompressor(compressed: bytes) -> zlib._Decompress:
    # Two bytes distinguish zlib and gzip (RFC 1950, 1952) from raw deflate (RFC 1951).
    is_gzip = compressed[:2] == b"\x1f\x8b"
    is_zlib = compressed[0] & 15 == 8 and int.from_bytes(compressed[:2], "big") % 31 == 0
    return zlib.decompressobj(_AUTO_WBITS if is_gzip or is_zlib else _RAW_WBITS)


def too_large_message() -> str:
    """Return the message of an error for a body over the limit."""
    return f"the response is over {MAX_BODY_BYTES >> 20} MiB"
