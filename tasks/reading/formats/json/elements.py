"""The elements of a JSON list one by one, from a stream: broken ones alone are rejected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.rows import Reject, Row
from article_flows.tasks.reading.formats.json.scanner import (
    FIRST_NAME,
    GARBAGE,
    GARBAGE_LINE,
    SCALAR,
    SPACE,
    STRINGS,
    BracketScan,
    Cursor,
    Syntax,
    Window,
)
from article_flows.tasks.reading.formats.json.values import (
    MAX_ELEMENT,
    NotJsonError,
    TooManyValuesError,
    is_cut,
    not_an_object,
    parse_json,
    reject,
    without_cut_character,
)

_FIRST_CHECK = 16 << 10
"""Bytes after which an element that has not ended is looked at: can it be JSON at all?"""
_MORE = 2 << 20
_EXCERPT = 8_000
_OVERLAP = 2_000
_REACH = 400
ENDS_WITHIN = "the file ends within this element"
"""What is added to the reason of a reject that is cut."""


def too_large() -> str:
    """Why an element over MAX_ELEMENT is rejected."""
    return f"the element is larger than {MAX_ELEMENT >> 20} MiB"


class Elements(Cursor):
    """Reads elements from a window that begins before the first one.

    `count` elements were before them.

    Attributes:
        count: how many elements there were, good or not.
        passed_over: whether there were members after the list.
    """

    def __init__(self, window: Window, name: str, syntax: Syntax, count: int = 0) -> None:
        super().__init__(window)
        self._name = name
        self._syntax = syntax
        self._first_name = b""
        self.count = count
        self._ended = False
        self.passed_over = False

    def rows(self) -> Iterator[Row | Reject]:
        """Yield each element as a row, numbered from 1; raise UserError if the list has no end."""
        while (byte := self._next_byte()) is not None:
            if byte == self._syntax.closer:
                self._at += 1
                self._ended = True
                break
            if byte == b"," and self.count:
                self._at += 1
                continue
            self.count += 1
            yield self._element(byte)
        self._forget()
        if self._syntax.closer and not self._ended:
            place = f"at byte {self._window.base:,}, after element {self.count:,}"
            raise UserError(
                f"{self._name} is cut: it ends within its list {place} (those before are kept); "
                "fetch it again"
            )

    def rest(self, depth: int) -> Iterator[Reject]:
        """Read on to the end of the file; `depth` objects around the list are open.

        Yields a `Reject` for what comes after the document's end.
        """
        window = self._window
        scan = BracketScan(window, 0, depth)
        while depth:
            end = scan.end()
            part = window.data if end is None else window.data[:end]
            self.passed_over |= bool(part.strip(b" \t\r\n}"))
            window.drop(scan.place - window.base)
            if end is not None:
                break
            if not window.more():
                window.drop(len(window.data))
                break
        if self._next_byte() is not None:
            window.grow(_EXCERPT)
            text = window.data[self._at :]
            self.count += 1
            yield reject(self.count, "not JSON: more text after the end of the document", text)
            while window.more():
                window.drop(len(window.data))

    def _element(self, byte: bytes) -> Row | Reject:
        key = None
        if self._syntax.keyed:
            key = self._key()
            byte = (self._next_byte() or b"") if key else b""
        if not byte or byte not in b'{["':
            return self._scalar()
        end = self._end()
        if end is None or end - self._at > MAX_ELEMENT:
            return self._unended()
        if not self._is_followed(end):
            reason = "not JSON: text after the element, before the next one"
            return self._rejected(reason, self._garbage_end(end))
        text = self._window.data[self._at : end]
        try:
            record = parse_json(text)
        except TooManyValuesError as error:
            return self._rejected(str(error), end)
        except NotJsonError as error:
            return self._rejected(str(error), self._resume(end, error))
        if not isinstance(record, dict):
            return self._rejected(not_an_object(record), end)
        if not self._first_name and (first := FIRST_NAME.match(text)):
            self._first_name = first[1]
        self._at = end
        return Row(self.count, {"key": parse_json(key)} | record if key else record, len(text))

    def _end(self) -> int | None:
        """The index after this element; None if it has none or is broken or too large."""
        window, check = self._window, _FIRST_CHECK
        scan = BracketScan(window, self._at)
        while True:
            end = scan.end(self._at + check)
            if end is not None:
                return end
            if len(window.data) - self._at >= check:
                if check > MAX_ELEMENT or not _may_go_on(window.data[self._at : self._at + check]):
                    return None
                check = min(4 * check, MAX_ELEMENT + 1)
            else:
                self._forget()
                if not window.more():
                    return None

    def _is_followed(self, end: int) -> bool:
        """Tell whether what comes after an element is what may come there."""
        end = self._matched(SPACE, end)
        follower = self._window.data[end : end + 1]
        return follower in (b"", b",", b'"' if self._syntax.keyed else b"{", self._syntax.closer)

    def _garbage_end(self, end: int) -> int:
        """Where what follows an element, and should not, ends: before the next separator."""
        return self._matched(GARBAGE if self._syntax.closer else GARBAGE_LINE, end)

    def _matched(self, pattern: re.Pattern[bytes], at: int) -> int:
        """Where what matches at a place ends, looked for in some more of the stream if need be."""
        found = pattern.match(self._window.data, at)
        if found and found.end() == len(self._window.data):
            self._window.grow(found.end() + _MORE)
            found = pattern.match(self._window.data, at)
        return found.end() if found else at

    def _scalar(self) -> Reject:
        """Reject what is no object, array or string, or what is no value at all."""
        end = max(self._matched(SCALAR, self._at), self._at + 1)
        text = self._window.data[self._at : end].rstrip()
        try:
            reason = not_an_object(parse_json(text))
        except NotJsonError as error:
            reason = str(error)
            if end >= len(self._window.data) and is_cut(text, error):
                reason = f"{reason}; {ENDS_WITHIN}"
            end = end if self._syntax.closer else self._garbage_end(end)
        return self._rejected(reason, end)

    def _unended(self) -> Reject:
        """Reject an element that is too large, or whose end is not found: broken, or cut."""
        data = self._window.data
        # A mistake near the start is found without a look at all that is there.
        for size in (min(_FIRST_CHECK, MAX_ELEMENT), MAX_ELEMENT + 1):
            text = without_cut_character(data[self._at : self._at + size])
            try:
                parse_json(text)
            except TooManyValuesError as error:
                return self._too_large(str(error))
            except NotJsonError as error:
                if not is_cut(text, error):
                    return self._rejected(str(error), self._resume(None, error))
                if size > MAX_ELEMENT and len(text) <= MAX_ELEMENT - 4:
                    return self._rejected(f"{error}; {ENDS_WITHIN}", len(data))
        return self._too_large(too_large())

    def _too_large(self, reason: str) -> Reject:
        """Pass over an element without keeping more of it than an excerpt."""
        row = reject(self.count, reason, self._window.data[self._at : self._at + _EXCERPT])
        return row if self._pass_over() else replace(row, reason=f"{reason}; {ENDS_WITHIN}")

    def _rejected(self, reason: str, end: int) -> Reject:
        text = self._window.data[self._at : min(end, self._at + _EXCERPT)]
        row = reject(self.count, reason, text)
        self._at = end
        return row

    def _resume(self, end: int | None, error: NotJsonError) -> int:
        """Find where to go on after a broken element: its own end, unless that cannot be right.

        A quote or bracket that is missing makes elements after it look like part of the broken
        one; there the next one that begins as the others do (by the same first name) is taken.
        """
        window, data = self._window, self._window.data
        begins = _beginning(self._syntax, self._first_name, data, self._at)
        stop = len(data) if end is None else end
        # The position counts characters, of four bytes at most.
        near = data[self._at : min(stop, self._at + 4 * error.position)]
        place = len(near.decode(errors="replace")[: error.position].encode())
        start = self._at + max(1, place - len(self._first_name) - 64)
        if end is not None and data[end - 1] == data[self._at] + 2:
            # A quote may be missing: then the next element begins in what seems to be a string.
            for string in STRINGS.finditer(data, self._at, end):
                place, string_end = max(start, string.start()), string.end()
                found = begins.search(data, place, min(end, string_end + _REACH))
                if found and found.start() < string_end:
                    return found.end()
            return end
        while not (found_next := begins.search(data, start, stop)):
            if end is not None:
                return end
            start = max(start, len(data) - _OVERLAP)
            if len(data) - self._at > MAX_ELEMENT:
                # The excerpt is what must stay; what lies between it and here is passed over.
                del data[self._at + _EXCERPT : start]
                window.base += start - self._at - _EXCERPT
                start = self._at + _EXCERPT
            if not window.more():
                return len(data)
            stop = len(data)
        return found_next.end()


def _may_go_on(text: bytes | bytearray) -> bool:
    """Tell whether text can be the start of a good element."""
    text = without_cut_character(text)
    try:
        parse_json(text)
    except NotJsonError as error:
        return is_cut(text, error)
    return True


def _beginning(syntax: Syntax, name: bytes, data: bytearray, at: int) -> re.Pattern[bytes]:
    """A pattern of how an element begins, after what separates it from the one before.

    `name` is the first name of other elements; if none is known, that of the one at `at` is taken.
    """
    own = FIRST_NAME.match(data, at)
    name = name or (own[1] if own else b"")
    start = rb"\{\s*" + (re.escape(name) + rb"\s*:" if name else b'"')
    return re.compile(syntax.separator + start + b")")
