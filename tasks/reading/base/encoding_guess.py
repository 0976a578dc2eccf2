"""Guess the legacy encoding of undeclared text from the letters that it would decode to."""

from __future__ import annotations

import codecs
import re
from functools import cache

import numpy as np
import numpy.typing as npt

_ESCAPED = re.compile("[\udc80-\udcff]")
_NOT_ASCII = re.compile("[^\x00-\x7f]")
_NOT_ASCII_RUN = re.compile("[^\x00-\x7f]+")
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
_BESIDE_ASCII_LETTER = re.compile(rb"[A-Za-z][\x80-\xff]+|[\x80-\xff]+[A-Za-z]")
_WITHIN_ASCII_WORD = re.compile(rb"(?<=[A-Za-z])[\x80-\xff](?=[A-Za-z])")
_ISO_2022_JP = re.compile(rb"\x1b\$[@B]")
_SAMPLE_BYTES = 64 << 10
_MULTIBYTE_SAMPLE_BYTES = 16 << 10

_MULTIBYTE = ("cp949", "euc_jp", "cp932", "gb18030", "big5hkscs")
"""The East Asian multi-byte encodings, each the superset that files really use (as in WHATWG)."""
_MIN_COMMON_SHARE = 0.9
"""The share of common characters from which text is taken to be in one of `_MULTIBYTE`.

Measured: at least 0.96 for real articles in their own encoding, at most 0.6 for European text.
"""

_LATIN1 = (
    "àâæçèéêëîïôœùûüÿ",  # French
    "äöüß",  # German
    "áéíóúüñ¿¡",  # Spanish
    "àáâãçéêíóôõúü",  # Portuguese
    "àèéìíòóù",  # Italian
    "åäöæøéü",  # the Nordic languages
    "áðéíóúýþæö",  # Icelandic
    "àçèéíïòóúü·",  # Catalan
    "éëïóöüáèê",  # Dutch
)
_LATIN2 = (
    "ąćęłńóśźż",  # Polish
    "áčďéěíňóřšťúůýž",  # Czech
    "áäčďéíĺľňóôŕšťúýž",  # Slovak
    "áéíóöőúüű",  # Hungarian
    "čćđšž",  # Croatian, Slovene
    "ăâîşţ",  # Romanian
)
_BALTIC = ("āčēģīķļņšūž", "ąčęėįšųūž", "äöüõšž")
_TURKISH = ("çğıöşüâî",)
_RUSSIAN = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
_CYRILLIC = (
    _RUSSIAN,
    "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
    "абвгдежзийклмнопрстуфхцчшщъьюя",
    "абвгдђежзијклљмнњопрстћуфхцчџш",
)
_GREEK = ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋ",)
_HEBREW = ("אבגדהוזחטיךכלםמןנסעףפץצקרשת",)
_ARABIC = ("ابتثجحخدذرزسشصضطظعغفقكلمنهويةىءآأؤإئ،؛؟", "ابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهیآئء،؟")
_THAI = ("".join(map(chr, range(0x0E01, 0x0E3B))) + "".join(map(chr, range(0x0E3F, 0x0E4F))),)
_VIETNAMESE = (
    "àáâãèéêìíòóôõùúýăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ₫\u0300\u0301\u0303\u0309\u0323",
)

_LATIN: tuple[tuple[str, tuple[str, ...]], ...] = (
    # The first of equal scores wins, and Windows encodings are by far the most common.
    ("cp1252", _LATIN1),
    ("cp1250", _LATIN2),
    ("cp1254", _TURKISH),
    ("cp1257", _BALTIC),
    ("cp1258", _VIETNAMESE),
    ("iso8859_2", _LATIN2),
    ("iso8859_15", _LATIN1),
    ("mac_roman", _LATIN1),
    ("cp850", _LATIN1),
    ("cp852", _LATIN2),
)
_OTHER_SCRIPTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Hebrew and Greek go first: they use fewer code points than Cyrillic, which fits them too.
    ("cp1255", _HEBREW),
    ("cp1253", _GREEK),
    ("cp1251", _CYRILLIC),
    ("cp1256", _ARABIC),
    ("koi8_r", (_RUSSIAN,)),
    ("koi8_u", _CYRILLIC),
    ("iso8859_7", _GREEK),
    ("iso8859_5", _CYRILLIC),
    ("iso8859_6", _ARABIC),
    ("cp874", _THAI),
    ("cp866", _CYRILLIC),
    ("mac_cyrillic", _CYRILLIC),
)
_PUNCTUATION = frozenset("“”‘’„‚«»‹›–—…•·°§©®™€£¥×½¼¾²³¹ªº´№\u00a0")
_NEVER_WITHIN_WORD = frozenset("“”„‚«»‹›•£¥€½¼¾¿¡¹²³ªº´§©®™°№")


def guess_encoding(sample: bytes) -> str:
    """Return the likeliest encoding of a sample that is not all ASCII.

    UTF-8 if nearly all non-ASCII characters decode: a few bad bytes are damage. Otherwise the
    East Asian or single-byte encoding in which most of the sample would be letters that a language
    really uses; cp1252 if there is no evidence. The sample may begin or end within a character.

    Example:
        >>> guess_encoding("Правительство объявило о новой программе".encode("koi8_r"))
        'koi8_r'
    """
    if is_iso_2022_jp(sample):
        return "iso2022_jp"
    if _is_utf8(sample):
        return "utf-8"
    piece = _evidence(sample)
    multibyte = [(_common_share(piece, encoding), encoding) for encoding in _MULTIBYTE]
    share, encoding = max(multibyte, key=lambda each: each[0])
    if share >= _MIN_COMMON_SHARE:
        return encoding
    # Accented Latin letters are next to ASCII letters; letters of other scripts are not.
    is_latin = 2 * len(_BESIDE_ASCII_LETTER.findall(piece)) > len(_HIGH_BYTES.findall(piece))
    candidates = _LATIN if is_latin else _OTHER_SCRIPTS + _LATIN
    return max(candidates, key=lambda each: _letter_score(piece, *each))[0]


def is_iso_2022_jp(sample: bytes) -> bool:
    """Return whether a sample is in the encoding of Japanese mail, all of whose bytes are ASCII.

    The sample may end within a character.
    """
    if not sample.isascii() or not _ISO_2022_JP.search(sample):
        return False
    try:
        codecs.getincrementaldecoder("iso2022_jp")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _is_utf8(sample: bytes) -> bool:
    # Not final, as the sample may end within a character.
    text, _ = codecs.utf_8_decode(sample, "surrogateescape", False)
    bad = len(_ESCAPED.findall(text))
    good = len(_NOT_ASCII.findall(text)) - bad
    return bad <= max(3, good // 10) and good >= bad


def _evidence(sample: bytes) -> bytes:
    """Return the part of the sample that starts shortly before its first non-ASCII byte."""
    first = next((at for at, byte in enumerate(sample) if byte > 0x7F), 0)
    start = sample.rfind(b"\n", 0, first) + 1
    return sample[max(start, first - 1024) :][:_SAMPLE_BYTES]


def _common_share(piece: bytes, encoding: str) -> float:
    """Return the share of characters that are common in the languages of a multi-byte encoding.

    0 unless most are next to another one: European text decoded this way has isolated ones.
    """
    text = piece[: _MULTIBYTE_SAMPLE_BYTES - 1].decode(encoding, "replace")[:-1]
    runs = _NOT_ASCII_RUN.findall(text)
    characters = "".join(runs)
    in_runs = sum(len(run) for run in runs if len(run) > 1)
    if not characters or in_runs < 0.6 * len(characters):
        return 0.0
    common = sum(map(_common_characters(encoding).__contains__, characters)) / len(characters)
    kana = sum("\u3041" <= char <= "\u30fe" for char in characters) / len(characters)
    if encoding in ("cp932", "euc_jp"):
        # Japanese text of any length has kana; Chinese text decoded as Japanese has none.
        return common if kana > 0.1 else common / 2
    return common * (1 - kana)


@cache
def _common_characters(encoding: str) -> frozenset[str]:
    """Return the first-level characters and the punctuation of an encoding's standard.

    GB 2312 rows 16 to 55, Big5 A440 to C67E, JIS X 0208 rows 16 to 47 with kana, KS X 1001's
    Hangul; each with the punctuation rows before them.
    """
    rows = {
        "gb18030": ("gb2312", (0xA1, 0xA3), (0xB0, 0xD7)),
        "cp932": ("euc_jp", (0xA1, 0xA5), (0xB0, 0xCF)),
        "euc_jp": ("euc_jp", (0xA1, 0xA5), (0xB0, 0xCF)),
        "cp949": ("euc_kr", (0xA1, 0xA3), (0xB0, 0xC8)),
        "big5hkscs": ("big5", (0xA1, 0xC6), (0xFF, 0xFE)),
    }
    codec, *ranges = rows[encoding]
    leads = [lead for first, last in ranges for lead in range(first, last + 1)]
    cells = (bytes((lead, trail)) for lead in leads for trail in range(0x40, 0xFF))
    return frozenset("".join(cell.decode(codec, "ignore") for cell in cells)) | _PUNCTUATION


def _letter_score(piece: bytes, encoding: str, alphabets: tuple[str, ...]) -> float:
    """Return how many non-ASCII bytes decode to letters of the best matching alphabet.

    Capitals count half, because Cyrillic encodings differ in which half of the table is capitals
    and most letters are lowercase. A symbol such as a quotation mark within a word does not count.
    """
    counts = np.bincount(np.frombuffer(piece, np.uint8), minlength=256)
    within_words = np.frombuffer(b"".join(_WITHIN_ASCII_WORD.findall(piece)), np.uint8)
    counts_within_words = np.bincount(within_words, minlength=256)
    scores = []
    for alphabet in alphabets:
        weights, penalties = _weights(encoding, alphabet)
        scores.append(float(counts @ weights - counts_within_words @ penalties))
    return max(scores)


@cache
def _weights(
    encoding: str, alphabet: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the weight of each byte value, and the penalty for it within an ASCII word."""
    weights, penalties = np.zeros(256), np.zeros(256)
    capitals = alphabet.upper()
    for byte in range(0x80, 0x100):
        char = bytes((byte,)).decode(encoding, "ignore")
        if not char:
            continue
        weights[byte] = (
            1.0 if char in alphabet or char in _PUNCTUATION else 0.5 if char in capitals else 0.0
        )
        penalties[byte] = 1.0 if char in _NEVER_WITHIN_WORD else 0.0
    return weights, penalties
