"""Text files of any origin: which encoding they are in, and their lines within bounded memory."""

import codecs
import re
from collections.abc import Callable, Iterator
from typing import AnyStr, BinaryIO

from charset_normalizer import from_bytes

from tasks.errors import UserError

MAX_LINE = 64 << 20
"""The longest line taken, in bytes or characters; no article comes near it."""
_SAMPLE = 256 << 10
_SKIP = 1 << 20
_BOMS = (
    # UTF-32's little-endian mark starts with UTF-16's: it has to come first.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The encoding that files really use for each one that a detector names (as WHATWG's table has it).
_SUPERSETS = {
    "ascii": "cp1252",
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "hz": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
_ESCAPED = re.compile("[\udc80-\udcff]")
_NOT_ASCII = re.compile("[^\x00-\x7f]")


def bom_encoding(head: bytes) -> str | None:
    """Return the encoding that a byte order mark at the start of `head` announces, if any."""
    return next((name for mark, name in _BOMS if head.startswith(mark)), None)


def text_encoding(file: BinaryIO, name: str) -> str:
    """Return the encoding of an open text file, which is left at its start.

    A byte order mark decides; then UTF-8, if nearly all that is not ASCII decodes; then
    charset-normalizer. Raises UserError if none of them can tell.
    """
    sample = file.read(_SAMPLE)
    encoding = bom_encoding(sample)
    while encoding is None and sample.isascii():
        more = file.read(_SKIP)
        if not more:
            encoding = "utf-8"
        sample = sample[sample.rfind(b"\n") + 1 :][-_SAMPLE:] + more
    if encoding is None:
        encoding = _encoding_of(sample, name)
    file.seek(0)
    return encoding


def _encoding_of(sample: bytes, name: str) -> str:
    """Tell the encoding of bytes that are not all ASCII; the ends may cut a character."""
    text = sample.decode("utf-8", errors="surrogateescape")
    bad = len(_ESCAPED.findall(text))
    good = len(_NOT_ASCII.findall(text)) - bad
    if bad <= max(3, good // 10) and good >= bad:
        return "utf-8"
    first = next(index for index, byte in enumerate(sample) if byte > 0x7F)
    piece = sample[max(0, first - 4096) :][:_SAMPLE]
    last_line_end = piece.rfind(b"\n")
    if last_line_end > first:
        piece = piece[:last_line_end]
    # charset-normalizer gives up on a sample that ends within a character.
    for cut in range(4):
        best = from_bytes(piece[: len(piece) - cut]).best()
        if best is not None:
            return _SUPERSETS.get(best.encoding, best.encoding)
    raise UserError(f"{name}: its encoding cannot be told; save it as UTF-8 and try again")


def without_surrogates(text: str) -> str:
    """Replace each lone surrogate, which UTF-8 cannot hold, by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def bounded_lines(
    readline: Callable[[int], AnyStr], ends: tuple[AnyStr, ...], limit: int = MAX_LINE
) -> Iterator[tuple[AnyStr, bool]]:
    """Yield (line, whole): a line over `limit` comes cut and False; the rest of it is skipped.

    `readline` is that of a binary or text file, `ends` what a line may end in. Never more than
    `limit` is in memory.
    """
    while line := readline(limit + 1):
        if len(line) <= limit or line.endswith(ends):
            yield line, True
            continue
        yield line, False
        while (piece := readline(_SKIP)) and not piece.endswith(ends):
            pass
