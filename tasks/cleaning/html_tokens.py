"""The tags, comments and scripts of a text, one after the other, in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.cleaning.html_marks import MARK, TAG_NAMES, is_mention

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
