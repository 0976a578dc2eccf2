"""Bytes that can only be streamed, as a file: unpacked or fetched piece by piece."""

from __future__ import annotations

import errno
import io
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from article_flows.tasks.common.errors import UserError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PIECE_BYTES = 256 << 10
"""About how much is unpacked at once."""
MIN_FREE_BYTES = 512 << 20
"""Temporary copies leave so much of their disk free: other programs want to live as well."""

_WHOLE_BYTES = 16 << 20
"""Who asks for more at once wants the whole file, not its next part."""
_CHECKED_BYTES = 32 << 20
"""Bytes between two looks at how much of the disk is free."""

Pieces = Callable[[BinaryIO], Iterator[bytes]]
"""Makes the bytes of a stream, in pieces, from those of a file that stands at its start."""


class StreamedFile(io.BufferedReader):
    """A file to read whose bytes are made on the way; ``seek(0)`` begins anew.

    When the making fails, what came before it is given out first. A reader that asks for part
    after part gets a short part, then the error; who reads it whole, or by lines, gets the error
    instead of a file or line that was cut.

    Args:
        parent: what the bytes are made from; closed with this one.
        pieces: makes them.
    """

    def __init__(self, parent: BinaryIO, pieces: Pieces) -> None:
        self._pieces = _Pieces(parent, pieces)
        super().__init__(self._pieces, PIECE_BYTES)

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, or what is left."""
        data = super().read(size)
        wanted = -1 if size is None else size
        if wanted < 0 or (len(data) < wanted and (not data or wanted > _WHOLE_BYTES)):
            self._pieces.fail()
        return data

    def read1(self, size: int = -1) -> bytes:
        """Some bytes; none at the end only."""
        data = super().read1(size)
        if not data and size:
            self._pieces.fail()
        return data

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer, or as much of it as there is for."""
        count = super().readinto(buffer)
        if not count:
            self._pieces.fail()
        return count

    def readline(self, size: int | None = -1) -> bytes:
        """The next line."""
        wanted = -1 if size is None else size
        line = super().readline(wanted)
        if not line.endswith(b"\n") and (wanted < 0 or len(line) < wanted):
            self._pieces.fail()
        return line


class _Pieces(io.RawIOBase):
    """The pieces one after the other; a failure ends them, and `fail` raises it."""

    def __init__(self, parent: BinaryIO, pieces: Pieces) -> None:
        self._parent = parent
        self._make = pieces
        self._start()

    def _start(self) -> None:
        self._iterator = self._make(self._parent)
        self._piece = memoryview(b"")
        self._position = 0
        self._failure: Exception | None = None

    def fail(self) -> None:
        if self._failure is not None:
            raise self._failure

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = offset + (self._position if whence == io.SEEK_CUR else 0)
        if whence == io.SEEK_END or target not in (0, self._position):
            raise io.UnsupportedOperation("a stream goes back to its start only")
        if target != self._position:
            self._parent.seek(0)
            self._start()
        return target

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        while not self._piece and self._failure is None:
            try:
                piece = next(self._iterator, None)
            except Exception as error:
                self._failure = error
                return 0
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        count = min(len(view), len(self._piece))
        view[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        self._position += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._parent.close()
        super().close()


class Readable(Protocol):
    """All that `as_is` needs of a file."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, none at the end."""


def as_is(file: Readable) -> Iterator[bytes]:
    """The bytes of a file as they are."""
    while piece := file.read(PIECE_BYTES):
        yield piece


def temporary_file() -> BinaryIO:
    """A file without a name, which goes with its handle.

    Raises:
        UserError: there is no folder for it.
    """
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise UserError(f"no temporary file can be made ({error.strerror}); set TMPDIR") from error


class Spool:
    """A file whose writes leave its disk some room; all else is the file's own."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._unchecked = _CHECKED_BYTES

    def write(self, data: bytes) -> int:
        """Write all of it; raises UserError, which names TMPDIR, when the disk is about full."""
        self._unchecked += len(data)
        if self._unchecked >= _CHECKED_BYTES:
            self._unchecked = 0
            if shutil.disk_usage(tempfile.gettempdir()).free < MIN_FREE_BYTES + len(data):
                raise self._full()
        try:
            return self._file.write(data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise self._full() from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def _full(self) -> UserError:
        return UserError(
            f"{self._name}: {tempfile.gettempdir()} has no room for a copy of it to work on; "
            "free some, or set TMPDIR to a larger disk"
        )


def spooled(file: BinaryIO, name: str) -> BinaryIO:
    """Copy a file, from where it stands, to a temporary one; give that, at its start.

    Raises:
        UserError: the temporary disk is full, or reading says so.
        OSError: reading fails.
    """
    copy = temporary_file()
    try:
        shutil.copyfileobj(file, Spool(copy, name), PIECE_BYTES)
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return copy


class Inflater:
    """The same for zlib; ``wbits`` as there: 31 for gzip, -15 for what is in a ZIP archive."""

    def __init__(self, wbits: int) -> None:
        self._inflate = zlib.decompressobj(wbits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """Whether the member is complete."""
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        """What came behind the member."""
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Give at most so many bytes."""
        piece = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self.needs_input = not self._inflate.unconsumed_tail and len(piece) < max_length
        return piece
