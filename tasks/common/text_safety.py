"""Text for a terminal, a log or a report: of strangers, which must not steer it, and durations."""

import re

# Also lone surrogates, which no terminal can be sent, and what some take for the end of a line.
_STEERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def unsteered(text: str) -> str:
    """Return text whose control characters are U+FFFD each; white space stays as it is."""
    return _STEERS.sub("\N{REPLACEMENT CHARACTER}", text)


def printable(text: str) -> str:
    """Return text on one line: each control character is U+FFFD, white space is one space."""
    return unsteered(" ".join(text.split()))


def clock(seconds: float) -> str:
    """Seconds as 12 s, 3 min 05 s or 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
