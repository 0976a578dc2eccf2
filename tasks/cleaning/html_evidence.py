"""Is this HTML? What tells markup from text that only has a `<`, a `&` or a word about tags."""

from __future__ import annotations

import re
from html import unescape

from tasks.cleaning.html_marks import (
    BLOCKS,
    BREAKS,
    MARK,
    SOME,
    SURE,
    TAG_NAMES,
    VOID,
    break_points,
    is_mention,
    open_points,
    pair_points,
)

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
        return pair_points(start, mark, text) if start else 0
    if name in BREAKS:
        return break_points(mark, text)
    if name not in VOID and not is_mention(text, *mark.span()):
        opened[name] = mark
    return open_points(mark, text)


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
