"""The bytes of a text file as UTF-8, whatever its encoding: by blocks and by lines."""

import codecs
from collections.abc import Callable
from typing import BinaryIO

MAX_LINE = 16 << 20
"""The longest line of a CSV file, in bytes of UTF-8: three times the longest of articles."""
BLOCK = 4 << 20
"""Bytes that are read at a time: 1,300 articles or so; four or five blocks are in memory."""
CUT = 8_000
"""How much of a line over MAX_LINE is kept, in bytes."""


class CutLine(str):
    """The start of a line over MAX_LINE, whose rest has been skipped."""

    __slots__ = ()


def utf8_of(file: BinaryIO, encoding: str) -> tuple[Callable[[int], bytes], str]:
    """Return what reads a file as UTF-8 without a byte order mark, and how to decode that.

    The second is the error handler for `bytes.decode`. Bytes that are wrong in the file's
    encoding are wrong in the UTF-8 too, so that they spoil their row and nothing else; UTF-16 and
    UTF-32 have U+FFFD instead, as their decoders cannot let anything through.
    """
    codec = codecs.lookup(encoding).name
    if codec in ("utf-8", "utf-8-sig", "ascii"):
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        return file.read, "surrogateescape"
    errors = "replace" if codec.startswith(("utf-16", "utf-32")) else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    first = True

    def read(size: int) -> bytes:
        nonlocal first
        while True:
            data = file.read(size)
            text = decoder.decode(data, not data)
            if first and text:
                text, first = text.removeprefix("\ufeff"), False
            if text or not data:
                # As three bytes each, the escaped ones cannot join to a character by chance.
                return text.encode("utf-8", "surrogatepass")

    return read, "surrogatepass"


class ByteBuffer:
    """A stream of UTF-8 with a place in it, up to which it has been used.

    Attributes:
        data: what is in memory; from `at` on it has not been used yet.
        ended: the last byte of the stream is in `data`.
    """

    def __init__(self, read: Callable[[int], bytes], errors: str) -> None:
        self.data = b""
        self.at = 0
        self.ended = False
        self._read = read
        self._errors = errors
        self._dropped = 0
        self._newline = self._return = -1

    @property
    def offset(self) -> int:
        """Bytes of the stream that have been used."""
        return self._dropped + self.at

    @property
    def left(self) -> int:
        """Bytes in memory that have not been used."""
        return len(self.data) - self.at

    def fill(self, size: int) -> None:
        """Have at least `size` unused bytes in memory, or all that are left."""
        missing = size - self.left
        if missing <= 0 or self.ended:
            return
        pieces = [self.data[self.at :]]
        while missing > 0 and not self.ended:
            piece = self._read(missing)
            self.ended = not piece
            pieces.append(piece)
            missing -= len(piece)
        self._dropped += self.at
        self.data, self.at = b"".join(pieces), 0
        self._newline = self._return = -1

    def line(self) -> str:
        r"""Use the next line, with its end (\n, \r\n or \r); empty at the end of the stream.

        A line over MAX_LINE comes as a `CutLine`.
        """
        while (end := self._line_end()) < 0:
            if self.ended:
                end = len(self.data)
                break
            if self.left > MAX_LINE:
                return self._cut()
            self.fill(max(2 * self.left, BLOCK))
        if end - self.at > MAX_LINE:
            return self._cut()
        line, self.at = self.data[self.at : end], end
        return line.decode("utf-8", self._errors)

    def _cut(self) -> CutLine:
        start = self.data[self.at : self.at + CUT].decode("utf-8", "replace")
        while (end := self._line_end()) < 0 and not self.ended:
            # A \r at the end may be half a line end.
            self.at = len(self.data) - self.data.endswith(b"\r")
            self.fill(BLOCK)
        self.at = len(self.data) if end < 0 else end
        return CutLine(start)

    def _line_end(self) -> int:
        """Where the line at hand ends in `data`; -1 if that is not in memory yet."""
        data, size = self.data, len(self.data)
        if self._newline < self.at:
            self._newline = data.find(b"\n", self.at) % (size + 1)
        if self._return < self.at:
            self._return = data.find(b"\r", self.at) % (size + 1)
        if self._newline < self._return:
            return self._newline + 1
        if self._return == size or (self._return + 1 == size and not self.ended):
            return -1
        return self._return + 1 + (data[self._return + 1 : self._return + 2] == b"\n")
