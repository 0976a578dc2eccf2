"""Find the articles in a JSON document from its first bytes, so that the rest can be streamed."""

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
_SCALAR = re.compile(rb"[-+.\w]+")
_MAX_DEPTH = 3
_MIN_ALIKE_SHARE = 0.6
"""Share of the objects by key that must get at least half of their names from the common ones."""
_BODY_NAMES = frozenset(
    "body text content contenttext contenthtml articlebody article fulltext maintext story "
    "document abstract paragraphs sentences 正文 内容 文章".split()
)


class Shape(StrEnum):
    """How a document arranges its articles; the value is the description shown to users."""

    LIST = "a list of objects"
    MEMBERS = "objects by key (the key is in the column key)"
    COLUMNS = "columns"
    SPLIT = "columns and data"
    VALUES = "one object after the other"


@dataclass(frozen=True)
class JsonLayout:
    """Where the articles are in a document.

    Attributes:
        path: The member names that lead to them; empty for the document itself.
        start: The offset of the first element in bytes, just after the bracket of its container.
        ignored: The paths of other lists of objects in the head, which are not read.
    """

    shape: Shape
    path: Path = ()
    start: int = 0
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.shape} in {'.'.join(self.path)}" if self.path else str(self.shape)


@dataclass
class _Outline:
    """The structure of a document's head.

    Attributes:
        text: Its parsable start, with all brackets closed.
        starts: The offset after the opening bracket of each container that only member names
            lead to.
        open: The paths of containers that do not end in the head, outermost first.
        end: The offset after the first value, if it ends in the head.
    """

    text: bytes = b""
    starts: dict[Path, int] = field(default_factory=dict)
    open: tuple[Path, ...] = ()
    end: int | None = None


def layout_of(head: bytes, whole: bool) -> JsonLayout:
    """Infer the layout of a document from its first bytes.

    Of several lists of objects, the one that continues beyond the head is chosen, or else the
    longest. Objects by key are chosen only if they are alike and do not contain longer lists.

    Args:
        head: The start of the document in UTF-8.
        whole: Whether `head` is the whole document.

    Example:
        >>> str(layout_of(b'{"status": "ok", "articles": [{"body": "A text."}]}', whole=True))
        'a list of objects in articles'
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
    best = _best_container(value, outline, whole)
    if best is None:
        return JsonLayout(Shape.VALUES)
    path, shape = best
    containers = _containers(value, (), frozenset(outline.open))
    others = tuple(".".join(other) for other, _, _ in containers if other != path)
    return JsonLayout(shape, path, outline.starts[path], others)


def _readable(head: bytes) -> tuple[_Outline, Any]:
    """Parse the head up to its end or to the first error."""
    outline = _outline_of(head)
    for _ in range(2):
        try:
            return outline, parse_json(outline.text)
        except NotJsonError as error:
            valid = outline.text.decode(errors="replace")[: error.position].encode()
            outline = _outline_of(valid[: len(head)])
    return outline, None


def _outline_of(head: bytes) -> _Outline:
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
            if (path := _path(names)) is not None and len(path) <= _MAX_DEPTH:
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


def _best_container(
    value: dict[str, Any], outline: _Outline, whole: bool
) -> tuple[Path, Shape] | None:
    """Return the container of the articles; None if the document is itself an article."""
    cut = frozenset() if whole and outline.end is not None else frozenset(outline.open)
    candidates = [each for each in _containers(value, (), cut) if each[0] in outline.starts]
    if not candidates:
        return None
    unended = [each for each in candidates if each[0] in cut]
    path, shape, elements = next(iter(unended), max(candidates, key=lambda each: len(each[2])))
    longest = max((_longest_text(each) for each in elements), default=0)
    if _longest_text(value, _BODY_NAMES) > longest:
        return None
    return path, shape


def _containers(value: Any, path: Path, cut: frozenset[Path]) -> Iterator[_Container]:
    """Yield all lists of objects, and objects of similar objects, that only member names lead to.

    `cut` has the paths of containers whose last element may be incomplete.
    """
    if len(path) > _MAX_DEPTH or not isinstance(value, dict):
        if (
            isinstance(value, list)
            and path
            and 2 * sum(type(each) is dict for each in value) > len(value)
        ):
            yield path, Shape.LIST, value
        return
    members = list(value.values())
    inside = [
        each for name, member in value.items() for each in _containers(member, (*path, name), cut)
    ]
    if (
        len(path) <= 1
        and _are_alike(members, path in cut)
        and not _contain_articles(inside, members)
    ):
        yield path, Shape.MEMBERS, members
    else:
        yield from inside


def _are_alike(members: list[Any], is_cut: bool) -> bool:
    """Return whether objects are rows of one table: most of them have mostly the same names.

    Two objects could be unrelated, such as metadata and data, so they need exactly the same names,
    one of which is typical of an article's text. The last object may be incomplete.
    """
    complete = members[:-1] if is_cut else members
    if len(complete) < 2 or not all(type(each) is dict for each in members) or not all(complete):
        return False
    if len(members) == 2:
        return members[0].keys() == members[1].keys() and _longest_text(members[0], _BODY_NAMES) > 0
    counts = Counter(name for each in complete for name in each)
    common = {name for name, count in counts.items() if 2 * count > len(complete)}
    alike = sum(2 * len(common & each.keys()) >= len(each) for each in complete)
    enough = alike >= _MIN_ALIKE_SHARE * len(complete)
    return enough and all(common & each.keys() for each in complete)


def _contain_articles(inside: list[_Container], members: list[Any]) -> bool:
    """Return whether a container in the members has more elements, with texts at least as long."""
    longest = max(map(_longest_text, members))
    return any(
        len(elements) > len(members) and max(map(_longest_text, elements)) >= longest
        for _, _, elements in inside
    )


def _longest_text(value: Any, names: frozenset[str] | None = None) -> int:
    """Return the length of the longest text in an object's members, or in those with `names`."""
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
    """Return the shape of columns as pandas writes them, if the object cannot be anything else."""
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
        indices = [str(index) for index in range(len(first))]
        complete = members[:-1] if len(members) > 1 else members
        if all(list(each) == indices for each in complete):
            return Shape.COLUMNS
    return None


class ObjectEnd(Enum):
    """Why an object has no list: the object ends, the file ends, or the rest is not JSON."""

    CLOSED = 0
    OF_FILE = 1
    BROKEN = 2


def is_large_object(window: Window) -> bool:
    """Return whether a window begins with an object that is too large to be an article."""
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


def skip_to_list(window: Window, head_size: int) -> JsonLayout | ObjectEnd:
    """Skip members of the large object in a window until there is a list of articles.

    Args:
        window: The stream; it holds about `head_size` bytes, however large the members are.
        head_size: How many bytes to search for a list at a time.

    Returns:
        The layout, with its start relative to the window as it is then; or why there is no list,
        with the window after the object.
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
    """Cursor over the members of an object."""

    def skip(self, min_bytes: int) -> ObjectEnd | None:
        """Drop members until `min_bytes` bytes are dropped; return why if there is no next one."""
        window = self._window
        start = window.base + self._at
        while (byte := self._next_byte()) is not None:
            if byte == b"}":
                self._at += 1
                self._forget()
                return ObjectEnd.CLOSED
            if byte == b",":
                self._at += 1
                if window.base + self._at - start >= min_bytes:
                    self._forget()
                    return None
            elif self._key() is None:
                return ObjectEnd.OF_FILE if byte == b'"' else ObjectEnd.BROKEN
            elif (value := self._next_byte()) is None:
                return ObjectEnd.OF_FILE
            elif value in b'{["':
                if not self._skip_value():
                    return ObjectEnd.OF_FILE
            else:
                window.grow(self._at + values.MAX_DIGITS)
                scalar = _SCALAR.match(window.data, self._at)
                if scalar is None:
                    return ObjectEnd.BROKEN
                self._at = scalar.end()
        return ObjectEnd.OF_FILE
