"""HTML where plain text should be: noticed cheaply, told from text that has a `<`, made to text.

The text is cut at its tags and never parsed to a tree: a malformed page cannot stop it half-way,
and no depth or size of it costs more than one pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.cleaning.text.html_evidence import (
    ALONE,
    BLOCKS,
    BREAKS,
    ENTITY,
    MARK,
    TAG_NAMES,
    USUAL_ENTITY,
    is_escaped,
    is_markup,
    is_mention,
    is_page,
    is_wholly_markup,
)
from article_flows.tasks.common.article_schema import Mask

# A quoted value may hold ">"; its length is bounded so that a lost quote costs no second pass.
_TAG = re.compile(
    r"<!\[CDATA\[|<[!?][a-z][^<>]*>"
    r"|<(/?)([a-z][a-z0-9:-]*+)(?=[\s/>])((?:[^<>\"']|\"[^\"]{0,9999}\"|'[^']{0,9999}')*+)>",
    re.IGNORECASE,
)
_ENDS = {
    "script": re.compile(r"</script\s*>", re.IGNORECASE),
    "style": re.compile(r"</style\s*>", re.IGNORECASE),
    "!--": re.compile("-->"),
}
_CODE_SIGN = re.compile(r"[{}()\[\];=:_/*+&|<>#$]")
_WINDOW = 200
_LEAST_SIGNS = 20
"""Code has such a sign in every so many characters at least; prose in every 50 to 100."""

_PARAGRAPHS = frozenset(
    "p h1 h2 h3 h4 h5 h6 blockquote ul ol dl table pre hr section article header footer main nav "
    "aside figure form fieldset address details body head title center".split()
)
_LINES = frozenset(
    "br div li tr dt dd caption figcaption summary option legend optgroup button label thead tbody "
    "tfoot textarea select html video audio iframe".split()
)
_CELLS = frozenset({"td", "th"})

_CDATA = re.compile(r"<!\[CDATA\[((?:(?!\]\]>|<!\[CDATA\[).)*+)\]\]>", re.DOTALL)
_CLOSED = re.compile(r"</([a-z][a-z0-9:-]*)\s*>", re.IGNORECASE)
# None begins with what may come a thousand times before it: each takes one pass.
_SPACE = re.compile(r"[\t\r\f\n]+")
_LINE_SPACE = re.compile(r"[\t\f]+")
_BLANK_LINES = re.compile(r"\n[ \t\r\f]*\n\s*")
_BREAKS = re.compile("[\n\u2028\u2029][ \t\xa0\n\u2028\u2029]*")
_TABS = re.compile(" *\t[ \t]*")
_SPACES = re.compile("  +")

# As long as these stay escaped, a text about tags has none.
_TAG_SIGNS = frozenset("<>&")
# What the text's own line breaks and spaces are not mistaken for.
_LINE, _PARAGRAPH, _KEPT_SPACE = "\u2028", "\u2029", "\x00"


MAY_BE_HTML = "<[/!A-Za-z]|&[#A-Za-z]"
"""What HTML has, in RE2's syntax; too much rather."""


def html_suspects(bodies: pa.StringArray) -> Mask:
    """Tell of each body whether it can be HTML."""
    suspects = pc.match_substring_regex(bodies, MAY_BE_HTML).fill_null(False)
    return np.asarray(suspects).astype(bool)


def text_of_html(text: str) -> str | None:
    """Return the text of HTML; None if this is no HTML.

    Paragraphs are parted by a blank line; line breaks, list items and table rows by a line break,
    cells by a tab. Entities are decoded; scripts, styles and comments are dropped; all else that
    is not a tag is kept, `<T>` and `a < b` too; in a text that has few tags, those that it only
    mentions. HTML that had been escaped once more is taken for what it was if that is certain;
    else its `&lt;b&gt;` stays. Done again it changes nothing, but in a page that quotes HTML as an
    example.
    """
    if is_markup(text):
        plain = _without_tags(text)
        return _without_tags(plain) if is_wholly_markup(plain) else plain
    if is_escaped(text):
        plain = _decoded(text)
        if is_wholly_markup(plain):
            return _without_tags(plain)
        if is_markup(plain):
            kept = _decoded(text, but=_TAG_SIGNS)
            return None if kept == text else kept
        return _decoded(plain) if is_escaped(plain) else plain
    return None


def line_of_html(text: str) -> str:
    """Return a short field such as a title without markup: one entity is enough to see it.

    `Fish &amp; chips` is a title that a feed has escaped; of a body that is not certain.
    """
    plain = text_of_html(text)
    if plain is None:
        plain = USUAL_ENTITY.sub(lambda entity: unescape(entity[0]), text)
        return text if is_markup(plain) else plain
    return " ".join(plain.split())


def _without_tags(text: str) -> str:
    text = text.strip().replace(_KEPT_SPACE, "").replace("\r\n", "\n")
    if "<![CDATA[" in text:
        text = _CDATA.sub(r"\1", text)
    as_page = is_page(text)
    tags = list(_tags(text, as_page))
    blocks = sum(tag.name in _PARAGRAPHS or tag.name in _LINES for tag in tags)
    lines_count = not blocks or (not as_page and text.count("\n") > blocks)
    pieces: list[str] = []
    end = verbatim = 0
    for tag in tags:
        pieces.append(_piece(text[end : tag.start], bool(verbatim), lines_count))
        pieces.append(_break_of(tag.name))
        end = tag.end
        if tag.name == "pre":
            verbatim = max(0, verbatim + (-1 if tag.is_end else 1))
    pieces.append(_piece(text[end:], bool(verbatim), lines_count))
    return _tidied("".join(pieces))


def _tags(text: str, as_page: bool) -> Iterator[Token]:
    """Yield the tags to leave out: all in a page, those that are no words of it in a text."""
    closed = {name.lower() for name in _CLOSED.findall(text)}
    known, opened = TAG_NAMES | closed, set[str]()
    for tag in tokens(text):
        if tag.name and not _is_tag(tag.name, tag.inside, known):
            continue
        certain = as_page or tag.name in BREAKS or (tag.is_end and tag.name in opened)
        if not certain and (is_mention(text, tag.start, tag.end) or _is_unclosed(tag, closed)):
            continue
        if tag.is_end:
            opened.discard(tag.name)
        else:
            opened.add(tag.name)
        yield tag


def _is_unclosed(tag: Token, closed: set[str]) -> bool:
    """Tell a sign of comparison or a placeholder, such as `<i>`, from a tag: it has no end."""
    bare = tag.name in TAG_NAMES and not tag.inside.strip()
    return bare and tag.name not in closed and tag.name not in ALONE and tag.name not in BLOCKS


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


def _decoded(text: str, but: frozenset[str] = frozenset()) -> str:
    """Decode the entities; not those that stand for a sign of `but`."""
    if "&" not in text:
        return text
    return ENTITY.sub(lambda entity: _sign_of(entity[0], but), text)


def _sign_of(entity: str, but: frozenset[str]) -> str:
    sign = unescape(entity)
    return entity if sign in but else sign


@dataclass(frozen=True, slots=True)
class Token:
    """What is no text: from `start` up to `end`.

    Attributes:
        name: of the tag, in small letters; empty for a comment, a script and the like.
        is_end: whether it is the tag's end.
        inside: its attributes as written.
    """

    start: int
    end: int
    name: str = ""
    is_end: bool = False
    inside: str = ""


def tokens(text: str) -> Iterator[Token]:
    """Yield tags, comments and scripts; what lies between is not looked at sign by sign.

    A script, style or comment without its end is yielded up to the text's end only if nothing but
    code follows; else its tag alone is a token, so that no words are lost.
    """
    ends = _Ends(text)
    at = text.find("<")
    while at >= 0:
        token = _comment(text, at, ends) if text.startswith("<!--", at) else _tag(text, at, ends)
        if token:
            yield token
        at = text.find("<", token.end if token else at + 1)


class _Ends:
    """Where the next end of each kind of code is; what is not found is not looked for again."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._next: dict[str, tuple[int, int] | None] = {}

    def after(self, kind: str, start: int) -> tuple[int, int] | None:
        """Return where the code from `start` ends, and its end tag; None if it has no end."""
        known = self._next.get(kind, (-1, -1))
        if known is not None and known[0] < start:
            found = _ENDS[kind].search(self._text, start)
            known = found.span() if found else self._unclosed(start)
            self._next[kind] = known
        return known

    def _unclosed(self, start: int) -> tuple[int, int] | None:
        end = len(self._text)
        return (end, end) if _is_nothing_but_code(self._text, start) else None


def _comment(text: str, start: int, ends: _Ends) -> Token | None:
    end = ends.after("!--", start + 4)
    return Token(start, end[1]) if end else None


def _tag(text: str, start: int, ends: _Ends) -> Token | None:
    found = _TAG.match(text, start)
    if not found:
        return None
    name = (found[2] or "").lower()
    tag = Token(start, found.end(), name, bool(found[1]), found[3] or "")
    if name not in _ENDS or tag.is_end or tag.inside.endswith("/"):
        return tag
    end = ends.after(name, tag.end)
    if end is None:
        return tag
    if is_mention(text, start, tag.end) and not _is_code(text, tag.end, min(end[0], tag.end + 400)):
        return tag
    return Token(start, end[1])


def _is_nothing_but_code(text: str, start: int) -> bool:
    tags = (mark[2] for mark in MARK.finditer(text, start))
    return _is_code(text, start, len(text)) and not any(
        name is None or name.lower() in TAG_NAMES for name in tags
    )


def _is_code(text: str, start: int, end: int) -> bool:
    """Tell whether each stretch has the signs of code; so has what is empty."""
    for at in range(start, end, _WINDOW):
        first = max(start, min(at, end - _WINDOW))
        stretch = text[first : min(first + _WINDOW, end)]
        signs = sum(1 for _ in _CODE_SIGN.finditer(stretch))
        if signs * _LEAST_SIGNS < len("".join(stretch.split())):
            return False
    return True
