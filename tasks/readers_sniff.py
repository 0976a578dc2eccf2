"""What the first bytes of a file tell of its format."""

import codecs
import csv

import orjson

from tasks.readers_csv import delimiter_of
from tasks.readers_text import bom_encoding

_UNPACK = "a compressed file; unpack it first"
_FOREIGN = (
    (b"\x1f\x8b", f"{_UNPACK} (gunzip)"),
    (b"BZh", f"{_UNPACK} (bunzip2)"),
    (b"\xfd7zXZ\0", f"{_UNPACK} (unxz)"),
    (b"\x28\xb5\x2f\xfd", f"{_UNPACK} (unzstd)"),
    (b"PK\x03\x04", "a ZIP archive or an Office file; unpack it, or save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Office file; save it as CSV"),
    (b"PARE", "encrypted Parquet; decrypt it first"),
    (b"ORC", "ORC; convert it to Parquet"),
    (b"Obj\x01", "Avro; convert it to Parquet"),
    (b"ARROW1", "Arrow IPC (Feather); convert it to Parquet"),
    (b"SQLite format 3\0", "an SQLite database; export the table as CSV"),
    (b"%PDF", "a PDF, not a table of articles"),
    (b"\x89PNG", "a PNG image, not a table of articles"),
    (b"\xff\xd8\xff", "a JPEG image, not a table of articles"),
    (b"GIF8", "a GIF image, not a table of articles"),
    (b"RIFF", "an image or sound, not a table of articles"),
    (b"\x7fELF", "a program, not a table of articles"),
)

_CONTROLS = bytes(code for code in range(0x20) if code not in b"\t\n\r")


def foreign_kind(head: bytes) -> str | None:
    """Say what a file is if its first bytes are the mark of something that cannot be read."""
    kind = next((kind for magic, kind in _FOREIGN if head.startswith(magic)), None)
    if kind is None and _is_json_array(head):
        kind = "a JSON array; write one object a line instead (jq -c '.[]')"
    return kind


def _is_json_array(head: bytes) -> bool:
    """Tell an array of objects, over one or many lines, from a JSON Lines file."""
    start = b"".join(head.removeprefix(b"\xef\xbb\xbf").split(maxsplit=2)[:2])[:2]
    lines = _lines(head)
    return start == b"[{" and (len(lines) == 1 or not _is_json(lines[0]))


def looks_like_parquet(head: bytes) -> bool:
    """Tell Parquet by its magic number."""
    return head.startswith(b"PAR1")


def looks_binary(head: bytes) -> bool:
    """Tell a file that is no text: NUL bytes, unless they are few and in UTF-8 text."""
    if b"\0" not in head or bom_encoding(head) is not None:
        return False
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls > 0.3 * len(head):
        return True
    try:
        # An incremental decoder, as the head may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return True
    return False


def _lines(head: bytes) -> list[bytes]:
    """The lines of the head that are not blank, as UTF-8 where a mark says what they are."""
    if (encoding := bom_encoding(head)) is not None:
        head = head.decode(encoding, errors="ignore").encode()
    return [line for line in head.splitlines() if line.strip()]


def looks_like_jsonl(head: bytes) -> bool:
    """Tell JSON Lines: an object on a line of its own, or a long one that the head cuts."""
    if looks_binary(head):
        return False
    lines = _lines(head)
    if len(lines) == 1 and lines[0].lstrip().startswith(b'{"'):
        return True
    return any(line.lstrip().startswith(b"{") and _is_json(line) for line in lines[:20])


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def looks_like_csv(head: bytes) -> bool:
    """Tell CSV: a first row with a delimiter, and a second with as many fields."""
    lines = _lines(head)
    if looks_binary(head) or len(lines) < 2 or lines[0].lstrip().startswith((b"{", b"<")):
        return False
    text = [line.decode("utf-8", "replace") for line in lines]
    delimiter = delimiter_of(text[0])
    if delimiter not in text[0]:
        return False
    rows = csv.reader([f"{line}\n" for line in text], delimiter=delimiter)
    try:
        first, second = next(rows), next(rows)
    except (csv.Error, StopIteration):
        return False
    return len(first) == len(second)
