"""Extract the article of an HTML page: its main text, without menus and footers, and metadata."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import lxml.html
from lxml import etree

from article_flows.tasks.reading.base.rows import Record

HTML_SNIFF_BYTES = 4096
"""Bytes at the start of a file by which it is recognized as HTML."""
MIN_PARAGRAPH_CHARS = 60
"""Length of the shortest text that counts as a paragraph if no main text is found."""
MIN_MAIN_TEXT_CHARS = 200
"""Length below which a main text is checked for being only a menu."""
_BLOCKS = tuple(
    "address article blockquote body br center dd div dl dt fieldset figcaption figure "
    "h1 h2 h3 h4 h5 h6 hr li main ol p pre section table td th tr ul".split()
)
# Not a line break, which is only a space in HTML; this character has no meaning there.
_BLOCK_BREAK = "\u2029"
_BOILERPLATE = tuple("script style noscript template nav header footer aside form".split())
_DATE_NAMES = (
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
_JSON_LD_DATE = re.compile(r'"datePublished"\s*:\s*"([^"\\]{8,40})"')
_WITH_TIME_OF_DAY = re.compile(r"\d{4}-?\d\d-?\d\d[T ]\d\d:?\d\d")
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
# No date is better than one guessed from anywhere in the page.
_DATES = {"extensive_search": False, "original_date": True}


class NotAnArticle(Exception):
    """A page without a main text; the message becomes the reason of a reject."""


def html_article(html: str, facts: dict[str, str], url: str | None = None) -> Record:
    """Return the article of a page: ``title``, ``text``, and if known author, date, language….

    trafilatura selects the main text. If it finds none, the paragraphs of the body are used.

    Args:
        html: The page.
        facts: Gets ``main_text`` if no main text was found.
        url: Of the page, if known.

    Raises:
        NotAnArticle: The page has nothing but menus and the like.
    """
    tree = parse_html(html)
    record = extract_from_tree(tree, url)
    if "text" not in record:
        record["text"] = _paragraphs(tree)
        facts["main_text"] = "not found; the page's paragraphs are used"
    if not record["text"]:
        raise NotAnArticle("an HTML page without a main text")
    return record


def parse_html(html: str) -> Any:
    """Return the lxml tree of a page as trafilatura parses it; an empty one if it is not HTML."""
    # Imported late: it takes longer than a whole command that reads no page.
    from trafilatura import load_html

    html = _XML_DECLARATION.sub("", html, count=1)
    try:
        tree = load_html(html)
        if tree is None:
            parser = lxml.html.HTMLParser(no_network=True)
            tree = lxml.html.document_fromstring(html, parser=parser)
    except (etree.LxmlError, ValueError):
        return lxml.html.Element("html")
    return tree


def extract_from_tree(tree: Any, url: str | None = None) -> Record:
    """Return the known columns of the article in a page's tree; no ``text`` without main text."""
    found = _extract(tree, url)
    text = (found.get("text") or "").strip()
    if len(text) < MIN_MAIN_TEXT_CHARS and not _has_text_outside_menus(tree):
        text = ""
    columns = {
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
    return {name: value for name, value in columns.items() if value}


def _extract(tree: Any, url: str | None) -> dict[str, Any]:
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


def _has_text_outside_menus(tree: Any) -> bool:
    """Return whether a page has text that is neither a link nor boilerplate."""
    outside = " and ".join(f"not(ancestor::{tag})" for tag in (*_BOILERPLATE, "a", "head"))
    return bool(tree.xpath(f"boolean(//text()[normalize-space() and {outside}])"))


def _paragraphs(tree: Any) -> str:
    """Return the text of the body, a block per line; empty if no block is a paragraph's length."""
    for element in list(tree.iter(*_BOILERPLATE, etree.Comment)):
        element.drop_tree()
    for element in tree.iter(*_BLOCKS):
        element.text = f"{_BLOCK_BREAK}{element.text or ''}"
        element.tail = f"{_BLOCK_BREAK}{element.tail or ''}"
    body = tree.find("body")
    lines = str((tree if body is None else body).text_content()).split(_BLOCK_BREAK)
    blocks = [text for line in lines if (text := " ".join(line.split()))]
    return "\n".join(blocks) if any(len(text) >= MIN_PARAGRAPH_CHARS for text in blocks) else ""


def _title(tree: Any) -> str | None:
    return " ".join((tree.findtext(".//title") or "").split()) or None


def _language(tree: Any) -> str | None:
    """Return the page's declared language as a BCP 47 tag."""
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
    """Return the declared URL, unless it is the site's home page, which some declare everywhere."""
    if not url:
        return None
    parts = urlsplit(url)
    return url if parts.scheme in ("http", "https") and parts.path not in ("", "/") else None


def _published(tree: Any, day: str | None) -> str | None:
    """Return a page's date of publication, with the time of day if the page has one for that day.

    Args:
        tree: The page's lxml tree, including its head and scripts.
        day: The date that trafilatura found (``2024-05-06``). If None, only explicit dates of
            publication are used, not the page's time elements.
    """
    declared = list(_declared_dates(tree))
    if day is None:
        return next(filter(_WITH_TIME_OF_DAY.match, declared), declared[0] if declared else None)
    candidates = [*declared, *_time_elements(tree)]
    same_day = [each for each in candidates if each.startswith((day, day.replace("-", "")))]
    return next(filter(_WITH_TIME_OF_DAY.match, same_day), same_day[0] if same_day else day)


def _declared_dates(tree: Any) -> Iterator[str]:
    """Yield the dates of publication in meta elements and JSON-LD."""
    for meta in tree.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("itemprop") or ""
        if name.lower() in _DATE_NAMES and (date := (meta.get("content") or "").strip()):
            yield str(date)
    for script in tree.iter("script"):
        if "ld+json" in (script.get("type") or "").lower():
            yield from map(str.strip, _JSON_LD_DATE.findall(script.text or ""))


def _time_elements(tree: Any) -> Iterator[str]:
    """Return the dates of time elements; those marked as date of publication come first."""
    times = sorted(tree.iter("time"), key=lambda each: not _is_publication_date(each))
    return (date for time in times if (date := (time.get("datetime") or "").strip()))


def _is_publication_date(time: Any) -> bool:
    return time.get("pubdate") is not None or time.get("itemprop") == "datePublished"
