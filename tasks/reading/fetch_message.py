"""What goes between the process that fetches pages and those that take articles out of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

LENGTH = struct.Struct(">I")
"""What goes before each message between the processes: its bytes, pickled."""
PLAIN_TYPES = frozenset({"text/plain", "text/markdown", "text/x-markdown"})
"""What is an article's text as it is."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it came: where it was in the end, its type and charset as declared, its bytes."""

    url: str
    content_type: str
    charset: str
    body: bytes
