"""Text for terminals, logs and reports: untrusted text made harmless, and durations."""

import re

# Includes lone surrogates, which cannot be encoded, and the Unicode line and paragraph separators.
_CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def replace_controls(text: str) -> str:
    """Replace each control character of a text by U+FFFD, so that it cannot control a terminal."""
    return _CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", text)


def printable(text: str) -> str:
    r"""Return text on one line: white space collapsed, control characters replaced by U+FFFD.

    Example:
        >>> printable("two\n  lines")
        'two lines'
    """
    return replace_controls(" ".join(text.split()))


def format_duration(seconds: float) -> str:
    """Format a duration.

    Example:
        >>> format_duration(12), format_duration(185), format_duration(7_800)
        ('12 s', '3 min 05 s', '2 h 10 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
