"""Is this HTML? What tells markup from text that only has a `<`, a `&` or a word about tags."""

from __future__ import annotations

import re
from html import unescape

TAG_NAMES = frozenset(
    "a abbr acronym address area article aside audio b base basefont bdi bdo big blockquote body "
    "br button canvas caption center cite code col colgroup data datalist dd del details dfn "
    "dialog dir div dl dt em embed fieldset figcaption figure font footer form frame frameset h1 "
    "h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd label legend li link "
    "main map mark menu meta meter nav noframes noscript object ol optgroup option output p param "
    "picture pre progress q rp rt ruby s samp script search section select slot small source span "
    "strike strong style sub summary sup svg table tbody td template textarea tfoot th thead time "
    "title tr track tt u ul var video wbr".split()
)
"""The elements of HTML, those of old that still occur too."""

ENTITY = re.compile(
    r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});",
)
"""A character written as HTML writes it. Without its `;` it may as well be a part of a URL."""

# Those that people and programs write; `&sum;` and `&int;` are C as often.
USUAL_ENTITY = re.compile(
    r"&(?:#[0-9]{2,7}|#[xX][0-9a-fA-F]{2,6}|amp|lt|gt|quot|apos|nbsp|[lr][sd]quo|[lr]aquo|bdquo"
    r"|sbquo|[mn]dash|hellip|bull|middot|copy|reg|trade|euro|pound|yen|cent|sect|deg|times|frac\d\d"
    r"|[AEIOUYaeiouy]acute|[AEIOUaeiou](?:grave|circ)|[AEIOUYaeiouy]uml|[ANOano]tilde|[Aa]ring"
    r"|[Oo]slash|[Cc]cedil|[Ss]caron|szlig|AElig|aelig|OElig|oelig|iexcl|iquest|shy|zwnj|ensp|emsp"
    r"|thinsp|rarr|larr|acute|laquo|raquo|ordm|ordf|para|dagger|permil|minus|para|eth|thorn);"
)
_ATTRIBUTE = r"\s+[a-zA-Z_:@][\w:.-]*\s*=\s*(?:\"[^\"]{0,9999}\"|'[^']{0,9999}'|[^\s\"'<>=]+)"
_MARK = re.compile(
    rf"<(/?)([a-zA-Z][a-zA-Z0-9]{{0,9}})((?:{_ATTRIBUTE}){{0,40}})\s*/?>"
    r"|<!doctype\s+html[^<>]*>",
    re.IGNORECASE,
)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,200}`", re.DOTALL)

# They stand alone, or people leave out their end.
_ALONE = frozenset("br p hr li tr td th dt dd".split())
# Without "=", a word of these between "<" and ">" is a C++ header or a type as often.
_ENOUGH = 3


def is_markup(text: str) -> bool:
    """Tell whether a text has tags that mark it up, not merely mentions.

    A pair of tags counts, a tag with attributes, a `<br>` or `<p>` where a line may break; one
    that is quoted as code or mentioned between spaces does not, until there are three.
    """
    if "<" not in text:
        return False
    if "`" in text:
        text = _CODE.sub("`", text)
    points, opened = 0, set[str]()
    for mark in _MARK.finditer(text):
        points += _points(mark, text, opened)
        if points >= _ENOUGH:
            return True
    return False


def _points(mark: re.Match[str], text: str, opened: set[str]) -> int:
    name = (mark[2] or "").lower()
    if not name:
        return _ENOUGH
    if name not in TAG_NAMES:
        return 0
    if mark[3]:
        return _ENOUGH
    mentioned = _is_mention(mark, text)
    if name in _ALONE and not mark[1]:
        opened.add(name)
        return 1 if mentioned else _ENOUGH
    if mark[1]:
        return _ENOUGH if name in opened and not mentioned else 0
    if not mentioned:
        opened.add(name)
    return 0


def _is_mention(mark: re.Match[str], text: str) -> bool:
    """Tell a tag that is a word of its sentence: `the <br> tag`, `("<p>")`."""
    before, after = text[max(0, mark.start() - 1) : mark.start()], text[mark.end() : mark.end() + 1]
    return before in (*" \t\"'(“‘", "") and after in tuple(" \t\"').,;:”’") and before != ""


def is_wholly_markup(text: str) -> bool:
    """Tell whether a text is HTML from its first sign to its last."""
    text = text.strip()
    return text[:1] == "<" and text[-1:] == ">" and is_markup(text)


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
