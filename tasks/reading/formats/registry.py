"""The formats that articles come in: how each is recognised, and what reads it.

To add a format, write a `Reader` in its own `readers_*.py` and add a `Format` to `FORMATS`.
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
    foreign_kind,
    is_surely_csv,
    is_surely_jsonl,
    looks_binary,
    looks_like_arrow,
    looks_like_csv,
    looks_like_excel,
    looks_like_html,
    looks_like_parquet,
)
from article_flows.tasks.reading.formats.urls import (
    is_surely_urls,
    looks_like_sitemap,
    looks_like_urls,
    read_sitemap,
    read_urls,
)

HEAD_BYTES = 64 << 10
"""How much of a file is looked at to tell its format."""
DOCUMENT = "document"
"""The format of a file that is one article: it may hold anything that is text."""

Sniff = Callable[[bytes], bool]
"""Tells by a file's first HEAD_BYTES whether it is in a format."""


@dataclass(frozen=True)
class Format:
    """One format: its name, its files' suffixes, its reader, and how its content starts.

    Attributes:
        matches: tells the format in a file whose name tells none, or another one.
        binary: no text: a file that is named so and does not match is not read.
        surely: stricter than ``matches``, for files named as text, which may be about anything:
            two lines of prose with a comma each are no CSV. None: ``matches`` is strict enough.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Reader
    matches: Sniff
    binary: bool = False
    surely: Sniff | None = None


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format("parquet", (".parquet", ".pq", ".parq"), read_parquet, looks_like_parquet, True),
        Format("arrow", (".arrow", ".feather", ".ipc"), read_arrow, looks_like_arrow, True),
        Format("excel", EXCEL_SUFFIXES, read_excel, looks_like_excel, True),
        Format("feed", (".rss", ".atom", ".rdf", ".cdf"), read_feed, looks_like_feed),
        Format("sitemap", (), read_sitemap, looks_like_sitemap),
        Format("urls", (".urls",), read_urls, looks_like_urls, surely=is_surely_urls),
        Format("json", (".json", ".geojson"), read_json, looks_like_json),
        Format(
            "jsonl",
            (".jsonl", ".ndjson", ".json-lines"),
            read_jsonl,
            looks_like_jsonl,
            surely=is_surely_jsonl,
        ),
        Format("csv", (".csv", ".tsv"), read_csv, looks_like_csv, surely=is_surely_csv),
        Format(DOCUMENT, DOCUMENT_SUFFIXES, read_document, looks_like_html),
    )
}
"""All formats by name; content that matches several is taken for the first."""


def read(source: Source, batch_rows: int = BATCH_ROWS) -> Generator[RecordChunk]:
    """Stream a source's raw rows with the reader of its format.

    `source.constants` come as columns of each row, unless the file has such a column itself.
    """
    for chunk in FORMATS[source.format].read(source, batch_rows):
        for record in chunk.records if source.constants else ():
            for name, value in source.constants:
                record.setdefault(name, value)
        yield chunk


def format_named(name: str) -> str:
    """Check the name of a format that the user gives; raise UserError if there is none such."""
    if name not in FORMATS:
        raise UserError(f"{name} is not a format that can be read; say one of {', '.join(FORMATS)}")
    return name


def known_suffixes() -> str:
    """List the suffixes of all formats, for messages."""
    return " ".join(suffix for each in FORMATS.values() for suffix in each.suffixes)


def format_of_suffix(file_name: str) -> Format | None:
    """Return the format that a file's name tells, if any."""
    suffix = PurePath(file_name).suffix.lower()
    return next((each for each in FORMATS.values() if suffix in each.suffixes), None)


def format_of(place: ByteSource, name: str) -> str:
    """Return the name of a file's format, by its content where the suffix does not tell or lies.

    `name` is what the user calls it. Raises UserError if the file cannot be read or is in none
    of `FORMATS`.
    """
    head = _head(place, name)
    named = format_of_suffix(place.file_name)
    if not head.strip():
        raise UserError(f"{name} is empty: there is no article in it")
    found = _found(named, head)
    if found is not None and (found.name != DOCUMENT or named in (None, found)):
        return found.name
    _refuse_foreign(name, named, head)
    if named is None or named.binary or looks_binary(head):
        seems = f"is not {named.name} inside" if named else "is in a format that is not known"
        raise UserError(
            f"{name} {seems}; these can be read: {known_suffixes()}; "
            "if it is one of them, say which by --format"
        )
    return named.name


def _refuse_foreign(name: str, named: Format | None, head: bytes) -> None:
    if kind := foreign_kind(head):
        raise UserError(f"{name} is {kind}")
    if named is not None and looks_like_html(head):
        raise UserError(
            f"{name} is an HTML page, not {named.name} (what a site sends in place of a file?); "
            "fetch it anew, or name it .html if the page is the article"
        )


def _head(place: ByteSource, name: str) -> bytes:
    try:
        with place.open() as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}") from error


def _found(named: Format | None, head: bytes) -> Format | None:
    """Return the format that the content is in, the one of the name first."""
    if named is not None and named.name == DOCUMENT:
        others = [each for each in FORMATS.values() if each is not named]
        sure = (each for each in others if (each.surely or each.matches)(head))
        is_text = not looks_binary(head) and foreign_kind(head) is None
        return next(sure, named if is_text else None)
    matching = [each for each in FORMATS.values() if each.matches(head)]
    return named if named in matching else next(iter(matching), None)
