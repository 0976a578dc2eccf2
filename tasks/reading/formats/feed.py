"""Read feeds, one row per entry: RSS, RDF, Atom and CDF by feedparser, and JSON Feed."""

from __future__ import annotations

import calendar
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import struct_time
from typing import Any

import feedparser
import orjson
from lxml import etree, html

from article_flows.tasks.common.errors import UserError
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
from article_flows.tasks.reading.formats.sniff import first_element, xml_text

MAX_FEED_BYTES = 64 << 20
"""Size limit, because a feed is parsed as a whole and takes about ten times its size in memory."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_TEXT_TYPE = re.compile(r"(text/.*|(application/)?x?html(\+xml)?|)$")
_VERSION = re.compile(rb'"version"\s*:\s*"https?:\\?/\\?/(?:www\.)?jsonfeed\.org\\?/version\\?/1')
_TAG = re.compile(r"<[^>]*>")
_SNIFFED_BYTES = 64 << 10
_INVALID = "invalid"
"""Key under which an invalid entry carries its reason."""


def read_feed(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read the entries of a feed, numbered from 1, without fetching the linked pages.

    A record has ``text`` (the longer of content and summary; HTML stays HTML) and, if present,
    ``id``, ``title``, ``description`` (the shorter of the two), ``url``, ``author``, ``date``
    (a datetime in UTC, or the text if it cannot be parsed), ``category``, ``language``,
    ``feed_title``, ``comments`` (a URL) and ``enclosures`` (a list of URLs). Entries without
    text are rejected. A malformed feed is read as far as possible, as ``source.facts["feed"]``
    then says.

    Raises:
        UserError: The file is not a feed, or is larger than MAX_FEED_BYTES.
    """
    with open_source(source) as file:
        data = file.read(MAX_FEED_BYTES + 1)
    if len(data) > MAX_FEED_BYTES:
        raise UserError(
            f"{source.name} is a feed of more than {MAX_FEED_BYTES:,} bytes, the limit for feeds; "
            "split it, or load it as JSON Lines"
        )
    is_json = looks_like_json_feed(data)
    feed = parse_json_feed(data, source.name) if is_json else _parsed(data, source)
    yield from in_chunks(_rows(feed, source), batch_rows)


def _rows(feed: Any, source: Source) -> Iterator[Row | Reject]:
    entries = feed.get("entries") or []
    if not feed.get("version") and not entries:
        raise UserError(
            f"{source.name} cannot be read as a feed{_error_of(feed)}; RSS, Atom and JSON Feed are "
            "supported"
        )
    malformed = f", malformed{_error_of(feed)}; read as far as possible" if feed.get("bozo") else ""
    source.facts["feed"] = f"{feed.get('version') or 'of an unknown version'}{malformed}"
    channel = feed.get("feed") or {}
    for number, entry in enumerate(entries, start=1):
        record = _record(entry, channel)
        if "text" in record:
            yield Row(number, record, len(record["text"]))
        else:
            excerpt = record.get("title") or record.get("url") or record.get("id") or ""
            reason = "no text, only a title" if "title" in record else "no text"
            yield Reject(number, entry.get(_INVALID, reason), excerpt[:EXCERPT_CHARS])


def _parsed(data: bytes, source: Source) -> Any:
    # Synthetic response headers tell feedparser the encoding and the base URL.
    headers = {}
    if source.encoding:
        headers["content-type"] = f"application/xml; charset={source.encoding}"
    if source.name.startswith(("http://", "https://")):
        headers["content-location"] = source.name
    try:
        # As a file object, because feedparser may interpret bytes as a path or URL and open it.
        return feedparser.parse(
            io.BytesIO(data),
            response_headers=headers,
            sanitize_html=True,
            resolve_relative_uris=True,
        )
    except Exception as error:
        # feedparser is supposed to set `bozo` instead of raising, but some errors escape it.
        raise UserError(
            f"{source.name} cannot be read as a feed ({type(error).__name__}: {error})"
        ) from error


def _error_of(feed: Any) -> str:
    error = feed.get("bozo_exception") if feed.get("bozo") else None
    return f" ({' '.join(str(error).split())[:120]})" if error is not None else ""


def _record(entry: Any, channel: Any) -> Record:
    (text, language), *others = _texts(entry) or [("", "")]
    teaser = next((other for other, _ in others if other != text), "")
    tags = (tag.get("label") or tag.get("term") or "" for tag in entry.get("tags") or ())
    record = {
        "id": entry.get("id"),
        "title": _title(entry),
        "text": text,
        "description": teaser,
        "url": entry.get("link"),
        "author": entry.get("author") or channel.get("author"),
        "date": _date(entry),
        "category": ", ".join(dict.fromkeys(tag.strip() for tag in tags if tag.strip())),
        "language": entry.get("language") or language or channel.get("language"),
        "feed_title": _title(channel),
        "comments": entry.get("comments"),
        "enclosures": [each["href"] for each in entry.get("enclosures") or () if each.get("href")],
    }
    return {name: value for name, value in record.items() if value}


def _texts(entry: Any) -> list[tuple[str, str]]:
    """Return the texts of an entry with their languages, the longest first."""
    parts = list(entry.get("content") or ())
    if entry.get("summary"):
        parts.append(entry.get("summary_detail") or {"value": entry["summary"]})
    texts = [
        (str(part.get("value") or "").strip(), str(part.get("language") or ""))
        for part in parts
        if _TEXT_TYPE.match(str(part.get("type") or "").lower())
    ]
    return sorted(texts, key=lambda each: len(each[0]), reverse=True)


def _title(entry: Any) -> str:
    """Return the title of an entry or channel without markup."""
    title = str(entry.get("title") or "").strip()
    kind = (entry.get("title_detail") or {}).get("type")
    if kind in _HTML_TYPES and ("<" in title or "&" in title):
        with suppress(etree.LxmlError, ValueError):
            title = "".join(map(str, html.fromstring(f"<div>{title}</div>").itertext())).strip()
    return title


def _date(entry: Any) -> datetime | str | None:
    for name in ("published", "updated", "created"):
        parsed, text = entry.get(f"{name}_parsed"), entry.get(name)
        if parsed:
            try:
                return _EPOCH + timedelta(seconds=calendar.timegm(parsed))
            except (ValueError, OverflowError):
                return str(text)
        if text:
            return str(text)
    return None


def looks_like_feed(head: bytes) -> bool:
    """Return whether `head` starts a feed: by its root element, or by the JSON Feed version."""
    name = first_element(head).rpartition(":")[2].lower()
    if name == "rdf":
        return "purl.org/rss/" in (text := xml_text(head)) or "netscape.com/rdf" in text
    return name in ("rss", "feed", "channel") or looks_like_json_feed(head)


def looks_like_json_feed(head: bytes) -> bool:
    """Return whether `head` declares a JSON Feed version."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return start == b"{" and _VERSION.search(head[:_SNIFFED_BYTES]) is not None


def parse_json_feed(data: bytes, name: str) -> dict[str, Any]:
    """Parse a JSON Feed (https://jsonfeed.org) into feedparser's structure.

    Raises:
        UserError: It is not valid.
    """
    try:
        feed = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise UserError(f"{name} is a JSON feed with invalid JSON: {error}; fix it") from error
    items = feed.get("items")
    if not isinstance(items, list):
        raise UserError(f"{name} is a JSON feed without a list of items")
    channel = {each: _text(feed.get(each)) for each in ("title", "language")}
    return {
        "version": f"JSON feed {str(feed.get('version', '')).rpartition('/')[2]}",
        "feed": channel | {"author": _authors(feed)},
        "entries": list(map(_entry, items)),
    }


def _entry(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        return {_INVALID: "not a JSON object", "id": orjson.dumps(item).decode()}
    # If both are equally long, `max` picks the first, which is plain text.
    contents = (_text(item.get(each)) for each in ("content_text", "content_html"))
    entry = {each: _text(item.get(each)) for each in ("id", "title", "summary", "language")}
    date = _text(item.get("date_published")) or _text(item.get("date_modified"))
    return entry | {
        "content": [{"value": max(contents, key=lambda text: len(_TAG.sub("", text)))}],
        "link": _text(item.get("url")) or _text(item.get("external_url")),
        "author": _authors(item),
        "published": date,
        "published_parsed": _moment(date),
        "tags": [{"term": _text(tag)} for tag in _list(item.get("tags"))],
        "enclosures": [
            {"href": _text(each.get("url"))}
            for each in _list(item.get("attachments"))
            if isinstance(each, dict)
        ],
    }


def _text(value: Any) -> str:
    """Return a string or number as text: version 1.0 allowed numbers as ids."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    return str(value).strip()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _authors(item: dict[str, Any]) -> str:
    """Return the names of the authors: a list in version 1.1, a single author in 1.0."""
    authors = _list(item.get("authors")) or [item.get("author")]
    names = (_text(each.get("name")) for each in authors if isinstance(each, dict))
    return ", ".join(filter(None, names))


def _moment(text: str) -> struct_time | None:
    try:
        return datetime.fromisoformat(text).utctimetuple()
    except (ValueError, OverflowError):
        return None
