"""Detect the encoding of text files, and read their text and lines within bounded memory."""

import codecs
from collections.abc import Callable, Iterator
from typing import AnyStr, BinaryIO

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.encoding_guess import guess_encoding, is_iso_2022_jp
from article_flows.tasks.reading.base.rows import Source

MAX_TEXT_BYTES = 64 << 20
"""The largest file that is read as one text, in bytes; real articles are far smaller."""
_SAMPLE_BYTES = 256 << 10
_SKIP_BYTES = 1 << 20
_BLOCK_BYTES = 256 << 10
_WIDE_SAMPLE_BYTES = 4 << 10
_BOMS = (
    # UTF-32-LE's mark starts with UTF-16-LE's, so UTF-32 has to come first.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SUPERSETS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
"""Python's names of East Asian encodings to the supersets that files labeled so really use.

As in https://encoding.spec.whatwg.org/#names-and-labels.
"""
_BLANKS = "\t\r\n\xa0\u3000"
_BOM_CHARACTER = "\ufeff"


def bom_encoding(head: bytes) -> str | None:
    """Return the encoding that a byte order mark at the start of `head` indicates, if any.

    UTF-16 and UTF-32 without a mark are recognized by the positions of their NUL bytes.
    """
    return next((name for mark, name in _BOMS if head.startswith(mark)), None) or _utf16_or_32(head)


def _utf16_or_32(head: bytes) -> str | None:
    """Recognize UTF-16 and UTF-32 by the NULs in the upper bytes of ASCII characters."""
    head = head[:_WIDE_SAMPLE_BYTES]
    head = head[: len(head) // 4 * 4 or len(head) // 2 * 2]
    zeros = [head[offset::4].count(0) for offset in range(4)]
    if not any(zeros):
        return None
    units = len(head) // 4
    # The lower byte of some common characters is NUL too, such as that of U+4E00 (one).
    if units and zeros[2] == zeros[3] == units > 2 * zeros[0]:
        encoding = "utf-32-le"
    elif units and zeros[0] == zeros[1] == units > 2 * zeros[3]:
        encoding = "utf-32-be"
    elif 3 * (zeros[0] + zeros[2]) <= zeros[1] + zeros[3]:
        encoding = "utf-16-le"
    elif 3 * (zeros[1] + zeros[3]) <= zeros[0] + zeros[2]:
        encoding = "utf-16-be"
    else:
        return None
    text = head.decode(encoding, "replace")
    undecoded = sum(not char.isprintable() and char not in _BLANKS for char in text)
    undecoded += text.count("\ufffd")
    is_text = undecoded <= len(text) // 100 and sum(zeros) > max(2, len(head) // 100)
    return encoding if is_text else None


def resolve_encoding(requested: str, name: str) -> str:
    """Return the name of the codec for an encoding that the user has set, or for its superset.

    Raises:
        UserError: Python does not know the encoding.
    """
    try:
        "".encode(requested)
        b"".decode(requested)
    except (LookupError, ValueError):
        raise UserError(
            f"{name}: --encoding {requested} is not known; use one such as utf-8, cp1252 or gb18030"
        ) from None
    return SUPERSETS.get(codecs.lookup(requested).name, requested)


def text_encoding(file: BinaryIO, name: str, requested: str = "") -> str:
    """Return the encoding of an open text file, and rewind the file.

    In this order: the `requested` encoding; a byte order mark, or the NUL pattern of UTF-16 and
    UTF-32; UTF-8 if nearly all non-ASCII characters decode; `guess_encoding`.

    Args:
        file: The file, at its start.
        name: Its name, for messages.
        requested: The encoding that the user has set; empty to detect it.

    Raises:
        UserError: Python does not know the requested encoding.
    """
    return _detect(file, name, requested)[0]


def source_encoding(file: BinaryIO, source: Source) -> str:
    """Return the `text_encoding` of an open source and record it in the source's facts."""
    encoding, guessed = _detect(file, source.name, source.encoding)
    _record_encoding(source, encoding, guessed)
    return encoding


def _record_encoding(source: Source, encoding: str, guessed: bool) -> None:
    source.facts["encoding"] = f"{encoding} (guessed)" if guessed else encoding


def _detect(file: BinaryIO, name: str, requested: str) -> tuple[str, bool]:
    """Return the encoding and whether it is only a guess."""
    if requested:
        return resolve_encoding(requested, name), False
    sample = file.read(_SAMPLE_BYTES)
    encoding, guessed = bom_encoding(sample), False
    while encoding is None and _is_ascii_text(sample):
        more = file.read(_SKIP_BYTES)
        if not more:
            encoding = "utf-8"
        sample = sample[sample.rfind(b"\n") + 1 :][-_SAMPLE_BYTES:] + more
    if encoding is None:
        encoding, guessed = guess_encoding(sample), True
    file.seek(0)
    return encoding, guessed and encoding != "utf-8"


def _is_ascii_text(sample: bytes) -> bool:
    """Return whether a sample is ASCII, and not ISO 2022-JP, whose bytes are ASCII too."""
    return sample.isascii() and not is_iso_2022_jp(sample)


def read_all_text(
    file: BinaryIO, name: str, requested: str = "", limit: int = MAX_TEXT_BYTES
) -> tuple[str, str]:
    """Read a whole file and return its text, without a byte order mark, and its encoding.

    Bytes that cannot be decoded become U+FFFD.

    Raises:
        UserError: The file has more than `limit` bytes, or Python does not know the requested
            encoding.
    """
    encoding = text_encoding(file, name, requested)
    content = file.read(limit + 1)
    if len(content) > limit:
        raise UserError(f"{name} is larger than {limit >> 20} MiB: too large for one article")
    return content.decode(encoding, "replace").removeprefix(_BOM_CHARACTER), encoding


def utf8_blocks(file: BinaryIO, source: Source) -> Iterator[bytes]:
    """Yield a text file of any encoding as blocks of UTF-8, without a byte order mark.

    Records the encoding in the source's facts. Detection does not read the whole file: ASCII is
    the same in every encoding but UTF-16 and UTF-32, so the first block that is not ASCII decides.
    UTF-8 is passed through, even if it is invalid; bytes that cannot be decoded from any other
    encoding become U+FFFD.
    """
    block = file.read(_BLOCK_BYTES)
    encoding = bom_encoding(block)
    if source.encoding:
        encoding = resolve_encoding(source.encoding, source.name)
    _record_encoding(source, encoding or "utf-8", guessed=False)
    while encoding is None and block and _is_ascii_text(block):
        yield block
        block = file.read(_BLOCK_BYTES)
    if encoding is None and block:
        # Perhaps only the end of this block is not ASCII: too little to guess from.
        block += file.read(_BLOCK_BYTES)
        encoding = guess_encoding(block)
        _record_encoding(source, encoding, guessed=encoding != "utf-8")
    if encoding is None or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        block = block.removeprefix(codecs.BOM_UTF8)
        while block:
            yield block
            block = file.read(_BLOCK_BYTES)
    else:
        yield from _transcoded(file, block, encoding)


def _transcoded(file: BinaryIO, block: bytes, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    first = True
    while block:
        text = decoder.decode(block)
        if text:
            yield (text.removeprefix(_BOM_CHARACTER) if first else text).encode("utf-8", "replace")
            first = False
        block = file.read(_BLOCK_BYTES)
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def without_surrogates(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot represent, with U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def bounded_lines(
    readline: Callable[[int], AnyStr], ends: tuple[AnyStr, ...], limit: int
) -> Iterator[tuple[AnyStr, bool]]:
    """Yield each line and whether it is complete; longer ones are truncated to bound memory.

    Args:
        readline: The method of a binary or text file.
        ends: The line endings.
        limit: The longest complete line, in bytes or characters.
    """
    while line := readline(limit + 1):
        if len(line) <= limit or line.endswith(ends):
            yield line, True
            continue
        yield line, False
        while (piece := readline(_SKIP_BYTES)) and not piece.endswith(ends):
            pass
