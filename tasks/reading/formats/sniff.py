"""Detect the format of a file from its first bytes; the registry lists these functions."""

import codecs
import csv
import re
from contextlib import suppress

from article_flows.tasks.reading.base.text_encoding import bom_encoding
from article_flows.tasks.reading.formats.csv.sniff import delimiter_of
from article_flows.tasks.reading.formats.json.sniff import looks_like_jsonl

ZIP_MAGIC = b"PK\x03\x04"
OLE_MAGIC = b"\xd0\xcf\x11\xe0"
_COMPRESSED = "a compressed file; unpack it first"
_UNSUPPORTED = (
    (b"\x1f\x8b", f"{_COMPRESSED} (gunzip)"),
    (b"BZh", f"{_COMPRESSED} (bunzip2)"),
    (b"\xfd7zXZ\0", f"{_COMPRESSED} (unxz)"),
    (b"\x28\xb5\x2f\xfd", f"{_COMPRESSED} (unzstd)"),
    (ZIP_MAGIC, "a ZIP archive or an Office file; unpack it, or save it as CSV"),
    (OLE_MAGIC, "an old Word file; save it as text or CSV"),
    (b"{\\rtf", "RTF (rich text); save it as text or HTML"),
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

_OFFICE_DOCUMENTS = (
    (b"word/", "a Word file; save it as text or HTML"),
    (b"opendocument.text", "an OpenDocument text; save it as text or HTML"),
    (b"ppt/", "a PowerPoint file, not a table of articles"),
    (b"epub+zip", "an e-book (EPUB); save it as text or HTML"),
)

_WORKBOOK_PARTS = (b"xl/workbook", b"xl/worksheets/", b"xl/_rels/", b"opendocument.spreadsheet")
_HTML_START = re.compile(
    r"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL
)
_COLUMN_NAME = re.compile(r"(?!\s)[^.!?\n]{0,40}(?<!\s)")
_HEADER_CHECK_LINES = 50
_TABLE_DELIMITERS = (("\t", 1), ("|", 2), (";", 2))
"""Delimiters of tables without a header, with how many each line must have at least."""
_TABLE_LINES = 20
_MIN_REGULAR_SHARE = 0.95
"""Share of a table's lines that must have the same number of fields; the first 20 all must."""
_LONG_TABLE_CHARS, _LONG_TABLE_LINES = 32 << 10, 5
"""From this much text on, fewer lines are enough: each holds a whole article."""
_LOG_LEVELS = frozenset("TRACE DEBUG INFO NOTICE WARN WARNING ERROR CRITICAL FATAL".split())
_CODE = re.compile(r"\)\s*\{|[{;]\s*$|;\s*\}\s*$")
_CONTROLS = bytes(code for code in range(0x20) if code not in b"\t\n\r")


def unsupported_kind(head: bytes) -> str | None:
    """Return a description of an unsupported format, with a remedy; None if it is not known.

    Example:
        >>> unsupported_kind(b"%PDF-1.7")
        'a PDF, not a table of articles'
    """
    kind = next((kind for magic, kind in _UNSUPPORTED if head.startswith(magic)), None)
    if kind is not None and head.startswith(ZIP_MAGIC):
        kind = next((kind for name, kind in _OFFICE_DOCUMENTS if name in head), kind)
    if kind is not None and not head.startswith((b"%PDF", b"{\\rtf")) and _is_text(head):
        # Text that only happens to start with "ORC" or "RIFF".
        kind = None
    return kind


def looks_like_parquet(head: bytes) -> bool:
    """Return whether `head` starts with the Parquet magic number."""
    return head.startswith(b"PAR1")


def looks_like_arrow(head: bytes) -> bool:
    """Return whether `head` starts an Arrow IPC file (Feather 2), an Arrow stream or Feather 1."""
    if head.startswith((b"ARROW1\0\0", b"FEA1")):
        return True
    # A stream starts with 0xFFFFFFFF and the little-endian length of its schema, a multiple of 8.
    length = int.from_bytes(head[4:8], "little")
    return head.startswith(b"\xff\xff\xff\xff") and 0 < length < 1 << 28 and length % 8 == 0


def looks_like_excel(head: bytes) -> bool:
    """Return whether `head` starts a workbook: Excel, old, new or encrypted, or OpenDocument."""
    if head.startswith(ZIP_MAGIC):
        if any(part in head for part in _WORKBOOK_PARTS):
            return True
        # The sheets may be beyond the head; the other Office formats are recognized by their parts.
        is_office = _zip_name(head).startswith((b"[Content_Types].xml", b"_rels/", b"docProps/"))
        return is_office and not any(part in head for part, _ in _OFFICE_DOCUMENTS)
    return head.startswith(OLE_MAGIC) and "WordDocument".encode("utf-16-le") not in head


def _zip_name(head: bytes) -> bytes:
    return head[30 : 30 + int.from_bytes(head[26:28], "little")]


def looks_like_html(head: bytes) -> bool:
    """Return whether `head` starts an HTML page, after comments and an XML declaration."""
    encoding = bom_encoding(head)
    text = head.decode(encoding or "latin-1", "replace").removeprefix("ï»¿")
    return _HTML_START.match(text.lstrip("\ufeff")) is not None


def looks_binary(head: bytes) -> bool:
    """Return whether `head` has NUL bytes, unless they are stray ones in UTF-8 text."""
    if b"\0" not in head or bom_encoding(head) is not None:
        return False
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return controls > 0.3 * len(head) or not _is_utf8(head)


def _is_text(head: bytes) -> bool:
    return len(head) == len(head.translate(None, _CONTROLS)) and _is_utf8(head)


def _is_utf8(head: bytes) -> bool:
    try:
        # An incremental decoder, because the head may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _lines(head: bytes) -> list[str]:
    """Return the complete lines of the head that are not blank; none if it is binary."""
    if looks_binary(head):
        return []
    # Without a byte order mark, only the ASCII delimiters matter, so UTF-8 is good enough.
    if (encoding := bom_encoding(head)) is not None:
        head = head.decode(encoding, errors="ignore").encode()
    lines = [line.decode("utf-8", "replace") for line in head.splitlines() if line.strip()]
    # The head may end within its last line.
    return lines[:-1] if len(lines) > 2 and not head.endswith(b"\n") else lines


def looks_like_csv(head: bytes) -> bool:
    """Return whether `head` looks like CSV: two rows of equal width, or a table without header."""
    lines = _lines(head)
    return bool(_csv_rows(lines)) or _is_headerless_table(lines)


def is_clearly_csv(head: bytes) -> bool:
    """Return whether `head` of a file named as text is clearly CSV.

    Prose contains commas and Markdown tables contain bars, so it takes a first line of short,
    distinct names and the same number of fields in all rows, or a long table without a header.
    """
    lines = _lines(head)
    return _has_header(lines[:_HEADER_CHECK_LINES]) or _is_headerless_table(lines)


def is_clearly_jsonl(head: bytes) -> bool:
    """Return whether `head` of a file named as text is JSON Lines, not text that quotes JSON."""
    return "".join(_lines(head)[:1]).lstrip().startswith("{") and looks_like_jsonl(head)


def _csv_rows(lines: list[str]) -> list[list[str]]:
    """Parse lines as CSV; return nothing unless the first two rows are equally wide."""
    if len(lines) < 2 or lines[0].lstrip().startswith(("{", "<")):
        return []
    delimiter = delimiter_of(lines[0])
    if delimiter not in lines[0]:
        return []
    rows: list[list[str]] = []
    with suppress(csv.Error):
        rows.extend(csv.reader([f"{line}\n" for line in lines], delimiter=delimiter))
    return rows if len(rows) > 1 and len(rows[0]) == len(rows[1]) else []


def _has_header(lines: list[str]) -> bool:
    rows = _csv_rows(lines)
    if not rows or (delimiter_of(lines[0]) != ";" and _CODE.search(lines[0])):
        return False
    names, *others = rows
    return (
        len(set(names)) == len(names)
        and all(_COLUMN_NAME.fullmatch(name) for name in names)
        and all(len(row) == len(names) for row in others)
        # An empty first column means indented text.
        and any(row[0].strip() for row in rows)
        # The delimiter row of a Markdown table.
        and not set("".join(others[0])) <= set("-: ")
    )


def _is_headerless_table(lines: list[str]) -> bool:
    """Return whether many lines have the same number of tabs, bars or semicolons.

    Commas do not count, because prose has them. Indented text, Markdown tables, logs and code
    are not tables.
    """
    long = sum(map(len, lines)) >= _LONG_TABLE_CHARS
    return len(lines) >= (_LONG_TABLE_LINES if long else _TABLE_LINES) and any(
        _is_table(lines, delimiter, minimum) for delimiter, minimum in _TABLE_DELIMITERS
    )


def _is_table(lines: list[str], delimiter: str, minimum: int) -> bool:
    count = lines[0].count(delimiter)
    if count < minimum or any(line.count(delimiter) != count for line in lines[:_TABLE_LINES]):
        return False
    rows = [fields for line in lines if len(fields := line.split(delimiter)) == count + 1]
    if len(rows) < _MIN_REGULAR_SHARE * len(lines):
        return False
    columns = [[field.strip() for field in column] for column in zip(*rows, strict=True)]
    filled = [sum(map(bool, column)) for column in columns]
    return (
        # An empty first column means indented text or Markdown, an empty last one code.
        2 * min(filled[0], filled[-1]) > len(rows)
        and not any(set("".join(row)) <= set("-: ") for row in rows[:3])
        and not any(_LOG_LEVELS.issuperset(map(str.upper, column)) for column in columns)
        and not any(map(_CODE.search, lines[:_TABLE_LINES]))
    )


_XML_PROLOG = re.compile(
    r"\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE(?:[^\[>]|\[.*?\]\s*(?=>))*>", re.S | re.I
)
_ELEMENT = re.compile(r"<([A-Za-z_][\w.:-]*)")
_WIDE_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    # Without a byte order mark: "<?" or "<" and a letter (XML 1.0, appendix F).
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)


def first_element(head: bytes) -> str:
    """Return the name of an XML document's root element with its prefix; "" if it is not XML."""
    text = xml_text(head)
    position = 0
    while prolog := _XML_PROLOG.match(text, position):
        position = prolog.end()
    element = _ELEMENT.match(text, position)
    return element[1] if element else ""


def xml_text(head: bytes) -> str:
    """Return the start of an XML document as text, of which only the ASCII part is reliable."""
    for prefix, encoding in _WIDE_ENCODINGS:
        if head.startswith(prefix):
            return head.decode(encoding, errors="ignore").lstrip("\ufeff")
    return head.removeprefix(codecs.BOM_UTF8).decode("latin-1")
