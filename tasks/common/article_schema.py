"""The schema of the articles table, and the hash of an article."""

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

`extra` is a JSON object of all other columns, `reference_summary` what somebody wrote before, to
measure answers by. `flags` says what was noticed or assumed (`flags`); null if
nothing.
"""


_HELD, _WORTH_RELEASING = 2047, 1 << 16
"""hashlib lets go of the GIL for each text of 2,048 bytes and more. To get it back beside a busy
thread takes milliseconds, to hash an article some microseconds."""


def content_hash(title: str | None, body: str) -> str:
    """Return the hash of an article's content as stored: 32 hex digits of BLAKE2b."""
    return _hash((title or "").encode(), body.encode())


def _hash(title: bytes, body: bytes) -> str:
    text = b"\0".join((title, body))
    if len(text) >= _WORTH_RELEASING:
        return blake2b(text, digest_size=16).hexdigest()
    digest = blake2b(text[:_HELD], digest_size=16)
    for start in range(_HELD, len(text), _HELD):
        digest.update(text[start : start + _HELD])
    return digest.hexdigest()


MAX_CHARS = 1_000_000
"""About 250,000 tokens of English: more than nearly all models take."""


Mask = npt.NDArray[np.bool_]
"""Of each row whether something is so."""


HTML = "html"
"""The body was HTML; what is stored is its text."""


MOJIBAKE = "mojibake"
"""The text looks as if it had been decoded with a wrong encoding: ``FranÃ§ois``. It is kept."""


REPLACED = "replacement_characters"
"""The text has U+FFFD where somebody could not decode it. It is kept."""


SHORT = "short"
"""The body is short for an article, but not under the least that is taken."""


LANGUAGE_DETECTED = "language_detected"
"""The source says no language; it was told by the text."""


UTC_ASSUMED = "utc_assumed"
"""The source's date has a time of day and no zone; it was taken for UTC."""


DATE_UNREAD = "date_unread"
"""The source's date cannot be told for certain; it is kept in extra."""


FLAGS = (HTML, MOJIBAKE, REPLACED, SHORT, LANGUAGE_DETECTED, UTC_ASSUMED, DATE_UNREAD)
"""All flags, in the order in which a row has them."""
