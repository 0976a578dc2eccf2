"""Documents: one file of text, Markdown or HTML is one article."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePath

from tasks.reading.documents_html import EXCERPT_HTML, NotAnArticle, html_article
from tasks.reading.documents_text import markdown_article, text_article, title_of_name
from tasks.reading.places_web import WebPlace
from tasks.reading.readers_base import (
    BATCH_ROWS,
    EXCERPT_CHARS,
    Record,
    RecordChunk,
    Reject,
    Row,
    Source,
    in_chunks,
    opened,
)
from tasks.reading.readers_sniff import looks_like_html
from tasks.reading.readers_text import read_all_text, source_encoding
from tasks.reading.web_charset import page_encoding

HTML_SUFFIXES = (".html", ".htm", ".xhtml")
MARKDOWN_SUFFIXES = (".md", ".markdown", ".mdx")
TEXT_SUFFIXES = (".txt", ".text")
DOCUMENT_SUFFIXES = (*TEXT_SUFFIXES, *MARKDOWN_SUFFIXES, *HTML_SUFFIXES)

MAX_DOCUMENT = 64 << 20
"""The longest file taken for one article, in bytes."""
MAX_HTML = 10 << 20
"""The same for a page, of which a tree of some 20 times its size is made to find the text."""


def read_document(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read a file as one article: ``title``, ``text``, ``file_name`` and what else it says.

    It gets no id: one of the path would change with the folder that the user starts from, and one
    of the name would be the same in two folders. So it is told by its URL or id if it has one,
    or else by its content.

    If the source has `references`, the text of that file is the ``reference_summary``.
    """
    return in_chunks(iter([_row(source)]), batch_rows)


def _row(source: Source) -> Row | Reject:
    with opened(source) as file:
        raw = file.read(MAX_DOCUMENT + 1)
    is_html = _is_html(source, raw)
    limit = MAX_HTML if is_html else MAX_DOCUMENT
    if len(raw) > limit:
        excerpt = raw[: 4 * EXCERPT_CHARS].decode(errors="replace")[:EXCERPT_CHARS]
        return Reject(1, f"a document of over {limit >> 20} MiB", excerpt)
    declared = page_encoding(raw) if is_html else ""
    known = replace(source, encoding=source.encoding or declared)
    encoding = source_encoding(io.BytesIO(raw), known)
    text = raw.decode(encoding, "replace").removeprefix("\ufeff")
    if not text.strip():
        return Reject(1, "a document without text", "")
    try:
        record = _record(source, text, is_html)
    except NotAnArticle as error:
        return Reject(1, str(error), text[:EXCERPT_CHARS])
    record.setdefault("title", title_of_name(source.place.file_name))
    record["file_name"] = source.place.file_name
    if isinstance(source.place, WebPlace) and source.place.name == source.place.url:
        # A URL with a query may hold a signature, which is nobody's to see.
        record.setdefault("url", source.place.url)
    if (summary := _reference(source)) is not None:
        record["reference_summary"] = summary
    return Row(1, record, len(raw))


def _is_html(source: Source, raw: bytes) -> bool:
    suffix = PurePath(source.place.file_name).suffix.lower()
    return suffix in HTML_SUFFIXES or looks_like_html(raw[:EXCERPT_HTML])


def _record(source: Source, text: str, is_html: bool) -> Record:
    if is_html:
        source.facts["kind"] = "HTML"
        return html_article(text, source.facts)
    if PurePath(source.place.file_name).suffix.lower() in MARKDOWN_SUFFIXES:
        source.facts["kind"] = "Markdown"
        return markdown_article(text, source.facts)
    source.facts["kind"] = "text"
    return text_article(text)


def _reference(source: Source) -> str | None:
    place = source.references
    if place is None:
        return None
    summary = Source(place, f"{source.name} (its reference)", source.format)
    with opened(summary) as file:
        text, _ = read_all_text(file, summary.name, source.encoding, limit=MAX_DOCUMENT)
    return text.strip() or None
