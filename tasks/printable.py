"""Text of strangers for a terminal, a log or a report: it must not steer what shows it."""

import re

# Also lone surrogates, which no terminal can be sent, and what some take for the end of a line.
_STEERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def unsteered(text: str) -> str:
    """Return text whose control characters are U+FFFD each; white space stays as it is."""
    return _STEERS.sub("\N{REPLACEMENT CHARACTER}", text)


def printable(text: str) -> str:
    """Return text on one line: each control character is U+FFFD, white space is one space."""
    return unsteered(" ".join(text.split()))
