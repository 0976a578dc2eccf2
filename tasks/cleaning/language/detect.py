"""Language detection with the Compact Language Detector 2 (CLD2).

The package pycld2 contains the detector and its tables for 165 languages
(https://github.com/CLD2Owners/cld2); nothing is downloaded.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pycld2

from article_flows.tasks.cleaning.language.codes import usual_code

SAMPLE_CHARS = 600
"""Characters read per text. With 400, two more of 4,511 development texts are wrong."""
_MIN_LETTER_BYTES = 20
"""Letters in UTF-8: one or two words are often a name that says nothing about the language."""
_MIN_EVIDENCE = 280
"""CLD2's score for the language, times the share of the text in that language. Articles in a
language known to CLD2 have 400 or more, single sentences in Amharic or Tigrinya 200 to 300; three
of four passages in unknown languages have less."""

# URLs and email addresses, and what CLD2 rejects: control characters and noncharacters.
_NONCHARACTERS = "".join(rf"\x{{{plane:x}fffe}}\x{{{plane:x}ffff}}" for plane in range(17))
_UNREADABLE = (
    r"\S*(?:://|@|www\.)\S*"
    rf"|[\x00-\x08\x0b-\x1f\x7f-\x9f\x{{fdd0}}-\x{{fdef}}{_NONCHARACTERS}]"
)


def detect_languages(bodies: pa.StringArray) -> pa.StringArray:
    """Return the ISO 639-1 code of each body's language, or null if it is uncertain.

    Thread-safe; CLD2 releases the GIL.

    Example:
        >>> texts = ["Der Stadtrat hat am Montag den Bau der Brücke beschlossen.", "42"]
        >>> detect_languages(pa.array(texts)).to_pylist()
        ['de', None]
    """
    samples = pc.utf8_slice_codeunits(bodies, 0, SAMPLE_CHARS)
    samples = pc.replace_substring_regex(samples, _UNREADABLE, " ")
    return pa.array(
        [_language(text) if text else None for text in samples.to_pylist()], pa.string()
    )


def _language(text: str) -> str | None:
    _, letters, candidates = pycld2.detect(text, isPlainText=True, bestEffort=True)
    _, code, percent, score = candidates[0]
    if letters < _MIN_LETTER_BYTES or score * percent < _MIN_EVIDENCE * 100:
        return None
    # CLD2's longer codes are of languages without an ISO 639-1 code, Klingon among them.
    return usual_code(code) if len(code.partition("-")[0]) == 2 else None
