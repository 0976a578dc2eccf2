"""What the first bytes of a file tell of its format."""

import codecs
import csv
import re
from contextlib import suppress

from article_flows.tasks.reading.base.text_encoding import bom_encoding
from article_flows.tasks.reading.formats.csv.sniff import delimiter_of
from article_flows.tasks.reading.formats.json.sniff import looks_like_jsonl

ZIP_MAGIC = b"PK\x03\x04"
OLE_MAGIC = b"\xd0\xcf\x11\xe0"
_UNPACK = "a compressed file; unpack it first"
_FOREIGN = (
    (b"\x1f\x8b", f"{_UNPACK} (gunzip)"),
    (b"BZh", f"{_UNPACK} (bunzip2)"),
    (b"\xfd7zXZ\0", f"{_UNPACK} (unxz)"),
    (b"\x28\xb5\x2f\xfd", f"{_UNPACK} (unzstd)"),
    (ZIP_MAGIC, "a ZIP archive or an Office file; unpack it, or save it as CSV"),
    (OLE_MAGIC, "an old Word file; save it as text or CSV"),
    (b"{\\rtf", "RTF, a text of Word and others; save it as text or HTML"),
    (b"PARE", "encrypted Parquet; decrypt it first"),
    (b"ORC", "ORC; convert it to Parquet"),
    (b"Obj\x01", "Avro; convert it to Parquet"),
    (b"SQLite format 3\0", "an SQLite database; export the table as CSV"),
    (b"%PDF", "a PDF, not a table of articles"),
    (b"\x89PNG", "a PNG image, not a table of articles"),
    (b"\xff\xd8\xff", "a JPEG image, not a table of articles"),
    (b"GIF8", "a GIF image, not a table of articles"),
    (b"RIFF", "an image or sound, not a table of articles"),
    (b"\x7fELF", "a program, not a table of articles"),
)

_OFFICE = (
    (b"word/", "a Word file; save it as text or HTML"),
    (b"opendocument.text", "a text of OpenOffice or LibreOffice; save it as text or HTML"),
    (b"ppt/", "a PowerPoint file, not a table of articles"),
    (b"epub+zip", "an e-book (EPUB); save it as text or HTML"),
)

_WORKBOOK = (b"xl/workbook", b"xl/worksheets/", b"xl/_rels/", b"opendocument.spreadsheet")
_HTML_START = re.compile(
    r"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL
)
_COLUMN_NAME = re.compile(r"(?!\s)[^.!?\n]{0,40}(?<!\s)")
_SURE_LINES = 50
_TABLE_MARKS = (("\t", 1), ("|", 2), (";", 2))
"""What parts the fields of a table without a header, and how many of it a line has at least."""
_TABLE_LINES = 20
_TABLE_FIT = 0.95
"""The share of a table's lines that have as many fields as the first twenty all have."""
_LONG_TABLE, _LONG_TABLE_LINES = 32 << 10, 5
"""Where lines are whole articles fewer of them are seen, and tell as much."""
_LOG_LEVELS = frozenset("TRACE DEBUG INFO NOTICE WARN WARNING ERROR CRITICAL FATAL".split())
_CODE = re.compile(r"\)\s*\{|[{;]\s*$|;\s*\}\s*$")
_CONTROLS = bytes(code for code in range(0x20) if code not in b"\t\n\r")


def foreign_kind(head: bytes) -> str | None:
    """Say what a file is if its first bytes are the mark of something that cannot be read."""
    kind = next((kind for magic, kind in _FOREIGN if head.startswith(magic)), None)
    if kind is not None and head.startswith(ZIP_MAGIC):
        kind = next((kind for name, kind in _OFFICE if name in head), kind)
    if kind is not None and not head.startswith((b"%PDF", b"{\\rtf")) and _is_text(head):
        # An article may begin with "ORC" or "RIFF".
        kind = None
    return kind


def looks_like_parquet(head: bytes) -> bool:
    """Tell Parquet by its magic number."""
    return head.startswith(b"PAR1")


def looks_like_arrow(head: bytes) -> bool:
    """Tell Arrow IPC: the file format (Feather 2), Feather 1, or a stream by its first message."""
    if head.startswith((b"ARROW1\0\0", b"FEA1")):
        return True
    # A stream starts with 0xFFFFFFFF and the little-endian length of its schema, a multiple of 8.
    length = int.from_bytes(head[4:8], "little")
    return head.startswith(b"\xff\xff\xff\xff") and 0 < length < 1 << 28 and length % 8 == 0


def looks_like_excel(head: bytes) -> bool:
    """Tell workbooks: of Excel, new and old (also encrypted ones), and OpenDocument's."""
    if head.startswith(ZIP_MAGIC):
        if any(mark in head for mark in _WORKBOOK):
            return True
        # Its sheets may lie beyond the head; the other Office files tell what they are.
        is_office = _zip_name(head).startswith((b"[Content_Types].xml", b"_rels/", b"docProps/"))
        return is_office and not any(mark in head for mark, _ in _OFFICE)
    return head.startswith(OLE_MAGIC) and "WordDocument".encode("utf-16-le") not in head


def _zip_name(head: bytes) -> bytes:
    """The name of a ZIP archive's first member."""
    return head[30 : 30 + int.from_bytes(head[26:28], "little")]


def looks_like_html(head: bytes) -> bool:
    """Tell a page of HTML by how it starts, after comments and an XML declaration."""
    encoding = bom_encoding(head)
    text = head.decode(encoding or "latin-1", "replace").removeprefix("ï»¿")
    return _HTML_START.match(text.lstrip("\ufeff")) is not None


def looks_binary(head: bytes) -> bool:
    """Tell a file that is no text: NUL bytes, unless they are few and in UTF-8 text."""
    if b"\0" not in head or bom_encoding(head) is not None:
        return False
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return controls > 0.3 * len(head) or not _is_utf8(head)


def _is_text(head: bytes) -> bool:
    return len(head) == len(head.translate(None, _CONTROLS)) and _is_utf8(head)


def _is_utf8(head: bytes) -> bool:
    try:
        # An incremental decoder, as the head may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _lines(head: bytes) -> list[str]:
    """The whole lines of the head that are not blank; none of what is no text."""
    if looks_binary(head):
        return []
    # As UTF-8 where a mark says what they are; what they mean is not looked at otherwise.
    if (encoding := bom_encoding(head)) is not None:
        head = head.decode(encoding, errors="ignore").encode()
    lines = [line.decode("utf-8", "replace") for line in head.splitlines() if line.strip()]
    # The last line may be cut.
    return lines[:-1] if len(lines) > 2 and not head.endswith(b"\n") else lines


def looks_like_csv(head: bytes) -> bool:
    """Tell CSV: a first row with a delimiter, and a second with as many fields; or many alike."""
    lines = _lines(head)
    return bool(_csv_rows(lines)) or _is_any_table(lines)


def is_surely_csv(head: bytes) -> bool:
    """Tell CSV in a file that is named as text: short distinct names, and as many fields each row.

    Prose has commas too, and a table in Markdown has bars: neither has such a first line and the
    same number of delimiters in all the others. Without names it takes a table of many rows.
    """
    lines = _lines(head)
    return _has_names(lines[:_SURE_LINES]) or _is_any_table(lines)


def is_surely_jsonl(head: bytes) -> bool:
    """Tell JSON Lines in a file that is named as text, which may only quote some JSON."""
    return "".join(_lines(head)[:1]).lstrip().startswith("{") and looks_like_jsonl(head)


def _csv_rows(lines: list[str]) -> list[list[str]]:
    """The rows of lines that start as CSV, with two of as many fields; none of others."""
    if len(lines) < 2 or lines[0].lstrip().startswith(("{", "<")):
        return []
    delimiter = delimiter_of(lines[0])
    if delimiter not in lines[0]:
        return []
    rows: list[list[str]] = []
    with suppress(csv.Error):
        rows.extend(csv.reader([f"{line}\n" for line in lines], delimiter=delimiter))
    return rows if len(rows) > 1 and len(rows[0]) == len(rows[1]) else []


def _has_names(lines: list[str]) -> bool:
    rows = _csv_rows(lines)
    if not rows or (delimiter_of(lines[0]) != ";" and _CODE.search(lines[0])):
        return False
    names, *others = rows
    return (
        len(set(names)) == len(names)
        and all(_COLUMN_NAME.fullmatch(name) for name in names)
        and all(len(row) == len(names) for row in others)
        # Else it is but indented.
        and any(row[0].strip() for row in rows)
        # What follows the heads of a table in Markdown.
        and not set("".join(others[0])) <= set("-: ")
    )


def _is_any_table(lines: list[str]) -> bool:
    """Tell a table without a header: many lines, each with as many tabs, bars or semicolons.

    Commas are in prose too. Text that is indented, tables in Markdown, logs and code are none.
    """
    enough = _TABLE_LINES if sum(map(len, lines)) < _LONG_TABLE else _LONG_TABLE_LINES
    return len(lines) >= enough and any(_is_table(lines, *mark) for mark in _TABLE_MARKS)


def _is_table(lines: list[str], mark: str, least: int) -> bool:
    count = lines[0].count(mark)
    if count < least or any(line.count(mark) != count for line in lines[:_TABLE_LINES]):
        return False
    rows = [fields for line in lines if len(fields := line.split(mark)) == count + 1]
    if len(rows) < _TABLE_FIT * len(lines):
        return False
    columns = [[field.strip() for field in column] for column in zip(*rows, strict=True)]
    filled = [sum(map(bool, column)) for column in columns]
    return (
        # What begins with the mark is indented, or a table in Markdown; what ends with it is code.
        2 * min(filled[0], filled[-1]) > len(rows)
        and not any(set("".join(row)) <= set("-: ") for row in rows[:3])
        and not any(_LOG_LEVELS.issuperset(map(str.upper, column)) for column in columns)
        and not any(map(_CODE.search, lines[:_TABLE_LINES]))
    )


_SKIPPED = re.compile(
    r"\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE(?:[^\[>]|\[.*?\]\s*(?=>))*>", re.S | re.I
)


_ELEMENT = re.compile(r"<([A-Za-z_][\w.:-]*)")


_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    # Without a mark: the four bytes of "<?" or "<" and a letter (XML 1.0, appendix F).
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)


def first_element(head: bytes) -> str:
    """Return the name of a document's first element with its prefix; empty if it is no XML."""
    text = xml_text(head)
    place = 0
    while skipped := _SKIPPED.match(text, place):
        place = skipped.end()
    found = _ELEMENT.match(text, place)
    return found[1] if found else ""


def xml_text(head: bytes) -> str:
    """Return the start of a document as text; what is not ASCII in it may be wrong."""
    for mark, encoding in _WIDE:
        if head.startswith(mark):
            return head.decode(encoding, errors="ignore").lstrip("\ufeff")
    return head.removeprefix(codecs.BOM_UTF8).decode("latin-1")
