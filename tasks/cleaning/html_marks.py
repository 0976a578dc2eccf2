"""One tag in a text: markup that a browser obeys, or a word that the text is about?"""

from __future__ import annotations

import re

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

BLOCKS = frozenset(
    "p h1 h2 h3 h4 h5 h6 blockquote ul ol li dl dt dd table thead tbody tfoot tr td th pre div "
    "center section article header footer main nav aside figure figcaption form fieldset html "
    "head body".split()
)
"""What is more than a word in a sentence: a text with a pair of these is HTML."""
ALONE = frozenset("p li tr td th dt dd".split())
"""Those whose end people leave out."""
BREAKS = frozenset({"br", "hr"})
VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
"""Those that never have an end."""

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


def is_mention(text: str, start: int, end: int) -> bool:
    """Tell a tag that is a word of its sentence: `the <br> tag`, `("<p>")`, `<b> is old`."""
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if before in ("", "\n"):
        return after == " " and text[end + 1 : end + 2].islower()
    return before in _OPENING and after in _CLOSING and after != ""


def pair_points(start: re.Match[str], end: re.Match[str], text: str) -> int:
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


def break_points(mark: re.Match[str], text: str) -> int:
    """What a `<br>` is worth: some where a line may break, little between words."""
    if not is_mention(text, *mark.span()):
        return SOME
    if text[mark.end() : mark.end() + 1] != " ":
        return 0
    is_start = not text[mark.end() + 1 : mark.end() + 2].islower()
    before = text[max(0, mark.start() - 3) : mark.start()].rstrip(" \t\"'”’»)")[-1:]
    return SOME if is_start and before in _SENTENCE_ENDS and before else LOOSE


def open_points(mark: re.Match[str], text: str) -> int:
    """What a tag is worth before its end is seen, as it may have none or be cut off."""
    if is_mention(text, *mark.span()):
        return 0
    name = mark[2].lower()
    goes_on = not text[mark.end() : mark.end() + 1].isspace()
    if name not in BLOCKS:
        if not mark[3] or not (goes_on or name in VOID):
            return 0
        if mark.start() == 0 and text[mark.end() : mark.end() + 1] == "<":
            return SURE
        return SOME if name in VOID or mark.start() == 0 else HALF
    if mark.start() == 0:
        return SURE if goes_on or name in ALONE or mark[3] else HALF
    if name in ALONE:
        return SOME if text[mark.start() - 1] in _PARAGRAPH_ENDS else HALF
    return HALF if mark[3] and goes_on else 0
