"""Articles of web pages: the main text without menus and footers, and what the page says of it."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import lxml.html
from lxml import etree

from article_flows.tasks.reading.base.rows import Record

EXCERPT_HTML = 4096
"""Bytes of a page that are looked at for what it is."""
LEAST_PARAGRAPH = 60
"""Characters of the shortest text that is taken for a paragraph where no main text is found."""
LEAST_MAIN = 200
"""Characters of a main text that is taken without a look at whether it is but a menu."""
_BLOCKS = tuple(
    "address article blockquote body br center dd div dl dt fieldset figcaption figure "
    "h1 h2 h3 h4 h5 h6 hr li main ol p pre section table td th tr ul".split()
)
# A character that HTML gives no meaning, where a line end is but a space.
_BREAK = "\u2029"
_NOT_TEXT = ("script", "style", "noscript", "template", "nav", "header", "footer", "aside", "form")


_DATE_HEADS = (
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


class NotAnArticle(Exception):
    """A page that has no main text; the message says why, for the row's reject."""


def html_article(html: str, facts: dict[str, str], url: str | None = None) -> Record:
    """Return the article in a page: ``title``, ``text`` and author, date, url, language… if told.

    The main text is trafilatura's choice; where it finds none, the paragraphs of the body are
    taken, and `facts` says so. `url` is where the page is from, if that is known. Raises
    NotAnArticle if there is nothing but menus and the like.
    """
    tree = parsed_html(html)
    record = article_in(tree, url)
    if "text" not in record:
        record["text"] = _paragraphs(tree)
        facts["main_text"] = "not found; the page's paragraphs are taken"
    if not record["text"]:
        raise NotAnArticle("an HTML page without a main text")
    return record


def parsed_html(html: str) -> Any:
    """Return a page's tree, as trafilatura reads it; that of what is no page is empty."""
    # Its import takes longer than all the rest of a command that reads no page.
    from trafilatura import load_html

    html = _DECLARED_ENCODING.sub("", html, count=1)
    try:
        tree = load_html(html)
        if tree is None:
            parser = lxml.html.HTMLParser(no_network=True)
            tree = lxml.html.document_fromstring(html, parser=parser)
    except (etree.LxmlError, ValueError):
        return lxml.html.Element("html")
    return tree


def article_in(tree: Any, url: str | None = None) -> Record:
    """Return what a page's tree says of its article; without ``text`` if it has no main text."""
    found = _extracted(tree, url)
    text = (found.get("text") or "").strip()
    if len(text) < LEAST_MAIN and not _says_something(tree):
        text = ""
    told = {
        "title": found.get("title") or _title(tree),
        "text": text,
        "author": found.get("author"),
        "date": _published(tree, found.get("date")),
        "url": _article_url(found.get("url")),
        "language": _language(tree),
        "sitename": found.get("sitename"),
        "description": found.get("description"),
        "categories": found.get("categories"),
        "tags": found.get("tags"),
    }
    return {name: value for name, value in told.items() if value}


_DECLARED_ENCODING = re.compile(r"^\s*<\?xml[^>]*\?>")
# A date that was guessed from anywhere in the page is worse than none.
_DATES = {"extensive_search": False, "original_date": True}


def _extracted(tree: Any, url: str | None) -> dict[str, Any]:
    from trafilatura import bare_extraction

    try:
        found = bare_extraction(
            tree, url=url, with_metadata=True, include_comments=False, date_extraction_params=_DATES
        )
    except (RecursionError, ValueError, etree.LxmlError):
        return {}
    if found is None:
        return {}
    return found if isinstance(found, dict) else found.as_dict()


def _says_something(tree: Any) -> bool:
    """Tell whether a page has text that is neither a link nor in a menu or the like."""
    outside = " and ".join(f"not(ancestor::{tag})" for tag in (*_NOT_TEXT, "a", "head"))
    return bool(tree.xpath(f"boolean(//text()[normalize-space() and {outside}])"))


def _paragraphs(tree: Any) -> str:
    """The text of the body, block by block; "" if none of them is as long as a paragraph."""
    for element in list(tree.iter(*_NOT_TEXT, etree.Comment)):
        element.drop_tree()
    for element in tree.iter(*_BLOCKS):
        element.text = f"{_BREAK}{element.text or ''}"
        element.tail = f"{_BREAK}{element.tail or ''}"
    body = tree.find("body")
    lines = str((tree if body is None else body).text_content()).split(_BREAK)
    blocks = [text for line in lines if (text := " ".join(line.split()))]
    return "\n".join(blocks) if any(len(text) >= LEAST_PARAGRAPH for text in blocks) else ""


def _title(tree: Any) -> str | None:
    return " ".join((tree.findtext(".//title") or "").split()) or None


def _language(tree: Any) -> str | None:
    """Return what the page says of its language; BCP 47's first part with its region."""
    for path in (
        "/html/@lang",
        "/html/@*[local-name()='lang']",
        "//meta[@property='og:locale']/@content",
        "//meta[translate(@http-equiv,'CLNTU','clntu')='content-language']/@content",
    ):
        for value in tree.xpath(path):
            tag = str(value).strip().replace("_", "-")
            if tag and len(tag) <= 20 and tag.split("-")[0].isalpha():
                return tag
    return None


def _article_url(url: str | None) -> str | None:
    """The page's address; none if it is the site's front page, which all its pages may say."""
    if not url:
        return None
    parts = urlsplit(url)
    return url if parts.scheme in ("http", "https") and parts.path not in ("", "/") else None


def _published(tree: Any, day: str | None) -> str | None:
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
        if name.lower() in _DATE_HEADS and (said := (meta.get("content") or "").strip()):
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
