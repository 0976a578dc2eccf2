"""Where in a JSON document its articles are: told from its head, so that the rest can stream."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import Any

from article_flows.tasks.reading.formats.json import values
from article_flows.tasks.reading.formats.json.scanner import BracketScan, Cursor, Window
from article_flows.tasks.reading.formats.json.values import (
    NotJsonError,
    TooManyValuesError,
    is_cut,
    parse_json,
    without_cut_character,
)

Path = tuple[str, ...]
_Container = tuple[Path, "Shape", list[Any]]

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},:]', re.DOTALL)
_PLAIN = re.compile(rb"[-+.\w]+")
_DEPTH = 3
_ALIKE = 0.6
"""The share of objects by key at least half of whose names are those that most of them have."""
_BODY_NAMES = frozenset(
    "body text content contenttext contenthtml articlebody article fulltext maintext story "
    "document abstract paragraphs sentences 正文 内容 文章".split()
)


class Shape(StrEnum):
    """How the articles lie in a document; the value is what a user is told."""

    LIST = "a list of objects"
    MEMBERS = "objects by key (the key is in the column key)"
    COLUMNS = "columns"
    SPLIT = "columns and data"
    VALUES = "one object after the other"


@dataclass(frozen=True)
class JsonLayout:
    """Where the articles are.

    Attributes:
        path: the names of the members that lead to them; empty for the document itself.
        start: the byte at which the first element may begin, after the bracket that opens them.
        ignored: other lists of objects in the head, which are not read.
    """

    shape: Shape
    path: Path = ()
    start: int = 0
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.shape} in {'.'.join(self.path)}" if self.path else str(self.shape)


@dataclass
class _Outline:
    """What can be read of a document's head.

    Attributes:
        text: its readable start, with all brackets closed.
        starts: for each container that names alone lead to, the byte after its opening bracket.
        open: the paths of containers that do not end in the head, outermost first.
        end: the byte after the first value, if it ends in the head.
    """

    text: bytes = b""
    starts: dict[Path, int] = field(default_factory=dict)
    open: tuple[Path, ...] = ()
    end: int | None = None


def layout_of(head: bytes, whole: bool) -> JsonLayout:
    """Tell the layout of a document from its first bytes (UTF-8, `whole`: they are all of it).

    Of several lists of objects, one level deep or more, the one that the head does not end wins,
    or else the longest. Objects by key are taken only where they are alike, and hold no longer
    lists that may be the articles.
    """
    stripped = head.lstrip()
    if stripped.startswith(b"["):
        return JsonLayout(Shape.LIST, start=len(head) - len(stripped) + 1)
    if not stripped.startswith(b"{"):
        return JsonLayout(Shape.VALUES)
    outline, value = _readable(head)
    if not isinstance(value, dict) or not value:
        return JsonLayout(Shape.VALUES)
    if outline.end is not None and head[outline.end :].strip(b" \t\r\n,\x1e").startswith(b"{"):
        return JsonLayout(Shape.VALUES)
    if shape := _columns_shape(value):
        return JsonLayout(shape)
    found = _best(value, outline, whole)
    if found is None:
        return JsonLayout(Shape.VALUES)
    path, shape = found
    containers = _containers(value, (), frozenset(outline.open))
    others = tuple(".".join(other) for other, _, _ in containers if other != path)
    return JsonLayout(shape, path, outline.starts[path], others)


def _readable(head: bytes) -> tuple[_Outline, Any]:
    """Parse as much of the head as can be parsed: up to its end or to the first mistake."""
    outline = _outlined(head)
    for _ in range(2):
        try:
            return outline, parse_json(outline.text)
        except NotJsonError as error:
            good = outline.text.decode(errors="replace")[: error.position].encode()
            outline = _outlined(good[: len(head)])
    return outline, None


def _outlined(head: bytes) -> _Outline:
    closers = bytearray()
    names: list[str | None] = []
    outline, safe, last = _Outline(), 0, b""
    for token in _TOKEN.finditer(head):
        text = token[0]
        if text[:1] == b'"':
            last = text
        elif text == b":":
            if names:
                names[-1] = _name(last)
        elif text == b",":
            safe = token.start()
        elif text in b"[{":
            if (path := _path(names)) is not None and len(path) <= _DEPTH:
                outline.starts.setdefault(path, token.end())
            closers += b"]" if text == b"[" else b"}"
            names.append(None)
            safe = token.end()
        elif closers:
            closers.pop()
            names.pop()
            safe = token.end()
            if not closers:
                outline.end = safe
                break
    paths = (_path(names[:depth]) for depth in range(len(names)))
    outline.open = tuple(path for path in paths if path is not None)
    outline.text = head[:safe] + bytes(reversed(closers))
    return outline


def _name(text: bytes) -> str | None:
    try:
        return str(parse_json(text))
    except NotJsonError:
        return None


def _path(names: list[str | None]) -> Path | None:
    return None if None in names else tuple(name for name in names if name is not None)


def _best(value: dict[str, Any], outline: _Outline, whole: bool) -> tuple[Path, Shape] | None:
    """Choose the container whose elements are the articles; None: the document is one itself."""
    cut = frozenset() if whole and outline.end is not None else frozenset(outline.open)
    found = [each for each in _containers(value, (), cut) if each[0] in outline.starts]
    if not found:
        return None
    unended = [each for each in found if each[0] in cut]
    path, shape, elements = unended[0] if unended else max(found, key=lambda each: len(each[2]))
    theirs = max((_longest_text(each) for each in elements), default=0)
    if _longest_text(value, _BODY_NAMES) > theirs:
        return None
    return path, shape


def _containers(value: Any, path: Path, cut: frozenset[Path]) -> Iterator[_Container]:
    """All lists of objects, and objects of like objects, that names alone lead to.

    `cut`: the paths of containers whose last element may be cut.
    """
    if len(path) > _DEPTH or not isinstance(value, dict):
        if (
            isinstance(value, list)
            and path
            and 2 * sum(type(x) is dict for x in value) > len(value)
        ):
            yield path, Shape.LIST, value
        return
    members = list(value.values())
    inside = [
        each for name, member in value.items() for each in _containers(member, (*path, name), cut)
    ]
    if len(path) <= 1 and _are_alike(members, path in cut) and not _are_in(inside, members):
        yield path, Shape.MEMBERS, members
    else:
        yield from inside


def _are_alike(members: list[Any], is_cut: bool) -> bool:
    """Tell objects that are rows of one table: several, which mostly have the same names.

    Two may be anything (what is told of a list, and what the list is in): they have to have the
    very same names, and one of a text. The last one may be cut.
    """
    complete = members[:-1] if is_cut else members
    if len(complete) < 2 or not all(type(each) is dict for each in members) or not all(complete):
        return False
    if len(members) == 2:
        return members[0].keys() == members[1].keys() and _longest_text(members[0], _BODY_NAMES) > 0
    counts = Counter(name for each in complete for name in each)
    usual = {name for name, count in counts.items() if 2 * count > len(complete)}
    like = sum(2 * len(usual & each.keys()) >= len(each) for each in complete)
    return like >= _ALIKE * len(complete) and all(usual & each.keys() for each in complete)


def _are_in(inside: list[_Container], members: list[Any]) -> bool:
    """Tell whether lists in objects are the articles: longer, and of no shorter texts."""
    theirs = max(map(_longest_text, members))
    return any(
        len(elements) > len(members) and max(map(_longest_text, elements)) >= theirs
        for _, _, elements in inside
    )


def _longest_text(value: Any, names: frozenset[str] | None = None) -> int:
    """The length of the longest text of an object, of its members named so; 0 for no object."""
    if not isinstance(value, dict):
        return 0
    return max(
        (
            len(text)
            for name, text in value.items()
            if isinstance(text, str)
            and (names is None or re.sub(r"[\W_]", "", name).lower() in names)
        ),
        default=0,
    )


def _columns_shape(value: dict[str, Any]) -> Shape | None:
    """Tell columns, as pandas writes them, where they cannot be anything else."""
    if set(value) in ({"columns", "data"}, {"columns", "index", "data"}):
        rows = value["data"]
        if isinstance(rows, list) and all(isinstance(row, list) for row in rows[:100]):
            return Shape.SPLIT
    members = list(value.values())
    first = members[0]
    if isinstance(first, list):
        cells = [each for each in members if isinstance(each, list)]
        alike = len(cells) == len(members) and len({len(each) for each in members[:-1]}) <= 1
        scalars = not any(isinstance(cell, dict) for each in cells for cell in each[:100])
        return Shape.COLUMNS if alike and scalars and len(members) > 1 and first else None
    if isinstance(first, dict) and first and all(isinstance(each, dict) for each in members):
        places = [str(place) for place in range(len(first))]
        complete = members[:-1] if len(members) > 1 else members
        if all(list(each) == places for each in complete):
            return Shape.COLUMNS
    return None


class ObjectEnd(Enum):
    """Why there is no list: the object ends, the file does, or it is no JSON from here on."""

    CLOSED = 0
    OF_FILE = 1
    BROKEN = 2


def is_large_object(window: Window) -> bool:
    """Tell whether a window begins with an object that is too large to be an article."""
    start = window.data.find(b"{")
    if start < 0 or window.data[:start].strip():
        return False
    scan = BracketScan(window, start)
    for size in (0, values.MAX_ELEMENT + 1):
        window.grow(size)
        if scan.end() is not None:
            return False
    if len(window.data) <= values.MAX_ELEMENT:
        return False
    text = without_cut_character(window.data[start : values.MAX_ELEMENT])
    try:
        parse_json(text)
    except TooManyValuesError:
        return True
    except NotJsonError as error:
        return is_cut(text, error)
    return False


def list_behind(window: Window, head_size: int) -> JsonLayout | ObjectEnd:
    """Pass over members of the large object in a window until there is a list of articles.

    The layout's start is one in the window as it is then; without a list, the window begins after
    the object. Holds `head_size` bytes of the members, whatever they come to.
    """
    window.drop(window.data.find(b"{") + 1)
    members = _Members(window)
    while (end := members.skip(head_size)) is None:
        window.grow(head_size)
        head = b"{" + bytes(window.data[:head_size])
        layout = layout_of(head, whole=len(window.data) < head_size)
        if layout.shape in (Shape.LIST, Shape.MEMBERS):
            return replace(layout, start=layout.start - 1)
    return end


class _Members(Cursor):
    """The members of an object, from the first one on."""

    def skip(self, least: int) -> ObjectEnd | None:
        """Drop members of at least so many bytes, up to the next one; tell if there is none."""
        window = self._window
        start = window.base + self._at
        while (byte := self._next_byte()) is not None:
            if byte == b"}":
                self._at += 1
                self._forget()
                return ObjectEnd.CLOSED
            if byte == b",":
                self._at += 1
                if window.base + self._at - start >= least:
                    self._forget()
                    return None
            elif self._key() is None:
                return ObjectEnd.OF_FILE if byte == b'"' else ObjectEnd.BROKEN
            elif (value := self._next_byte()) is None:
                return ObjectEnd.OF_FILE
            elif value in b'{["':
                if not self._pass_over():
                    return ObjectEnd.OF_FILE
            else:
                window.grow(self._at + values.MAX_DIGITS)
                plain = _PLAIN.match(window.data, self._at)
                if plain is None:
                    return ObjectEnd.BROKEN
                self._at = plain.end()
        return ObjectEnd.OF_FILE
