"""Detection of HTML: distinguish markup from plain text that contains `<`, `&` or a tag's name."""

from __future__ import annotations

import re
from html import unescape
from html.entities import name2codepoint

from lxml.html import defs

TAG_NAMES = defs.tags | frozenset(
    "bdi data dialog frame main noframes picture search slot template".split()
)
"""The elements of HTML, including obsolete ones that still occur."""

BLOCK_TAGS = frozenset(
    "p h1 h2 h3 h4 h5 h6 blockquote ul ol li dl dt dd table thead tbody tfoot tr td th pre div "
    "center section article header footer main nav aside figure figcaption form fieldset html "
    "head body".split()
)
"""Block elements: a text with a start and an end tag of one of these is HTML."""
OPTIONAL_END_TAGS = frozenset("p li tr td th dt dd".split())
"""Elements whose end tag is often left out."""
BREAK_TAGS = frozenset({"br", "hr"})
WEAK, HALF, ENOUGH, CERTAIN = 1, 2, 3, 9
"""Points that a tag is worth as evidence of HTML. A text with `ENOUGH` points has markup; at
`CERTAIN` counting stops."""

_ATTRIBUTE = r"\s+[a-zA-Z_:@][\w:.-]*\s*=\s*(?:\"[^\"]{0,9999}\"|'[^']{0,9999}'|[^\s\"'<>=]+)"
TAG_PATTERN = re.compile(
    rf"<(/?)([a-zA-Z][a-zA-Z0-9]{{0,9}})((?:{_ATTRIBUTE}){{0,40}})\s*/?>"
    r"|<!doctype\s+html[^<>]*>",
    re.IGNORECASE,
)
"""A well-formed tag (groups: slash, name, attributes) or a document type."""
_WORD = re.compile(r"\w")
_OPENING, _CLOSING = frozenset(" \t\"'(“‘«"), frozenset(" \t\"').,;:?!”’»")
_SENTENCE_ENDS = frozenset(".!?…。！？」』）")

_PARAGRAPH_ENDS = _SENTENCE_ENDS | frozenset(":;)]>\"'”’»")

ENTITY = re.compile(
    r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});",
)
"""A character reference. The `;` is required: without it, it may be a part of a URL."""

# Letters and punctuation only: `&sum;`, `&int;` and `&not;` occur in C code just as often.
_COMMON_NAMES = {
    name for name, code in name2codepoint.items() if code < 0x180 or 0x2000 <= code < 0x2200
} - {"image", "not", "real"}
COMMON_ENTITY = re.compile(
    rf"&(?:#[0-9]{{2,7}}|#[xX][0-9a-fA-F]{{2,6}}|apos|frac\d\d|{'|'.join(sorted(_COMMON_NAMES))});"
)
_FINAL_END_TAG = re.compile(r"</([a-zA-Z][a-zA-Z0-9]{0,9})\s*>\Z")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,200}`", re.DOTALL)


def is_markup(text: str) -> bool:
    """Return whether a text has tags that mark it up, rather than mentions of tags.

    Evidence is a pair of tags around words, a `<br>` where a line may break, or a block element at
    the start. Tags quoted as code do not count, nor do unclosed tags between spaces. In doubt a
    text is not HTML: a tag that is kept does less harm than words that are lost.
    """
    return _total_points(text) >= ENOUGH


def is_page(text: str) -> bool:
    """Return whether the whole text is HTML, so that everything that looks like a tag is one."""
    text = text.strip()
    return (text[:1] == "<" or text[-1:] == ">") and _total_points(text) >= CERTAIN


def is_wholly_markup(text: str) -> bool:
    """Return whether a text is certainly HTML, or has markup and starts and ends with a tag."""
    text = text.strip()
    points = _total_points(text)
    return points >= CERTAIN or (points >= ENOUGH and text[:1] == "<" and text[-1:] == ">")


def _total_points(text: str) -> int:
    if "<" not in text:
        return 0
    text = text.strip()
    if "`" in text:
        text = _CODE.sub("`", text)
    if _is_one_block(text):
        return CERTAIN
    points, opened = 0, dict[str, re.Match[str]]()
    for tag in TAG_PATTERN.finditer(text):
        points += _tag_points(tag, text, opened)
        if points >= CERTAIN:
            return CERTAIN
    return points


def _tag_points(tag: re.Match[str], text: str, opened: dict[str, re.Match[str]]) -> int:
    name = (tag[2] or "").lower()
    if not name:
        return CERTAIN if tag.start() == 0 and not is_mention(text, *tag.span()) else 0
    if name not in TAG_NAMES:
        return 0
    if tag[1]:
        start = opened.pop(name, None)
        return _pair_points(start, tag, text) if start else 0
    if name in BREAK_TAGS:
        return _break_points(tag, text)
    if name not in defs.empty_tags and not is_mention(text, *tag.span()):
        opened[name] = tag
    return _open_points(tag, text)


def _is_one_block(text: str) -> bool:
    """Return whether a text is one block element; finds HTML from tokenizers (`<p> word </p>`)."""
    first = TAG_PATTERN.match(text)
    if not first or first[1] or (first[2] or "").lower() not in BLOCK_TAGS:
        return False
    last = _FINAL_END_TAG.search(text[-20:])
    return last is not None and last[1].lower() in BLOCK_TAGS and text.count("</") > 1


def is_escaped(text: str) -> bool:
    """Return whether a text has two entities, or one within a word: it was copied from HTML."""
    if "&" not in text:
        return False
    if "`" in text:
        text = _CODE.sub("`", text)
    points = 0
    for entity in COMMON_ENTITY.finditer(text):
        if unescape(entity[0]) == entity[0]:
            continue
        before, after = (
            text[max(0, entity.start() - 1) : entity.start()],
            text[entity.end() : entity.end() + 1],
        )
        points += 2 if before.strip() and after.strip() else 1
        if points >= 2:
            return True
    return False


def is_mention(text: str, start: int, end: int) -> bool:
    """Return whether a tag is a word of its sentence: `the <br> tag`, `("<p>")`, `<b> is old`."""
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if before in ("", "\n"):
        return after == " " and text[end + 1 : end + 2].islower()
    return before in _OPENING and after in _CLOSING and after != ""


def _pair_points(start: re.Match[str], end: re.Match[str], text: str) -> int:
    """Return the points of a start and an end tag: 0 if no words or only a comparison is between.

    `5<b>3 </b>` is a comparison, and the `<b>` of a chat line `<b> hi` is the speaker.
    """
    content = text[start.end() : end.start()]
    if not _WORD.search(content):
        is_all = start.start() == 0 and end.end() == len(text)
        return ENOUGH if start[3] or is_all else 0
    before = text[max(0, start.start() - 1) : start.start()]
    if before.isalnum() and content[-1].isspace():
        return 0
    if start[2].lower() in BLOCK_TAGS:
        return CERTAIN
    return 0 if "\n" in content and (content[0] + content[-1]).strip() == "" else ENOUGH


def _break_points(tag: re.Match[str], text: str) -> int:
    """Return the points of a `<br>`: enough where a line may break, few between words."""
    if not is_mention(text, *tag.span()):
        return ENOUGH
    if text[tag.end() : tag.end() + 1] != " ":
        return 0
    is_start = not text[tag.end() + 1 : tag.end() + 2].islower()
    before = text[max(0, tag.start() - 3) : tag.start()].rstrip(" \t\"'”’»)")[-1:]
    return ENOUGH if is_start and before in _SENTENCE_ENDS and before else WEAK


def _open_points(tag: re.Match[str], text: str) -> int:
    """Return the points of a start tag alone, as its end may be left out or cut off."""
    if is_mention(text, *tag.span()):
        return 0
    name = tag[2].lower()
    is_attached = not text[tag.end() : tag.end() + 1].isspace()
    if name not in BLOCK_TAGS:
        if not tag[3] or not (is_attached or name in defs.empty_tags):
            return 0
        if tag.start() == 0 and text[tag.end() : tag.end() + 1] == "<":
            return CERTAIN
        return ENOUGH if name in defs.empty_tags or tag.start() == 0 else HALF
    if tag.start() == 0:
        return CERTAIN if is_attached or name in OPTIONAL_END_TAGS or tag[3] else HALF
    if name in OPTIONAL_END_TAGS:
        return ENOUGH if text[tag.start() - 1] in _PARAGRAPH_ENDS else HALF
    return HALF if tag[3] and is_attached else 0
