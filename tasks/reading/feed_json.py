"""JSON Feed 1.0 and 1.1 (jsonfeed.org): each item with a text is a row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from tasks.errors import UserError
from tasks.reading.readers_base import EXCERPT_CHARS, Record, Reject, Row, Source

_VERSION = re.compile(rb'"version"\s*:\s*"https?:\\?/\\?/(?:www\.)?jsonfeed\.org\\?/version\\?/1')
_TAG = re.compile(r"<[^>]*>")
_SNIFFED_BYTES = 64 << 10


def looks_like_json_feed(head: bytes) -> bool:
    """Tell a JSON feed by its version, which says so near its start."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return start == b"{" and _VERSION.search(head[:_SNIFFED_BYTES]) is not None


def json_entries(data: bytes, source: Source) -> Iterator[Row | Reject]:
    """Give a JSON feed's items, numbered from 1; raises UserError if it is none."""
    try:
        feed = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise UserError(f"{source.name} is a feed with broken JSON: {error}; mend it") from error
    items = feed.get("items")
    if not isinstance(items, list):
        raise UserError(f"{source.name} is a JSON feed without a list of items")
    source.facts["feed"] = f"JSON feed {str(feed.get('version', '')).rpartition('/')[2]}"
    for number, item in enumerate(items, start=1):
        record = _record(item, feed) if isinstance(item, dict) else None
        if record is None:
            yield Reject(number, "no JSON object", _raw(item))
        elif "text" in record:
            yield Row(number, record, len(record["text"]))
        else:
            reason = "no text, only a title" if "title" in record else "no text"
            yield Reject(number, reason, _raw(item))


def _record(item: dict[str, Any], feed: dict[str, Any]) -> Record:
    texts = [_text(item.get(name)) for name in ("content_text", "content_html")]
    text, summary = max(texts, key=_fullness), _text(item.get("summary"))
    attached = item.get("attachments")
    tags = item.get("tags")
    record = {
        "id": _text(item.get("id")),
        "title": _text(item.get("title")),
        # Of two that are equally full the first, which is the plain one.
        "text": text or summary,
        "description": summary if text and summary != text else "",
        "url": _text(item.get("url")) or _text(item.get("external_url")),
        "author": _authors(item) or _authors(feed),
        "date": _date(item.get("date_published")) or _date(item.get("date_modified")),
        "category": ", ".join(map(_text, tags)) if isinstance(tags, list) else "",
        "language": _text(item.get("language")) or _text(feed.get("language")),
        "feed_title": _text(feed.get("title")),
        "enclosures": [
            url
            for each in (attached if isinstance(attached, list) else ())
            if isinstance(each, dict) and (url := _text(each.get("url")))
        ],
    }
    return {name: value for name, value in record.items() if value}


def _fullness(text: str) -> int:
    return len(_TAG.sub("", text))


def _text(value: Any) -> str:
    """Return a string or number as text; version 1.0 had numbers for ids."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    return str(value).strip()


def _authors(of: dict[str, Any]) -> str:
    """Return the names of 1.1's list, or of 1.0's one author."""
    many = of.get("authors")
    authors = many if isinstance(many, list) and many else [of.get("author")]
    names = (_text(each.get("name")) for each in authors if isinstance(each, dict))
    return ", ".join(filter(None, names))


def _date(value: Any) -> datetime | str:
    text = _text(value)
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return text


def _raw(item: Any) -> str:
    return orjson.dumps(item).decode()[:EXCERPT_CHARS]
