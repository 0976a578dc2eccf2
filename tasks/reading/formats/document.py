"""Read a text, Markdown or HTML file as one article, with its title and front matter."""

import io
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote

import yaml

from article_flows.tasks.reading.base.rows import (
    BATCH_ROWS,
    EXCERPT_CHARS,
    Record,
    RecordChunk,
    Reject,
    Row,
    Source,
    in_chunks,
    open_source,
)
from article_flows.tasks.reading.base.text_encoding import read_all_text, source_encoding
from article_flows.tasks.reading.formats.sniff import looks_like_html
from article_flows.tasks.reading.places.web_files import WebFile
from article_flows.tasks.reading.web.charset import page_encoding
from article_flows.tasks.reading.web.html_article import (
    HTML_SNIFF_BYTES,
    NotAnArticle,
    html_article,
)

HTML_SUFFIXES = (".html", ".htm", ".xhtml")
MARKDOWN_SUFFIXES = (".md", ".markdown", ".mdx")
TEXT_SUFFIXES = (".txt", ".text")
DOCUMENT_SUFFIXES = (*TEXT_SUFFIXES, *MARKDOWN_SUFFIXES, *HTML_SUFFIXES)

MAX_DOCUMENT_BYTES = 64 << 20
MAX_HTML_BYTES = 10 << 20
"""Lower than for text, because the parsed tree takes about 20 times the size of the page."""
MAX_FRONT_MATTER_CHARS = 64 << 10
_MAX_TITLE_CHARS = 150
_YAML = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_TOML = re.compile(r"\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#[ \t]+(\S.*?)[ \t#]*$|^(\S.*?)[ \t]*\n=+[ \t]*$", re.MULTILINE)
_DATED_NAME = re.compile(r"(\d{4}-\d\d-\d\d)-(.+)")
_EMPTY_VALUES = ("", "~", "null", "Null", "NULL")
_RESERVED_COLUMNS = ("text", "body", "file_name", "reference_summary")


def read_document(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read a file as one article with ``title``, ``text``, ``file_name`` and its metadata.

    The row gets no id from the file: an id from the path would depend on the working directory,
    and one from the name would not be unique. The article is identified by the id or URL in its
    metadata, or else by its content.

    If the source has `references`, the text of that file becomes ``reference_summary``.
    """
    return in_chunks(iter([_row(source)]), batch_rows)


def _row(source: Source) -> Row | Reject:
    with open_source(source) as file:
        raw = file.read(MAX_DOCUMENT_BYTES + 1)
    is_html = _is_html(source, raw)
    limit = MAX_HTML_BYTES if is_html else MAX_DOCUMENT_BYTES
    if len(raw) > limit:
        excerpt = raw[: 4 * EXCERPT_CHARS].decode(errors="replace")[:EXCERPT_CHARS]
        return Reject(1, f"a document of over {limit >> 20} MiB", excerpt)
    declared = page_encoding(raw) if is_html else ""
    declared_source = replace(source, encoding=source.encoding or declared)
    encoding = source_encoding(io.BytesIO(raw), declared_source)
    text = raw.decode(encoding, "replace").removeprefix("\ufeff")
    if not text.strip():
        return Reject(1, "a document without text", "")
    try:
        record = _record(source, text, is_html)
    except NotAnArticle as error:
        return Reject(1, str(error), text[:EXCERPT_CHARS])
    record.setdefault("title", title_of_name(source.file.file_name))
    record["file_name"] = source.file.file_name
    if isinstance(source.file, WebFile) and source.file.name == source.file.url:
        # The name of a URL with a query differs, because the query may contain a signature.
        record.setdefault("url", source.file.url)
    if (summary := _reference(source)) is not None:
        record["reference_summary"] = summary
    return Row(1, record, len(raw))


def _is_html(source: Source, raw: bytes) -> bool:
    suffix = PurePath(source.file.file_name).suffix.lower()
    return suffix in HTML_SUFFIXES or looks_like_html(raw[:HTML_SNIFF_BYTES])


def _record(source: Source, text: str, is_html: bool) -> Record:
    if is_html:
        source.facts["kind"] = "HTML"
        return html_article(text, source.facts)
    if PurePath(source.file.file_name).suffix.lower() in MARKDOWN_SUFFIXES:
        source.facts["kind"] = "Markdown"
        return markdown_article(text, source.facts)
    source.facts["kind"] = "text"
    return text_article(text)


def _reference(source: Source) -> str | None:
    if source.references is None:
        return None
    summary = Source(source.references, f"{source.name} (its reference)", source.format)
    with open_source(summary) as file:
        text, _ = read_all_text(file, summary.name, source.encoding, limit=MAX_DOCUMENT_BYTES)
    return text.strip() or None


def text_article(text: str) -> Record:
    """Return a text as an article, titled by its first line if that is clearly a title.

    A title is short, underlined or followed by an empty line, and does not end like a sentence
    or a list.
    """
    first, _, rest = text.strip("\ufeff\r\n\t ").partition("\n")
    first, rest = first.strip(), rest.replace("\r", "\n")
    second = rest.split("\n", 1)[0].strip()
    alone = not second or (set(second) <= set("=-") and len(second) > 2)
    is_title = (
        alone
        and 0 < len(first) <= _MAX_TITLE_CHARS
        and len(rest.strip(" \n=-")) > len(first)
        and not first.endswith((".", ",", ";", ":", "。", ",", "、"))
    )
    return {"title": first, "text": text} if is_title else {"text": text}


def markdown_article(text: str, facts: dict[str, str]) -> Record:
    """Return a Markdown text as an article: front matter becomes columns, the text stays Markdown.

    The title comes from the front matter, or else from the first level-1 heading.

    Args:
        text: The file's text.
        facts: Receives ``front_matter``; invalid front matter stays in the text.
    """
    text = text.replace("\r\n", "\n")
    front, body = _front_matter(text, facts)
    record: Record = {}
    for key, value in front.items():
        name = f"{key}_in_front" if key.casefold() in _RESERVED_COLUMNS else key
        if value not in _EMPTY_VALUES:
            record[name] = value
    record["text"] = body
    heading = _HEADING.search(_FENCE.sub("", body))
    if not any(key.casefold() == "title" for key in record) and heading:
        record["title"] = heading[1] or heading[2]
    return record


class _Loader(yaml.BaseLoader):
    """YAML loader that keeps scalars as strings: the language `no` must not become False.

    It rejects aliases, which can expand a few lines to gigabytes.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not supported")
        return super().compose_node(parent, index)


def _front_matter(text: str, facts: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Split a text into its front matter (YAML, or TOML as in Hugo) and the rest."""
    for kind, pattern in (("YAML", _YAML), ("TOML", _TOML)):
        found = pattern.match(text, 0, MAX_FRONT_MATTER_CHARS)
        if not found:
            continue
        try:
            # Safe: this loader creates only strings, lists and dicts.
            front = yaml.load(found[1], _Loader) if kind == "YAML" else tomllib.loads(found[1])
        except (yaml.YAMLError, ValueError, RecursionError):
            front = None
        if isinstance(front, dict):
            facts["front_matter"] = kind
            return {str(key): value for key, value in front.items()}, text[found.end() :]
        facts["front_matter"] = f"no valid {kind}, left in the text"
    return {}, text


def title_of_name(file_name: str) -> str:
    """Return a title for a file without one.

    Example:
        >>> title_of_name("Al_Capone.txt")
        'Al Capone'
        >>> title_of_name("2024-05-01-a-new-bridge.md")
        'a new bridge'
    """
    stem = unquote(PurePath(file_name).stem)
    if dated := _DATED_NAME.fullmatch(stem):
        stem = dated[2]
    # Hyphens separate the words of a slug, but are part of a name such as Ku-Klux-Klan.
    is_slug = stem.count("-") > 1 and " " not in stem and stem == stem.lower()
    separator = "_" if "_" in stem else "-" if is_slug else None
    title = stem.replace(separator, " ") if separator else stem
    return " ".join(title.split()) or file_name
