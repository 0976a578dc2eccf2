"""When a page says that it was published: to the second where it does, not only the day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_META = (
    "article:published_time",
    "og:article:published_time",
    "datepublished",
    "dc.date.issued",
    "dcterms.issued",
    "dcterms.created",
    "pubdate",
    "publishdate",
    "parsely-pub-date",
    "sailthru.date",
)
_JSON_LD = re.compile(r'"datePublished"\s*:\s*"([^"\\]{8,40})"')
_TIME_OF_DAY = re.compile(r"\d{4}-?\d\d-?\d\d[T ]\d\d:?\d\d")


def published(tree: Any, day: str | None) -> str | None:
    """Return when a page was published, with the time of day if the page says one of that day.

    Args:
        tree: of lxml, with the page's heads and scripts still in it.
        day: the one that was found (``2024-05-06``); None: only what names itself the date of
            publication counts, not any time in the page.
    """
    said = list(_of_heads(tree))
    if day is None:
        return next(filter(_TIME_OF_DAY.match, said), said[0] if said else None)
    moments = [*said, *_of_times(tree)]
    of_day = [each for each in moments if each.startswith((day, day.replace("-", "")))]
    return next(filter(_TIME_OF_DAY.match, of_day), of_day[0] if of_day else day)


def _of_heads(tree: Any) -> Iterator[str]:
    """What meta elements and JSON-LD say."""
    for meta in tree.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("itemprop") or ""
        if name.lower() in _META and (said := (meta.get("content") or "").strip()):
            yield str(said)
    for script in tree.iter("script"):
        if "ld+json" in (script.get("type") or "").lower():
            yield from map(str.strip, _JSON_LD.findall(script.text or ""))


def _of_times(tree: Any) -> Iterator[str]:
    """What is in the page's time elements; those that are marked as its date come first."""
    times = sorted(tree.iter("time"), key=lambda each: not _is_marked(each))
    return (said for time in times if (said := (time.get("datetime") or "").strip()))


def _is_marked(time: Any) -> bool:
    return time.get("pubdate") is not None or time.get("itemprop") == "datePublished"
