"""Is this HTML? What tells markup from text that only has a `<`, a `&` or a word about tags."""

from __future__ import annotations

import re
from html import unescape
from html.entities import name2codepoint

from lxml.html import defs

TAG_NAMES = defs.tags | frozenset(
    "bdi data dialog frame main noframes picture search slot template".split()
)
"""The elements of HTML, those of old that still occur too."""

BLOCKS = frozenset(
    "p h1 h2 h3 h4 h5 h6 blockquote ul ol li dl dt dd table thead tbody tfoot tr td th pre div "
    "center section article header footer main nav aside figure figcaption form fieldset html "
    "head body".split()
)
"""What is more than a word in a sentence: a text with a pair of these is HTML."""
ALONE = frozenset("p li tr td th dt dd".split())
"""Those whose end people leave out."""
BREAKS = frozenset({"br", "hr"})
LOOSE, HALF, SOME, SURE = 1, 2, 3, 9
"""What a tag is worth as evidence: three loose ones are some; some is enough for HTML."""

_ATTRIBUTE = r"\s+[a-zA-Z_:@][\w:.-]*\s*=\s*(?:\"[^\"]{0,9999}\"|'[^']{0,9999}'|[^\s\"'<>=]+)"
MARK = re.compile(
    rf"<(/?)([a-zA-Z][a-zA-Z0-9]{{0,9}})((?:{_ATTRIBUTE}){{0,40}})\s*/?>"
    r"|<!doctype\s+html[^<>]*>",
    re.IGNORECASE,
)
"""A tag as HTML writes it: its slash, name and attributes; or a document type."""
_WORD = re.compile(r"\w")
_OPENING, _CLOSING = frozenset(" \t\"'(“‘«"), frozenset(" \t\"').,;:?!”’»")
_SENTENCE_ENDS = frozenset(".!?…。！？」』）")

_PARAGRAPH_ENDS = _SENTENCE_ENDS | frozenset(":;)]>\"'”’»")

ENTITY = re.compile(
    r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});",
)
"""A character written as HTML writes it. Without its `;` it may as well be a part of a URL."""

# Those of letters and punctuation; `&sum;` and `&int;` are C as often, and so is `&not;`.
_USUAL = {
    name for name, code in name2codepoint.items() if code < 0x180 or 0x2000 <= code < 0x2200
} - {"image", "not", "real"}
USUAL_ENTITY = re.compile(
    rf"&(?:#[0-9]{{2,7}}|#[xX][0-9a-fA-F]{{2,6}}|apos|frac\d\d|{'|'.join(sorted(_USUAL))});"
)
_LAST = re.compile(r"</([a-zA-Z][a-zA-Z0-9]{0,9})\s*>\Z")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,200}`", re.DOTALL)


def is_markup(text: str) -> bool:
    """Tell whether a text has tags that mark it up, not merely mentions.

    A pair around words counts, a `<br>` where a line may break, a block at the text's start; what
    is quoted as code does not, nor tags between spaces without an end. In doubt it is no HTML: a
    tag that stays does less harm than words that go.
    """
    return _points_of(text) >= SOME


def is_page(text: str) -> bool:
    """Tell whether a text is HTML as a whole, so that all that looks like a tag is one."""
    text = text.strip()
    return (text[:1] == "<" or text[-1:] == ">") and _points_of(text) >= SURE


def is_wholly_markup(text: str) -> bool:
    """Tell whether a text is HTML from its first sign to its last, or has much of it."""
    text = text.strip()
    points = _points_of(text)
    return points >= SURE or (points >= SOME and text[:1] == "<" and text[-1:] == ">")


def _points_of(text: str) -> int:
    """Count the evidence, until there is enough to be sure."""
    if "<" not in text:
        return 0
    text = text.strip()
    if "`" in text:
        text = _CODE.sub("`", text)
    if _is_one_block(text):
        return SURE
    points, opened = 0, dict[str, re.Match[str]]()
    for mark in MARK.finditer(text):
        points += _points(mark, text, opened)
        if points >= SURE:
            return SURE
    return points


def _points(mark: re.Match[str], text: str, opened: dict[str, re.Match[str]]) -> int:
    name = (mark[2] or "").lower()
    if not name:
        return SURE if mark.start() == 0 and not is_mention(text, *mark.span()) else 0
    if name not in TAG_NAMES:
        return 0
    if mark[1]:
        start = opened.pop(name, None)
        return _pair_points(start, mark, text) if start else 0
    if name in BREAKS:
        return _break_points(mark, text)
    if name not in defs.empty_tags and not is_mention(text, *mark.span()):
        opened[name] = mark
    return _open_points(mark, text)


def _is_one_block(text: str) -> bool:
    """Tell HTML with a space around each tag, as tokenisers write it, by its first and last."""
    first = MARK.match(text)
    if not first or first[1] or (first[2] or "").lower() not in BLOCKS:
        return False
    last = _LAST.search(text[-20:])
    return last is not None and last[1].lower() in BLOCKS and text.count("</") > 1


def is_escaped(text: str) -> bool:
    """Tell whether a text has entities, two or one within a word: it was taken out of HTML."""
    if "&" not in text:
        return False
    if "`" in text:
        text = _CODE.sub("`", text)
    points = 0
    for entity in USUAL_ENTITY.finditer(text):
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
    """Tell a tag that is a word of its sentence: `the <br> tag`, `("<p>")`, `<b> is old`."""
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if before in ("", "\n"):
        return after == " " and text[end + 1 : end + 2].islower()
    return before in _OPENING and after in _CLOSING and after != ""


def _pair_points(start: re.Match[str], end: re.Match[str], text: str) -> int:
    """What a tag and its end are worth; nothing if no words stand between, or it only looks so.

    `5<b>3 </b>` is a comparison, and `<b> hi` the name of who speaks.
    """
    content = text[start.end() : end.start()]
    if not _WORD.search(content):
        is_all = start.start() == 0 and end.end() == len(text)
        return SOME if start[3] or is_all else 0
    before = text[max(0, start.start() - 1) : start.start()]
    if before.isalnum() and content[-1].isspace():
        return 0
    if start[2].lower() in BLOCKS:
        return SURE
    return 0 if "\n" in content and (content[0] + content[-1]).strip() == "" else SOME


def _break_points(mark: re.Match[str], text: str) -> int:
    """What a `<br>` is worth: some where a line may break, little between words."""
    if not is_mention(text, *mark.span()):
        return SOME
    if text[mark.end() : mark.end() + 1] != " ":
        return 0
    is_start = not text[mark.end() + 1 : mark.end() + 2].islower()
    before = text[max(0, mark.start() - 3) : mark.start()].rstrip(" \t\"'”’»)")[-1:]
    return SOME if is_start and before in _SENTENCE_ENDS and before else LOOSE


def _open_points(mark: re.Match[str], text: str) -> int:
    """What a tag is worth before its end is seen, as it may have none or be cut off."""
    if is_mention(text, *mark.span()):
        return 0
    name = mark[2].lower()
    goes_on = not text[mark.end() : mark.end() + 1].isspace()
    if name not in BLOCKS:
        if not mark[3] or not (goes_on or name in defs.empty_tags):
            return 0
        if mark.start() == 0 and text[mark.end() : mark.end() + 1] == "<":
            return SURE
        return SOME if name in defs.empty_tags or mark.start() == 0 else HALF
    if mark.start() == 0:
        return SURE if goes_on or name in ALONE or mark[3] else HALF
    if name in ALONE:
        return SOME if text[mark.start() - 1] in _PARAGRAPH_ENDS else HALF
    return HALF if mark[3] and goes_on else 0
