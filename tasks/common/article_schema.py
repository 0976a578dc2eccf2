"""The schema of the articles table, the content hash of an article, and the flags of a row."""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa

ARTICLES_SCHEMA = pa.schema(
    [
        ("article_id", pa.string()),
        ("title", pa.string()),
        ("body", pa.string()),
        ("url", pa.string()),
        ("author", pa.string()),
        ("published_at", pa.timestamp("us", tz="UTC")),
        ("language", pa.string()),
        ("category", pa.string()),
        ("content_hash", pa.string()),
        ("source", pa.string()),
        ("extra", pa.string()),
        ("reference_summary", pa.string()),
        ("flags", pa.list_(pa.string())),
    ]
)
"""The schema of every part of `<lake>/articles/`.

`extra` is a JSON object with all other columns. `reference_summary` is a summary written by a
person, for evaluating answers. `flags` lists findings and assumptions, see `FLAGS`; null if there
are none.
"""

# hashlib releases the GIL for inputs of 2,048 bytes or more. Getting it back next to a busy thread
# takes milliseconds, hashing an article takes microseconds; so articles are hashed in shorter
# pieces, and only texts of 64 KiB or more are hashed without the GIL.
_PIECE_BYTES = 2_047
_MIN_BYTES_WITHOUT_GIL = 1 << 16


def content_hash(title: str | None, body: str) -> str:
    """Return the hash of an article's stored title and body: 32 hex digits of BLAKE2b.

    Example:
        >>> content_hash("Bridge opens", "The bridge opened on Monday.")
        '16970e508faf06408499ae4af432c22f'
    """
    return hash_of_bytes((title or "").encode(), body.encode())


def hash_of_bytes(title: bytes, body: bytes) -> str:
    """Return `content_hash` of a title and a body in UTF-8."""
    text = b"\0".join((title, body))
    if len(text) >= _MIN_BYTES_WITHOUT_GIL:
        return blake2b(text, digest_size=16).hexdigest()
    digest = blake2b(text[:_PIECE_BYTES], digest_size=16)
    for start in range(_PIECE_BYTES, len(text), _PIECE_BYTES):
        digest.update(text[start : start + _PIECE_BYTES])
    return digest.hexdigest()


MAX_CHARS = 1_000_000
"""Default maximum length of a body, in characters: about 250,000 tokens of English, more than the
context window of nearly all models."""

Mask = npt.NDArray[np.bool_]
"""One boolean per row."""

HTML = "html"
"""The body was HTML; its text is stored."""

MOJIBAKE = "mojibake"
"""The text looks as if it was decoded with the wrong encoding (``FranÃ§ois``). It is kept as is."""

REPLACEMENT_CHARACTERS = "replacement_characters"
"""The text contains U+FFFD, the mark of a failed decoding. It is kept as is."""

SHORT = "short"
"""The body is short for an article, but not shorter than ``min_chars``."""

LANGUAGE_DETECTED = "language_detected"
"""The source does not give the language; it was detected from the text."""

UTC_ASSUMED = "utc_assumed"
"""The source's date has a time of day but no time zone; UTC was assumed."""

DATE_UNREAD = "date_unread"
"""The source's date is invalid or ambiguous; it is kept in ``extra``."""

FLAGS = (HTML, MOJIBAKE, REPLACEMENT_CHARACTERS, SHORT, LANGUAGE_DETECTED, UTC_ASSUMED, DATE_UNREAD)
"""All flags, in the order in which rows list them."""
