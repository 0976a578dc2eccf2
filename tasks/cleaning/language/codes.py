"""Normalization of language names and codes: ``en-US``, ``English`` and ``eng`` become ``en``."""

from __future__ import annotations

import re
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc
from langcodes import Language, standardize_tag, tag_is_valid

_MAX_NAME_CHARS = 40
_NOT_A_LANGUAGE = frozenset(("und", "mul", "mis", "zxx", "x"))
_ENCODING = re.compile(r"\.[\w-]+")
"""The encoding of a POSIX locale: ``de_AT.UTF-8``."""
_NOT_A_NAME = re.compile(r"[\d,;/&+]|\b(?:and|und|et)\b|^[a-z]{,3}$")
"""An encoding, several languages, or a short text: langcodes would find a language in it."""
# Codes of small languages that are far more often an answer, an encoding or a missing value.
_UNLIKELY_CODES = frozenset("na nan nil no non not nul tbd yes iso gbk root".split())
_MORE_NAMES = {"espanol": "es", "castellano": "es", "portugues": "pt"} | dict.fromkeys(
    ("汉语", "漢語", "华语"), "zh"
)


@lru_cache(maxsize=10_000)
def usual_code(value: str) -> str | None:
    """Return the BCP 47 code of a language without script and region.

    Accepts ISO 639 codes in any form and names in any language of CLDR. ``no`` is Norwegian only
    in lower case.

    Returns:
        The code, or None if the value is not a language.

    Example:
        >>> usual_code("zh_Hans_CN"), usual_code("Deutsch"), usual_code("euc-KR")
        ('zh', 'de', None)
    """
    name = value.strip()
    plain = name.casefold()
    if plain in _MORE_NAMES:
        return _MORE_NAMES[plain]
    # langcodes reads past the end of a name that contains a NUL.
    if len(name) > _MAX_NAME_CHARS or not name.isprintable():
        return None
    tag = _ENCODING.sub("", plain)
    if tag in _UNLIKELY_CODES and name != "no":
        return None
    if not tag_is_valid(tag):
        if _NOT_A_NAME.search(plain):
            return None
        try:
            tag = Language.find(name).to_tag()
        except LookupError:
            return None
    code = standardize_tag(tag, macro=True).partition("-")[0]
    if code in _NOT_A_LANGUAGE or (code in _UNLIKELY_CODES and code != "no"):
        return None
    return code


def usual_codes(languages: pa.StringArray) -> pa.StringArray:
    """Apply `usual_code` to each row."""
    if languages.null_count == len(languages):
        return languages
    coded = languages.dictionary_encode()
    codes = pa.array([usual_code(each) for each in coded.dictionary.to_pylist()], pa.string())
    return pc.take(codes, coded.indices)
