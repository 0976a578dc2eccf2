"""Stream the elements of a JSON list and recover after each broken one; used by the reader."""

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

_FIRST_CHECK_BYTES = 16 << 10
"""After this many bytes without an end, an element is checked for being JSON so far."""
_LOOKAHEAD_BYTES = 2 << 20
_EXCERPT_BYTES = 8_000
_SEPARATOR_OVERLAP = 2_000
_SEPARATOR_REACH = 400
ENDS_WITHIN = "the file ends within this element"
"""Added to the reason of a reject at the end of a truncated file."""


def too_large() -> str:
    """Return the reason for rejecting an element over MAX_ELEMENT."""
    return f"the element is larger than {MAX_ELEMENT >> 20} MiB"


class Elements(Cursor):
    """Reader of the elements of a list, from a window that begins before the first one.

    Args:
        window: The stream.
        name: The file's name, for messages.
        syntax: What surrounds the elements.
        count: The number of elements before them.

    Attributes:
        count: The number of elements so far, valid or not.
        skipped_members: Whether the file has members after the list.
    """

    def __init__(self, window: Window, name: str, syntax: Syntax, count: int = 0) -> None:
        super().__init__(window)
        self._name = name
        self._syntax = syntax
        self._first_name = b""
        self.count = count
        self._ended = False
        self.skipped_members = False

    def rows(self) -> Iterator[Row | Reject]:
        """Yield each element as a row, numbered from 1; raise UserError for a truncated list."""
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
            position = f"at byte {self._window.base:,}, after element {self.count:,}"
            raise UserError(
                f"{self._name} is truncated: it ends within its list {position} (the elements "
                "before are kept); download it again"
            )

    def rest(self, depth: int) -> Iterator[Reject]:
        """Read to the end of the file, and reject any text after the end of the document.

        Args:
            depth: The number of objects around the list.
        """
        window = self._window
        scan = BracketScan(window, 0, depth)
        while depth:
            end = scan.end()
            part = window.data if end is None else window.data[:end]
            self.skipped_members |= bool(part.strip(b" \t\r\n}"))
            window.drop(scan.position - window.base)
            if end is not None:
                break
            if not window.more():
                window.drop(len(window.data))
                break
        if self._next_byte() is not None:
            window.grow(_EXCERPT_BYTES)
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
        if not self._is_separated(end):
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
        """Return the index after this element; None if it is truncated, broken or too large."""
        window, check = self._window, _FIRST_CHECK_BYTES
        scan = BracketScan(window, self._at)
        while True:
            end = scan.end(self._at + check)
            if end is not None:
                return end
            if len(window.data) - self._at >= check:
                if check > MAX_ELEMENT or not _may_be_json_start(
                    window.data[self._at : self._at + check]
                ):
                    return None
                check = min(4 * check, MAX_ELEMENT + 1)
            else:
                self._forget()
                if not window.more():
                    return None

    def _is_separated(self, end: int) -> bool:
        """Return whether a separator, another element or the end of the list follows."""
        end = self._matched(SPACE, end)
        follower = self._window.data[end : end + 1]
        return follower in (b"", b",", b'"' if self._syntax.keyed else b"{", self._syntax.closer)

    def _garbage_end(self, end: int) -> int:
        """Return the end of the invalid text after an element: before the next separator."""
        return self._matched(GARBAGE if self._syntax.closer else GARBAGE_LINE, end)

    def _matched(self, pattern: re.Pattern[bytes], at: int) -> int:
        """Return the end of a match at an index, reading ahead if it reaches the window's end."""
        match = pattern.match(self._window.data, at)
        if match and match.end() == len(self._window.data):
            self._window.grow(match.end() + _LOOKAHEAD_BYTES)
            match = pattern.match(self._window.data, at)
        return match.end() if match else at

    def _scalar(self) -> Reject:
        """Reject a number, a constant, or text that is not a value at all."""
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
        """Reject an element without an end: too large, broken or truncated."""
        data = self._window.data
        # Parsing a short prefix first finds an error near the start cheaply.
        for size in (min(_FIRST_CHECK_BYTES, MAX_ELEMENT), MAX_ELEMENT + 1):
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
        """Skip an element, keeping only an excerpt of it."""
        row = reject(self.count, reason, self._window.data[self._at : self._at + _EXCERPT_BYTES])
        return row if self._skip_value() else replace(row, reason=f"{reason}; {ENDS_WITHIN}")

    def _rejected(self, reason: str, end: int) -> Reject:
        text = self._window.data[self._at : min(end, self._at + _EXCERPT_BYTES)]
        row = reject(self.count, reason, text)
        self._at = end
        return row

    def _resume(self, end: int | None, error: NotJsonError) -> int:
        """Return the index at which to resume after a broken element: its end, if plausible.

        A missing quote or bracket makes the following elements look like part of the broken one.
        Then reading resumes at the next element that begins with the same first name as others.
        """
        window, data = self._window, self._window.data
        begins = _start_pattern(self._syntax, self._first_name, data, self._at)
        stop = len(data) if end is None else end
        # The error's position is in characters, which have up to four bytes.
        before = data[self._at : min(stop, self._at + 4 * error.position)]
        offset = len(before.decode(errors="replace")[: error.position].encode())
        start = self._at + max(1, offset - len(self._first_name) - 64)
        if end is not None and data[end - 1] == data[self._at] + 2:
            # If a quote is missing, the next element begins in what looks like a string.
            for string in STRINGS.finditer(data, self._at, end):
                search_start, string_end = max(start, string.start()), string.end()
                match = begins.search(data, search_start, min(end, string_end + _SEPARATOR_REACH))
                if match and match.start() < string_end:
                    return match.end()
            return end
        while not (next_element := begins.search(data, start, stop)):
            if end is not None:
                return end
            start = max(start, len(data) - _SEPARATOR_OVERLAP)
            if len(data) - self._at > MAX_ELEMENT:
                # Drop everything up to here except the excerpt.
                del data[self._at + _EXCERPT_BYTES : start]
                window.base += start - self._at - _EXCERPT_BYTES
                start = self._at + _EXCERPT_BYTES
            if not window.more():
                return len(data)
            stop = len(data)
        return next_element.end()


def _may_be_json_start(text: bytes | bytearray) -> bool:
    text = without_cut_character(text)
    try:
        parse_json(text)
    except NotJsonError as error:
        return is_cut(text, error)
    return True


def _start_pattern(syntax: Syntax, name: bytes, data: bytearray, at: int) -> re.Pattern[bytes]:
    """Return the pattern of a separator before the start of an element.

    `name` is the first name in other elements; if it is unknown, that of the element at `at` is
    used.
    """
    own = FIRST_NAME.match(data, at)
    name = name or (own[1] if own else b"")
    start = rb"\{\s*" + (re.escape(name) + rb"\s*:" if name else b'"')
    return re.compile(syntax.separator + start + b")")
