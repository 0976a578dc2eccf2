"""Which language a text is in, as the Compact Language Detector 2 (CLD2) reads it.

The package pycld2 contains the detector and its tables for 165 languages
(https://github.com/CLD2Owners/cld2); nothing is ever downloaded.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pycld2

from article_flows.tasks.cleaning.language.codes import usual_code

SAMPLE_CHARS = 600
"""How much of a text is read: of 4,511 development texts, 400 characters get two less right."""
_MIN_LETTER_BYTES = 20
"""Letters in UTF-8: a word or two are a name as often as a language."""
_MIN_EVIDENCE = 280
"""CLD2's score for the language times the share of the text that is in it. Articles in a language
that CLD2 knows have 400 and more, single sentences in Amharic or Tigrinya 200 to 300; three of four
passages in languages that it does not know have less."""

# Addresses; and what CLD2 refuses to read: control characters, and code points without a meaning.
_NONCHARACTERS = "".join(rf"\x{{{plane:x}fffe}}\x{{{plane:x}ffff}}" for plane in range(17))
_UNREADABLE = (
    r"\S*(?:://|@|www\.)\S*"
    rf"|[\x00-\x08\x0b-\x1f\x7f-\x9f\x{{fdd0}}-\x{{fdef}}{_NONCHARACTERS}]"
)


def detect_languages(bodies: pa.StringArray) -> pa.StringArray:
    """Return the language of each body as ISO 639-1, such as ``en``; null where it is not clear.

    Rows without text are null. Safe to call in several threads; CLD2 releases the GIL.
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
    # Its longer codes are of languages that ISO 639-1 leaves out, and of games such as Klingon.
    return usual_code(code) if len(code.partition("-")[0]) == 2 else None
