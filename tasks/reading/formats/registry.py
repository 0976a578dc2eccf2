"""The supported file formats: how each is recognized, and which reader handles it.

To add a format, write a `Reader` in a module of its own and add a `Format` to `FORMATS`.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import PurePath

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import ByteSource
from article_flows.tasks.reading.base.rows import BATCH_ROWS, Reader, RecordChunk, Source
from article_flows.tasks.reading.formats.arrow import read_arrow
from article_flows.tasks.reading.formats.csv.reader import read_csv
from article_flows.tasks.reading.formats.document import DOCUMENT_SUFFIXES, read_document
from article_flows.tasks.reading.formats.excel import EXCEL_SUFFIXES, read_excel
from article_flows.tasks.reading.formats.feed import looks_like_feed, read_feed
from article_flows.tasks.reading.formats.json.lines_reader import read_jsonl
from article_flows.tasks.reading.formats.json.reader import read_json
from article_flows.tasks.reading.formats.json.sniff import looks_like_json, looks_like_jsonl
from article_flows.tasks.reading.formats.parquet import read_parquet
from article_flows.tasks.reading.formats.sniff import (
    is_clearly_csv,
    is_clearly_jsonl,
    looks_binary,
    looks_like_arrow,
    looks_like_csv,
    looks_like_excel,
    looks_like_html,
    looks_like_parquet,
    unsupported_kind,
)
from article_flows.tasks.reading.formats.urls import (
    is_clearly_urls,
    looks_like_sitemap,
    looks_like_urls,
    read_sitemap,
    read_urls,
)

HEAD_BYTES = 64 << 10
"""How much of a file is read to detect its format."""
DOCUMENT = "document"
"""Name of the format in which one file of text is one article."""

Sniff = Callable[[bytes], bool]
"""Returns whether a file that starts with these bytes (up to HEAD_BYTES) is in a format."""


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        suffixes: Of file names, in lower case.
        matches: Detects the format by content, for files without a known suffix or with a
            wrong one.
        binary: Not text; a file with such a suffix that does not match is an error.
        matches_strictly: For files named as text, which may contain anything: two lines of prose
            with a comma each are not CSV. None if ``matches`` is strict enough.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Reader
    matches: Sniff
    binary: bool = False
    matches_strictly: Sniff | None = None


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format("parquet", (".parquet", ".pq", ".parq"), read_parquet, looks_like_parquet, True),
        Format("arrow", (".arrow", ".feather", ".ipc"), read_arrow, looks_like_arrow, True),
        Format("excel", EXCEL_SUFFIXES, read_excel, looks_like_excel, True),
        Format("feed", (".rss", ".atom", ".rdf", ".cdf"), read_feed, looks_like_feed),
        Format("sitemap", (), read_sitemap, looks_like_sitemap),
        Format("urls", (".urls",), read_urls, looks_like_urls, matches_strictly=is_clearly_urls),
        Format("json", (".json", ".geojson"), read_json, looks_like_json),
        Format(
            "jsonl",
            (".jsonl", ".ndjson", ".json-lines"),
            read_jsonl,
            looks_like_jsonl,
            matches_strictly=is_clearly_jsonl,
        ),
        Format("csv", (".csv", ".tsv"), read_csv, looks_like_csv, matches_strictly=is_clearly_csv),
        Format(DOCUMENT, DOCUMENT_SUFFIXES, read_document, looks_like_html),
    )
}
"""All formats by name, in order of detection: content that matches several is the first."""


def read(source: Source, batch_rows: int = BATCH_ROWS) -> Generator[RecordChunk]:
    """Stream the raw rows of a source with the reader of its format.

    `source.constants` become columns of each row, unless the file has a column of that name.

    Args:
        source: The file to read.
        batch_rows: The most rows in a chunk.

    Raises:
        UserError: The file cannot be read any further; the rows before have been yielded.
    """
    for chunk in FORMATS[source.format].read(source, batch_rows):
        for record in chunk.records if source.constants else ():
            for name, value in source.constants:
                record.setdefault(name, value)
        yield chunk


def format_named(name: str) -> str:
    """Return `name` if it names a format; raise UserError otherwise."""
    if name not in FORMATS:
        raise UserError(f"{name} is not a supported format; use one of {', '.join(FORMATS)}")
    return name


def known_suffixes() -> str:
    """Return the suffixes of all formats, for messages."""
    return " ".join(suffix for each in FORMATS.values() for suffix in each.suffixes)


def format_of_suffix(file_name: str) -> Format | None:
    """Return the format of a file by its suffix, or None if the suffix is unknown.

    Example:
        >>> format_of_suffix("articles.TSV").name
        'csv'
    """
    suffix = PurePath(file_name).suffix.lower()
    return next((each for each in FORMATS.values() if suffix in each.suffixes), None)


def format_of(file: ByteSource, name: str) -> str:
    """Return the name of a file's format; its content overrides a missing or wrong suffix.

    Args:
        file: The file's bytes.
        name: The file's name for messages.

    Raises:
        UserError: The file cannot be read, is empty, or is not in a supported format.
    """
    head = _head(file, name)
    by_suffix = format_of_suffix(file.file_name)
    if not head.strip():
        raise UserError(f"{name} is empty: it contains no articles")
    detected = _detect(by_suffix, head)
    if detected is not None and (detected.name != DOCUMENT or by_suffix in (None, detected)):
        return detected.name
    _reject_unsupported(name, by_suffix, head)
    if by_suffix is None or by_suffix.binary or looks_binary(head):
        problem = (
            f"does not contain {by_suffix.name} data" if by_suffix else "has an unknown format"
        )
        raise UserError(
            f"{name} {problem}; these can be read: {known_suffixes()}; "
            "if it is one of them, name the format with --format"
        )
    return by_suffix.name


def _reject_unsupported(name: str, by_suffix: Format | None, head: bytes) -> None:
    if kind := unsupported_kind(head):
        raise UserError(f"{name} is {kind}")
    if by_suffix is not None and looks_like_html(head):
        raise UserError(
            f"{name} is an HTML page, not {by_suffix.name} (perhaps a site's error page); "
            "download it again, or rename it to .html if the page is the article"
        )


def _head(file: ByteSource, name: str) -> bytes:
    try:
        with file.open() as stream:
            return stream.read(HEAD_BYTES)
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}") from error


def _detect(by_suffix: Format | None, head: bytes) -> Format | None:
    """Return the format of the content; prefer that of the suffix if several match."""
    if by_suffix is not None and by_suffix.name == DOCUMENT:
        others = [each for each in FORMATS.values() if each is not by_suffix]
        strict = (each for each in others if (each.matches_strictly or each.matches)(head))
        is_text = not looks_binary(head) and unsupported_kind(head) is None
        return next(strict, by_suffix if is_text else None)
    matching = [each for each in FORMATS.values() if each.matches(head)]
    return by_suffix if by_suffix in matching else next(iter(matching), None)
