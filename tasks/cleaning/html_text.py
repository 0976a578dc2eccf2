"""HTML where plain text should be: noticed cheaply, told from text that has a `<`, made to text.

The text is cut at its tags and never parsed to a tree: a malformed page cannot stop it half-way,
and no depth or size of it costs more than one pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import numpy as np
import pyarrow as pa

from tasks.cleaning.html_evidence import (
    ENTITY,
    TAG_NAMES,
    USUAL_ENTITY,
    is_escaped,
    is_markup,
    is_wholly_markup,
)
from tasks.cleaning.text_buffers import Mask, bytes_of, following, present, rows_with

_LETTER = np.zeros(256, bool)
_LETTER[np.frombuffer(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)] = True
_AFTER_LESS = _LETTER.copy()
_AFTER_LESS[[ord("/"), ord("!")]] = True
_AFTER_AND = _LETTER.copy()
_AFTER_AND[ord("#")] = True

_PARAGRAPHS = frozenset(
    "p h1 h2 h3 h4 h5 h6 blockquote ul ol dl table pre hr section article header footer main nav "
    "aside figure form fieldset address details body head title center".split()
)
_LINES = frozenset(
    "br div li tr dt dd caption figcaption summary option legend optgroup button label thead tbody "
    "tfoot textarea select html video audio iframe".split()
)
_CELLS = frozenset({"td", "th"})

# A quoted value may hold ">"; its length is bounded so that a lost quote costs no second pass.
_TOKEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<!\[CDATA\[|<[!?][a-z][^<>]*>"
    r"|<(script|style)\b(?:[^<>\"']|\"[^\"]{0,9999}\"|'[^']{0,9999}')*+>.*?(?:</\1\s*>|\Z)"
    r"|<(/?)([a-z][a-z0-9:-]*+)(?=[\s/>])((?:[^<>\"']|\"[^\"]{0,9999}\"|'[^']{0,9999}')*+)>",
    re.IGNORECASE | re.DOTALL,
)
_CLOSED = re.compile(r"</([a-z][a-z0-9:-]*)\s*>", re.IGNORECASE)
# None begins with what may come a thousand times before it: each takes one pass.
_SPACE = re.compile(r"[\t\r\f\n]+")
_LINE_SPACE = re.compile(r"[\t\f]+")
_BLANK_LINES = re.compile(r"\n[ \t\r\f]*\n\s*")
_BREAKS = re.compile("[\n\u2028\u2029][ \t\xa0\n\u2028\u2029]*")
_TABS = re.compile(" *\t[ \t]*")
_SPACES = re.compile("  +")

# What the text's own line breaks and spaces are not mistaken for.
_LINE, _PARAGRAPH, _KEPT_SPACE = "\u2028", "\u2029", "\x00"


def html_suspects(bodies: pa.StringArray) -> Mask:
    """Tell of each body whether it can be HTML, by `<` or `&` before a letter; too many rather."""
    stretch, offsets = bytes_of(bodies)
    if not len(stretch):
        return np.zeros(len(bodies), bool)
    tags = np.flatnonzero(stretch == ord("<"))
    tags = tags[_AFTER_LESS[following(stretch, tags, 1)]]
    entities = np.flatnonzero(stretch == ord("&"))
    entities = entities[_AFTER_AND[following(stretch, entities, 1)]]
    return (rows_with(tags, offsets) | rows_with(entities, offsets)) & present(bodies)


def text_of_html(text: str) -> str | None:
    """Return the text of HTML; None if this is no HTML.

    Paragraphs are parted by a blank line; line breaks, list items and table rows by a line break,
    cells by a tab. Entities are decoded; scripts, styles and comments are dropped; all else that
    is not a tag is kept, `<T>` and `a < b` too. HTML that had been escaped once more is taken for
    what it was. Done again it changes nothing, but in a page that quotes HTML as an example.
    """
    if is_markup(text):
        plain = _without_tags(text)
        return _without_tags(plain) if is_wholly_markup(plain) else plain
    if is_escaped(text):
        plain = _decoded(text)
        if is_markup(plain):
            return _without_tags(plain)
        return _decoded(plain) if is_escaped(plain) else plain
    return None


def line_of_html(text: str) -> str:
    """Return a short field such as a title without markup: one entity is enough to see it.

    `Fish &amp; chips` is a title that a feed has escaped; of a body that is not certain.
    """
    plain = text_of_html(text)
    if plain is None:
        return USUAL_ENTITY.sub(lambda entity: unescape(entity[0]), text)
    return " ".join(plain.split())


def _without_tags(text: str) -> str:
    text = text.replace(_KEPT_SPACE, "").replace("\r\n", "\n")
    if "<![CDATA[" in text:
        text = text.replace("]]>", "")
    known_tags = TAG_NAMES | {name.lower() for name in _CLOSED.findall(text)}
    lines_count = not _has_block(text)
    pieces: list[str] = []
    end = verbatim = 0
    for token in _tokens(text):
        name, inside = (token[3] or "").lower(), token[4] or ""
        if name and not _is_tag(name, inside, known_tags):
            continue
        pieces.append(_piece(text[end : token.start()], bool(verbatim), lines_count))
        pieces.append(_break_of(name))
        end = token.end()
        if name == "pre":
            verbatim = max(0, verbatim + (-1 if token[2] else 1))
    pieces.append(_piece(text[end:], bool(verbatim), lines_count))
    return _tidied("".join(pieces))


def _tokens(text: str) -> Iterator[re.Match[str]]:
    """Yield tags, comments and scripts; what lies between is not looked at sign by sign."""
    at = text.find("<")
    while at >= 0:
        token = _TOKEN.match(text, at)
        if token:
            yield token
        at = text.find("<", token.end() if token else at + 1)


def _has_block(text: str) -> bool:
    return any(
        (name := (token[3] or "").lower()) in _PARAGRAPHS or name in _LINES
        for token in _tokens(text)
    )


def _is_tag(name: str, inside: str, known: frozenset[str] | set[str]) -> bool:
    """Tell a tag from what only stands between angle brackets: a type, an address."""
    return name in known or inside.endswith("/") or ('="' in inside and ":" not in inside[:1])


def _break_of(name: str) -> str:
    if name == "br":
        return "\n"
    if name in _PARAGRAPHS:
        return _PARAGRAPH
    if name in _LINES:
        return _LINE
    if name in _CELLS:
        return "\t"
    return '"' if name == "q" else ""


def _piece(raw: str, verbatim: bool, lines_count: bool) -> str:
    """Return the text between two tags, its white space as a browser would show it."""
    if not raw:
        return ""
    if verbatim:
        raw = raw.replace(" ", _KEPT_SPACE)
    elif lines_count:
        raw = _LINE_SPACE.sub(" ", raw)
    else:
        raw = _SPACE.sub(" ", _BLANK_LINES.sub(_PARAGRAPH, raw))
    return _decoded(raw)


def _tidied(text: str) -> str:
    """Return joined pieces with each run of breaks as one, and no space around it."""
    text = _BREAKS.sub(_one_break, _TABS.sub("\t", _SPACES.sub(" ", text)))
    text = "\n".join(line.rstrip(" \t\xa0") for line in text.split("\n"))
    return text.strip().replace(_KEPT_SPACE, " ")


def _one_break(run: re.Match[str]) -> str:
    breaks = run[0]
    return "\n\n" if _PARAGRAPH in breaks or breaks.count("\n") > 1 else "\n"


def _decoded(text: str) -> str:
    return ENTITY.sub(lambda entity: unescape(entity[0]), text) if "&" in text else text
