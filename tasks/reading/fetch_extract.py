"""The article in a page, by trafilatura; run as a module it does so for the process above it."""

from __future__ import annotations

import io
import pickle
import sys
from typing import Any, BinaryIO

from lxml import etree, html
from trafilatura import bare_extraction

from tasks.reading.documents_dates import published
from tasks.reading.fetch_message import LENGTH, PLAIN_TYPES, Page
from tasks.reading.readers_text import read_all_text
from tasks.reading.web_charset import page_encoding

MAX_TREE = 200_000
"""Elements of a page that is looked at; articles have hundreds, lists of everything thousands."""
MOST_UNREADABLE = 0.05
"""The share of a page's characters that may be unreadable."""
_UNREADABLE = dict.fromkeys([*(code for code in range(32) if code not in b"\t\n\f\r"), 0xFFFD])
_MEMORY_BYTES = 4 << 30


def article_of(page: Page) -> dict[str, Any] | str:
    """Return the columns of a page's article that are known, or the reason why there is none."""
    declared = page_encoding(page.body, page.charset)
    text, _ = read_all_text(io.BytesIO(page.body), page.url, declared)
    if not text.strip():
        return "is an empty page"
    if len(text) - len(text.translate(_UNREADABLE)) > MOST_UNREADABLE * len(text):
        return "is no text, or in an encoding that cannot be told"
    if page.content_type in PLAIN_TYPES:
        return {"text": text}
    # Python's str knows its encoding; lxml refuses one that says another in its declaration.
    tree = _tree(text)
    if tree is None:
        return "is no page that can be parsed"
    if sum(1 for _ in tree.iter()) > MAX_TREE:
        return f"is a page of more than {MAX_TREE:,} elements"
    language = _language(tree)
    found = bare_extraction(
        tree,
        url=page.url,
        include_comments=False,
        with_metadata=True,
        # A date that was guessed from anywhere in the page is worse than none.
        date_extraction_params={"original_date": True, "extensive_search": False},
    )
    columns = found if isinstance(found, dict) else found.as_dict() if found else {}
    body = (columns.get("text") or "").strip()
    if not body:
        return "has no main text"
    columns["date"] = published(tree, columns.get("date"))
    if columns.get("url") == page.url:
        del columns["url"]
    return _columns(columns, body, language)


def _columns(found: dict[str, Any], body: str, language: str | None) -> dict[str, Any]:
    category = ", ".join(found.get("categories") or ()) or ", ".join(found.get("tags") or ())
    record = {
        "title": found.get("title"),
        "text": body,
        "author": found.get("author"),
        "date": found.get("date"),
        "language": language,
        "category": category,
        "sitename": found.get("sitename"),
        "canonical_url": found.get("url"),
    }
    return {name: value for name, value in record.items() if value}


def _tree(text: str) -> html.HtmlElement | None:
    parser = html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False)
    try:
        tree = html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except (etree.LxmlError, ValueError):
        return None
    return tree if isinstance(tree, html.HtmlElement) else None


def _language(tree: html.HtmlElement) -> str | None:
    """Return what the page says of its language; BCP 47's first part with its region."""
    for path in (
        "/html/@lang",
        "/html/@*[local-name()='lang']",
        "//meta[@property='og:locale']/@content",
        "//meta[translate(@http-equiv,'CLNTU','clntu')='content-language']/@content",
    ):
        found = tree.xpath(path)
        for value in found if isinstance(found, list) else ():
            tag = str(value).strip().replace("_", "-")
            if tag and len(tag) <= 20 and tag.split("-")[0].isalpha():
                return tag
    return None


def _limit_memory() -> None:
    """Let a page that needs absurd memory end this process, not the machine."""
    try:
        import resource
    except ImportError:  # Windows has no such limits.
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _answer(page: Page) -> dict[str, Any] | str:
    try:
        return article_of(page)
    except (Exception, MemoryError, RecursionError) as error:
        # A page must not end the process that others wait for, whatever is in it.
        return f"is a page that trafilatura fails on ({type(error).__name__})"


def serve(pages: BinaryIO, answers: BinaryIO) -> None:
    """Answer pages, each with its length before it, until there are no more."""
    while len(header := pages.read(LENGTH.size)) == LENGTH.size:
        answer = pickle.dumps(_answer(pickle.loads(pages.read(*LENGTH.unpack(header)))))
        answers.write(LENGTH.pack(len(answer)) + answer)
        answers.flush()


if __name__ == "__main__":
    import logging
    import signal

    answers_out, sys.stdout = sys.stdout.buffer, sys.stderr
    # The terminal's Ctrl-C goes to all; the process above ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    _limit_memory()
    serve(sys.stdin.buffer, answers_out)
