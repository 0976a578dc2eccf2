"""Articles of web pages: the main text without menus and footers, and what the page says of it."""

import re
from typing import Any
from urllib.parse import urlsplit

import lxml.html
from lxml import etree

from tasks.reading.documents_dates import published
from tasks.reading.readers_base import Record

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


class NotAnArticle(Exception):
    """A page that has no main text; the message says why, for the row's reject."""


def html_article(html: str, facts: dict[str, str], url: str | None = None) -> Record:
    """Return the article in a page: ``title``, ``text`` and author, date, url, language… if told.

    The main text is trafilatura's choice; where it finds none, the paragraphs of the body are
    taken, and `facts` says so. `url` is where the page is from, if that is known. Raises
    NotAnArticle if there is nothing but menus and the like.
    """
    html = _DECLARED_ENCODING.sub("", html, count=1)
    found = _extracted(html, url)
    tree = _tree(html)
    date = published(tree, found.get("date"))
    text = (found.get("text") or "").strip()
    if len(text) < LEAST_MAIN and not _says_something(tree):
        text = ""
    if not text:
        text = _paragraphs(tree)
        facts["main_text"] = "not found; the page's paragraphs are taken"
    if not text:
        raise NotAnArticle("an HTML page without a main text")
    told = {
        "title": found.get("title") or _title(tree),
        "text": text,
        "author": found.get("author"),
        "date": date,
        "url": _article_url(found.get("url")),
        "language": found.get("language") or _language(tree),
        "sitename": found.get("sitename"),
        "description": found.get("description"),
        "categories": found.get("categories"),
        "tags": found.get("tags"),
    }
    return {name: value for name, value in told.items() if value}


_DECLARED_ENCODING = re.compile(r"^\s*<\?xml[^>]*\?>")
_DATES = {"extensive_search": False, "original_date": True}


def _extracted(html: str, url: str | None) -> dict[str, Any]:
    # Its import takes longer than all the rest of a command that reads no page.
    import trafilatura

    try:
        found = trafilatura.bare_extraction(
            html, url=url, with_metadata=True, include_comments=False, date_extraction_params=_DATES
        )
    except (RecursionError, ValueError, etree.LxmlError):
        return {}
    if found is None:
        return {}
    return found if isinstance(found, dict) else found.as_dict()


def _tree(html: str) -> Any:
    try:
        return lxml.html.document_fromstring(html, parser=lxml.html.HTMLParser(no_network=True))
    except (etree.LxmlError, ValueError):
        return lxml.html.Element("html")


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
    said: str | None = tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang")
    return said


def _article_url(url: str | None) -> str | None:
    """The page's address; none if it is the site's front page, which all its pages may say."""
    if not url:
        return None
    parts = urlsplit(url)
    return url if parts.scheme in ("http", "https") and parts.path not in ("", "/") else None
