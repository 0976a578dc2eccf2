"""Convert HTML in text columns to plain text.

The text is split at its tags and never parsed into a tree, so malformed or deeply nested HTML
cannot fail, and the time is linear in the size.
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
    BLOCK_TAGS,
    BREAK_TAGS,
    COMMON_ENTITY,
    ENTITY,
    OPTIONAL_END_TAGS,
    TAG_NAMES,
    TAG_PATTERN,
    is_escaped,
    is_markup,
    is_mention,
    is_page,
    is_wholly_markup,
)
from article_flows.tasks.common.article_schema import Mask

# A quoted value may contain ">"; the bound on its length keeps unbalanced quotes linear.
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
_CODE_PUNCTUATION = re.compile(r"[{}()\[\];=:_/*+&|<>#$]")
_WINDOW = 200
_CHARS_PER_PUNCTUATION = 20
"""Code has such punctuation at least every 20 characters, prose every 50 to 100."""

_PARAGRAPH_TAGS = frozenset(
    "p h1 h2 h3 h4 h5 h6 blockquote ul ol dl table pre hr section article header footer main nav "
    "aside figure form fieldset address details body head title center".split()
)
_LINE_TAGS = frozenset(
    "br div li tr dt dd caption figcaption summary option legend optgroup button label thead tbody "
    "tfoot textarea select html video audio iframe".split()
)
_CELL_TAGS = frozenset({"td", "th"})

_CDATA = re.compile(r"<!\[CDATA\[((?:(?!\]\]>|<!\[CDATA\[).)*+)\]\]>", re.DOTALL)
_CLOSED = re.compile(r"</([a-z][a-z0-9:-]*)\s*>", re.IGNORECASE)
# No pattern starts with a long optional run, so that each takes linear time.
_SPACE = re.compile(r"[\t\r\f\n]+")
_LINE_SPACE = re.compile(r"[\t\f]+")
_BLANK_LINES = re.compile(r"\n[ \t\r\f]*\n\s*")
_BREAKS = re.compile("[\n\u2028\u2029][ \t\xa0\n\u2028\u2029]*")
_TABS = re.compile(" *\t[ \t]*")
_SPACES = re.compile("  +")

# Kept escaped, these cannot turn a text about tags into markup.
_TAG_CHARACTERS = frozenset("<>&")
# Placeholders that cannot be confused with the line breaks and spaces of the text.
_LINE, _PARAGRAPH, _KEPT_SPACE = "\u2028", "\u2029", "\x00"


MAY_BE_HTML = "<[/!A-Za-z]|&[#A-Za-z]"
"""Matches every text that may be HTML, in RE2 syntax; may match others."""


def html_suspects(bodies: pa.StringArray) -> Mask:
    """Return for each body whether it may be HTML; may be true for others."""
    suspects = pc.match_substring_regex(bodies, MAY_BE_HTML).fill_null(False)
    return np.asarray(suspects).astype(bool)


def html_to_text(text: str) -> str | None:
    r"""Return the plain text of HTML, or None if the text is not HTML.

    Paragraphs are separated by a blank line, list items and table rows by a line break, cells by
    a tab. Entities are decoded; scripts, styles and comments are dropped. Everything that is not a
    tag is kept, such as `<T>` and `a < b`, and in a text with few tags also those that it only
    mentions. HTML that was escaped twice is unescaped if that is certain, else its `&lt;b&gt;`
    stays. The conversion is idempotent except for pages that quote HTML as an example.

    Example:
        >>> html_to_text("<p>It opened.</p><p>Fish &amp; chips</p>"), html_to_text("a < b")
        ('It opened.\n\nFish & chips', None)
    """
    if is_markup(text):
        plain = _without_tags(text)
        return _without_tags(plain) if is_wholly_markup(plain) else plain
    if is_escaped(text):
        plain = _decoded(text)
        if is_wholly_markup(plain):
            return _without_tags(plain)
        if is_markup(plain):
            kept = _decoded(text, keep=_TAG_CHARACTERS)
            return None if kept == text else kept
        return _decoded(plain) if is_escaped(plain) else plain
    return None


def html_to_line(text: str) -> str:
    """Return a short field such as a title without markup.

    Unlike in a body, one entity is enough: the title `Fish &amp; chips` was escaped by a feed.
    """
    plain = html_to_text(text)
    if plain is None:
        plain = COMMON_ENTITY.sub(lambda entity: unescape(entity[0]), text)
        return text if is_markup(plain) else plain
    return " ".join(plain.split())


def _without_tags(text: str) -> str:
    text = text.strip().replace(_KEPT_SPACE, "").replace("\r\n", "\n")
    if "<![CDATA[" in text:
        text = _CDATA.sub(r"\1", text)
    as_page = is_page(text)
    tags = list(_tags(text, as_page))
    blocks = sum(tag.name in _PARAGRAPH_TAGS or tag.name in _LINE_TAGS for tag in tags)
    keep_lines = not blocks or (not as_page and text.count("\n") > blocks)
    pieces: list[str] = []
    end = pre_depth = 0
    for tag in tags:
        pieces.append(_piece(text[end : tag.start], bool(pre_depth), keep_lines))
        pieces.append(_break_of(tag.name))
        end = tag.end
        if tag.name == "pre":
            pre_depth = max(0, pre_depth + (-1 if tag.is_end else 1))
    pieces.append(_piece(text[end:], bool(pre_depth), keep_lines))
    return _collapsed("".join(pieces))


def _tags(text: str, as_page: bool) -> Iterator[HtmlToken]:
    """Yield the tags to remove: all of a page, those of a text that are not mentions."""
    closed = {name.lower() for name in _CLOSED.findall(text)}
    known, opened = TAG_NAMES | closed, set[str]()
    for tag in html_tokens(text):
        if tag.name and not _is_tag(tag.name, tag.inside, known):
            continue
        certain = as_page or tag.name in BREAK_TAGS or (tag.is_end and tag.name in opened)
        if not certain and (is_mention(text, tag.start, tag.end) or _is_unclosed(tag, closed)):
            continue
        if tag.is_end:
            opened.discard(tag.name)
        else:
            opened.add(tag.name)
        yield tag


def _is_unclosed(tag: HtmlToken, closed: set[str]) -> bool:
    """Return whether a tag such as `<i>` is never closed: a comparison or a placeholder."""
    is_bare = tag.name in TAG_NAMES and not tag.inside.strip()
    return is_bare and not (tag.name in closed or tag.name in OPTIONAL_END_TAGS | BLOCK_TAGS)


def _is_tag(name: str, inside: str, known: frozenset[str] | set[str]) -> bool:
    """Return whether this is a tag, not a type or an address in angle brackets."""
    return name in known or inside.endswith("/") or ('="' in inside and ":" not in inside[:1])


def _break_of(name: str) -> str:
    if name == "br":
        return "\n"
    if name in _PARAGRAPH_TAGS:
        return _PARAGRAPH
    if name in _LINE_TAGS:
        return _LINE
    if name in _CELL_TAGS:
        return "\t"
    return '"' if name == "q" else ""


def _piece(raw: str, in_pre: bool, keep_lines: bool) -> str:
    """Return the text between two tags with its white space as a browser shows it."""
    if not raw:
        return ""
    if in_pre:
        raw = raw.replace(" ", _KEPT_SPACE)
    elif keep_lines:
        raw = _LINE_SPACE.sub(" ", raw)
    else:
        raw = _SPACE.sub(" ", _BLANK_LINES.sub(_PARAGRAPH, raw))
    return _decoded(raw)


def _collapsed(text: str) -> str:
    """Collapse each run of line breaks into one, without spaces around it."""
    text = _BREAKS.sub(_one_break, _TABS.sub("\t", _SPACES.sub(" ", text)))
    text = "\n".join(line.rstrip(" \t\xa0") for line in text.split("\n"))
    return text.strip().replace(_KEPT_SPACE, " ")


def _one_break(run: re.Match[str]) -> str:
    breaks = run[0]
    return "\n\n" if _PARAGRAPH in breaks or breaks.count("\n") > 1 else "\n"


def _decoded(text: str, keep: frozenset[str] = frozenset()) -> str:
    """Decode entities, except those of the characters in `keep`."""
    if "&" not in text:
        return text
    return ENTITY.sub(lambda entity: _character_of(entity[0], keep), text)


def _character_of(entity: str, keep: frozenset[str]) -> str:
    character = unescape(entity)
    return entity if character in keep else character


@dataclass(frozen=True, slots=True)
class HtmlToken:
    """A tag, comment, script or style: the part of a text from `start` up to `end`.

    Attributes:
        name: The tag's name in lower case; empty for comments, scripts and styles.
        is_end: Whether it is an end tag.
        inside: The tag's attributes as written.
    """

    start: int
    end: int
    name: str = ""
    is_end: bool = False
    inside: str = ""


def html_tokens(text: str) -> Iterator[HtmlToken]:
    """Yield the tags, comments, scripts and styles of a text.

    An unclosed script, style or comment extends to the end of the text only if nothing but code
    follows; otherwise only its tag is a token, so that no words are lost.
    """
    ends = _Ends(text)
    at = text.find("<")
    while at >= 0:
        token = _comment(text, at, ends) if text.startswith("<!--", at) else _tag(text, at, ends)
        if token:
            yield token
        at = text.find("<", token.end if token else at + 1)


class _Ends:
    """The next end of each kind of code, cached so that each is searched for only once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._next: dict[str, tuple[int, int] | None] = {}

    def after(self, kind: str, start: int) -> tuple[int, int] | None:
        """Return the span of the end tag of the code at `start`; None if it has none."""
        known = self._next.get(kind, (-1, -1))
        if known is not None and known[0] < start:
            found = _ENDS[kind].search(self._text, start)
            known = found.span() if found else self._unclosed(start)
            self._next[kind] = known
        return known

    def _unclosed(self, start: int) -> tuple[int, int] | None:
        end = len(self._text)
        return (end, end) if _is_only_code(self._text, start) else None


def _comment(text: str, start: int, ends: _Ends) -> HtmlToken | None:
    end = ends.after("!--", start + 4)
    return HtmlToken(start, end[1]) if end else None


def _tag(text: str, start: int, ends: _Ends) -> HtmlToken | None:
    found = _TAG.match(text, start)
    if not found:
        return None
    name = (found[2] or "").lower()
    tag = HtmlToken(start, found.end(), name, bool(found[1]), found[3] or "")
    if name not in _ENDS or tag.is_end or tag.inside.endswith("/"):
        return tag
    end = ends.after(name, tag.end)
    if end is None:
        return tag
    if is_mention(text, start, tag.end) and not _is_code(text, tag.end, min(end[0], tag.end + 400)):
        return tag
    return HtmlToken(start, end[1])


def _is_only_code(text: str, start: int) -> bool:
    tags = (tag[2] for tag in TAG_PATTERN.finditer(text, start))
    return _is_code(text, start, len(text)) and not any(
        name is None or name.lower() in TAG_NAMES for name in tags
    )


def _is_code(text: str, start: int, end: int) -> bool:
    """Return whether every window of the text has the punctuation of code; true if it is empty."""
    for at in range(start, end, _WINDOW):
        first = max(start, min(at, end - _WINDOW))
        window = text[first : min(first + _WINDOW, end)]
        count = sum(1 for _ in _CODE_PUNCTUATION.finditer(window))
        if count * _CHARS_PER_PUNCTUATION < len("".join(window.split())):
            return False
    return True
