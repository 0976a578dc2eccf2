"""Text files of any origin: which encoding they are in, and their lines within bounded memory."""

import codecs
from collections.abc import Callable, Iterator
from typing import AnyStr, BinaryIO

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.encoding_guess import guess_encoding, is_iso_2022_jp
from article_flows.tasks.reading.base.rows import Source

MAX_TEXT = 64 << 20
"""The largest file that is taken as one text, in bytes; no article comes near it."""
_SAMPLE = 256 << 10
_SKIP = 1 << 20
_BLOCK = 256 << 10
_WIDE_SAMPLE = 4 << 10
_BOMS = (
    # UTF-32's little-endian mark starts with UTF-16's: it has to come first.
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
"""Encodings of East Asia, by Python's name, and what files that are said to be in them really use.

As in https://encoding.spec.whatwg.org/#names-and-labels.
"""
_BLANKS = "\t\r\n\xa0\u3000"
_MARK = "\ufeff"


def bom_encoding(head: bytes) -> str | None:
    """Return the encoding that a byte order mark at the start of `head` announces, if any.

    UTF-16 and UTF-32 are also told without it, by where their NUL bytes are.
    """
    return next((name for mark, name in _BOMS if head.startswith(mark)), None) or _wide(head)


def _wide(head: bytes) -> str | None:
    """Tell UTF-16 and UTF-32 without a mark: by NULs in the upper bytes of what is ASCII."""
    head = head[:_WIDE_SAMPLE]
    head = head[: len(head) // 4 * 4 or len(head) // 2 * 2]
    zeros = [head[place::4].count(0) for place in range(4)]
    if not any(zeros):
        return None
    units = len(head) // 4
    # Some characters have a NUL as their lower byte too, such as U+4E00, which means one.
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
    wrong = sum(not char.isprintable() and char not in _BLANKS for char in text)
    wrong += text.count("\ufffd")
    return encoding if wrong <= len(text) // 100 and sum(zeros) > max(2, len(head) // 100) else None


def given_encoding(given: str, name: str) -> str:
    """Return Python's name of an encoding that the user has said, or of its superset.

    Raises UserError if Python does not know it.
    """
    try:
        "".encode(given)
        b"".decode(given)
    except (LookupError, ValueError):
        raise UserError(
            f"{name}: --encoding {given} is not known; say one such as utf-8, cp1252 or gb18030"
        ) from None
    return SUPERSETS.get(codecs.lookup(given).name, given)


def text_encoding(file: BinaryIO, name: str, given: str = "") -> str:
    """Return the encoding of an open text file, which is left at its start.

    What is `given` wins; then a byte order mark or the pattern of UTF-16 and UTF-32; then UTF-8,
    if nearly all that is not ASCII decodes; then `guess_encoding`. Raises UserError if Python
    does not know what is given.
    """
    return _told_encoding(file, name, given)[0]


def source_encoding(file: BinaryIO, source: Source) -> str:
    """Return the same for an open source, and put it into its facts: with (guessed) if so."""
    encoding, guessed = _told_encoding(file, source.name, source.encoding)
    _note(source, encoding, guessed)
    return encoding


def _note(source: Source, encoding: str, guessed: bool) -> None:
    source.facts["encoding"] = f"{encoding} (guessed)" if guessed else encoding


def _told_encoding(file: BinaryIO, name: str, given: str) -> tuple[str, bool]:
    """Return the encoding and whether it is no more than a guess."""
    if given:
        return given_encoding(given, name), False
    sample = file.read(_SAMPLE)
    encoding, guessed = bom_encoding(sample), False
    while encoding is None and _is_plain(sample):
        more = file.read(_SKIP)
        if not more:
            encoding = "utf-8"
        sample = sample[sample.rfind(b"\n") + 1 :][-_SAMPLE:] + more
    if encoding is None:
        encoding, guessed = guess_encoding(sample), True
    file.seek(0)
    return encoding, guessed and encoding != "utf-8"


def _is_plain(sample: bytes) -> bool:
    """Tell text that is ASCII, and not in an encoding that only looks like it."""
    return sample.isascii() and not is_iso_2022_jp(sample)


def read_all_text(
    file: BinaryIO, name: str, given: str = "", limit: int = MAX_TEXT
) -> tuple[str, str]:
    """Read a whole small file; return its text, without a byte order mark, and its encoding.

    Bytes that cannot be decoded become U+FFFD. Raises UserError for more than `limit` bytes, and
    for an encoding that is given but not known.
    """
    encoding = text_encoding(file, name, given)
    content = file.read(limit + 1)
    if len(content) > limit:
        raise UserError(f"{name} is larger than {limit >> 20} MiB: too large for one article")
    return content.decode(encoding, "replace").removeprefix(_MARK), encoding


def utf8_blocks(file: BinaryIO, source: Source) -> Iterator[bytes]:
    """Yield a text file of any encoding as blocks of UTF-8, without byte order mark.

    Puts the encoding into the source's facts. A file is not read to its end to tell the encoding:
    what is ASCII is the same in all but UTF-16 and UTF-32, so the first block that is not ASCII
    decides. UTF-8 comes as it is, also where it is broken; bytes that another encoding does not
    know become U+FFFD.
    """
    block = file.read(_BLOCK)
    encoding = bom_encoding(block)
    if source.encoding:
        encoding = given_encoding(source.encoding, source.name)
    _note(source, encoding or "utf-8", guessed=False)
    while encoding is None and block and _is_plain(block):
        yield block
        block = file.read(_BLOCK)
    if encoding is None and block:
        # What is not ASCII may only be this block's end, which would tell little.
        block += file.read(_BLOCK)
        encoding = guess_encoding(block)
        _note(source, encoding, guessed=encoding != "utf-8")
    if encoding is None or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        block = block.removeprefix(codecs.BOM_UTF8)
        while block:
            yield block
            block = file.read(_BLOCK)
    else:
        yield from _transcoded(file, block, encoding)


def _transcoded(file: BinaryIO, block: bytes, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    first = True
    while block:
        text = decoder.decode(block)
        if text:
            yield (text.removeprefix(_MARK) if first else text).encode("utf-8", "replace")
            first = False
        block = file.read(_BLOCK)
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def without_surrogates(text: str) -> str:
    """Replace each lone surrogate, which UTF-8 cannot hold, by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def bounded_lines(
    readline: Callable[[int], AnyStr], ends: tuple[AnyStr, ...], limit: int
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
