"""Languages as sources name them, to the usual form of their codes: ``en_gb`` is en-GB."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

# BCP 47: language, script, region; behind a locale of POSIX its encoding (en_GB.UTF-8).
_CODE = re.compile(
    r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|\d{3}))?(?:\.[\w-]+)?", re.IGNORECASE
)
# What is written where there is no language.
_NO_CODE = frozenset(("na", "nan", "nil", "no", "non", "not", "nul", "tbd", "yes"))
_NAMES = {
    "ar": "arabic العربية",
    "bn": "bengali bangla বাংলা",
    "cs": "czech čeština česky tschechisch",
    "da": "danish dansk dänisch",
    "de": "german deutsch allemand alemán tedesco duits 德语 ドイツ語",
    "el": "greek ελληνικά griechisch",
    "en": "english englisch anglais inglés inglese inglês engels английский 英语 英文 英語",
    "es": "spanish español espanol castellano spanisch espagnol spagnolo 西班牙语 スペイン語",
    "fa": "persian farsi فارسی",
    "fi": "finnish suomi finnisch",
    "fr": "french français francais französisch francés francese frans 法语 フランス語",
    "he": "hebrew עברית",
    "hi": "hindi हिन्दी हिंदी",
    "hu": "hungarian magyar ungarisch",
    "id": "indonesian",
    "it": "italian italiano italienisch italien 意大利语",
    "ja": "japanese 日本語 日语 日文 japanisch japonais",
    "ko": "korean 한국어 韩语 koreanisch",
    "nl": "dutch nederlands niederländisch néerlandais",
    "pl": "polish polski polnisch",
    "pt": "portuguese português portugues portugiesisch portugais 葡萄牙语",
    "ro": "romanian română",
    "ru": "russian русский russisch russe 俄语",
    "sv": "swedish svenska schwedisch",
    "th": "thai ไทย",
    "tr": "turkish türkçe türkisch",
    "uk": "ukrainian українська",
    "ur": "urdu اردو",
    "vi": "vietnamese",
    "zh": "chinese 中文 汉语 漢語 华语 中国語 중국어 chinesisch chinois 普通话",
}
_CODES = {name: code for code, names in _NAMES.items() for name in names.split()} | {
    "bahasa indonesia": "id",
    "tiếng việt": "vi",
    "simplified chinese": "zh-Hans",
    "简体中文": "zh-Hans",
    "traditional chinese": "zh-Hant",
    "繁體中文": "zh-Hant",
}


def usual_code(said: str) -> str:
    """Return a language as a code: ``en``, ``en-GB``, ``zh-Hans``; what is none stays as it is."""
    plain = said.strip().casefold()
    if plain in _CODES:
        return _CODES[plain]
    found = _CODE.fullmatch(plain)
    # "no" is Norwegian only where it is written as a code is.
    if found is None or (plain in _NO_CODE and said != "no"):
        return said
    language, script, region = found.groups(default="")
    return "-".join(filter(None, (language, script.title(), region.upper())))


def usual_codes(languages: pa.StringArray) -> pa.StringArray:
    """Return `usual_code` of each row."""
    if languages.null_count == len(languages):
        return languages
    coded = languages.dictionary_encode()
    codes = pa.array([usual_code(each) for each in coded.dictionary.to_pylist()], pa.string())
    return pc.take(codes, coded.indices)
