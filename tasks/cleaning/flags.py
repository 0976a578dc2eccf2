"""What can be noticed of an article, or had to be assumed: the values of the column `flags`."""

import numpy as np
import numpy.typing as npt

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
