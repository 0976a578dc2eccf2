"""What JSON looks like around and within the elements of a list: patterns on bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

SPACE = re.compile(rb"[ \t\r\n\x1e]*")
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
STRINGS = re.compile(STRING + rb"?", re.DOTALL)
KEY = re.compile(rb"(" + STRING + rb")\s*:\s*", re.DOTALL)
FIRST_NAME = re.compile(rb"\{\s*(" + STRING + rb")\s*:", re.DOTALL)
SCALAR = re.compile(rb"(?:" + STRING + rb"|[^,\[\]{}])*+", re.DOTALL)
GARBAGE = re.compile(rb"(?:" + STRING + rb"|[^,\]}])*+", re.DOTALL)
GARBAGE_LINE = re.compile(rb"(?:[^\n]|\n(?!\s*\{))*+")


@dataclass(frozen=True)
class Syntax:
    """What stands around the elements: the bracket after the last, and whether each has a key."""

    closer: bytes
    keyed: bool = False

    @property
    def separator(self) -> bytes:
        """A pattern of what may stand before an element; it holds no more than 1 KB."""
        if self.keyed:
            return rb',\s*(?="(?:[^"\\]|\\.){0,300}"\s*:\s*'
        return rb",\s*(?=" if self.closer else rb"[,\n\x1e]\s*(?="


ELEMENTS = Syntax(b"]")
MEMBERS = Syntax(b"}", keyed=True)
VALUES = Syntax(b"")
