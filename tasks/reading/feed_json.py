"""JSON Feed 1.0 and 1.1 (jsonfeed.org), as feedparser would give them."""

from __future__ import annotations

import re
from datetime import datetime
from time import struct_time
from typing import Any

import orjson

from tasks.errors import UserError

_VERSION = re.compile(rb'"version"\s*:\s*"https?:\\?/\\?/(?:www\.)?jsonfeed\.org\\?/version\\?/1')
_TAG = re.compile(r"<[^>]*>")
_SNIFFED_BYTES = 64 << 10
BROKEN = "broken"
"""The key of an entry that is none: why it is not."""


def looks_like_json_feed(head: bytes) -> bool:
    """Tell a JSON feed by its version, which says so near its start."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return start == b"{" and _VERSION.search(head[:_SNIFFED_BYTES]) is not None


def parse_json_feed(data: bytes, name: str) -> dict[str, Any]:
    """Parse a JSON feed to feedparser's names; raise UserError if it is none."""
    try:
        feed = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise UserError(f"{name} is a feed with broken JSON: {error}; mend it") from error
    items = feed.get("items")
    if not isinstance(items, list):
        raise UserError(f"{name} is a JSON feed without a list of items")
    about = {each: _text(feed.get(each)) for each in ("title", "language")}
    return {
        "version": f"JSON feed {str(feed.get('version', '')).rpartition('/')[2]}",
        "feed": about | {"author": _authors(feed)},
        "entries": list(map(_entry, items)),
    }


def _entry(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        return {BROKEN: "no JSON object", "id": orjson.dumps(item).decode()}
    # Of two that are equally full the first, which is the plain one.
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
    """Return a string or number as text; version 1.0 had numbers for ids."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    return str(value).strip()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _authors(of: dict[str, Any]) -> str:
    """Return the names of 1.1's list, or of 1.0's one author."""
    authors = _list(of.get("authors")) or [of.get("author")]
    names = (_text(each.get("name")) for each in authors if isinstance(each, dict))
    return ", ".join(filter(None, names))


def _moment(text: str) -> struct_time | None:
    try:
        return datetime.fromisoformat(text).utctimetuple()
    except (ValueError, OverflowError):
        return None
