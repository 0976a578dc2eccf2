"""Which legacy encoding a text is in that says nothing of it: told by the letters it would have."""

from __future__ import annotations

import codecs
import re
from functools import cache

import numpy as np
import numpy.typing as npt

_ESCAPED = re.compile("[\udc80-\udcff]")
_NOT_ASCII = re.compile("[^\x00-\x7f]")
_NOT_ASCII_RUN = re.compile("[^\x00-\x7f]+")
_RUN = re.compile(rb"[\x80-\xff]+")
_BESIDE_ASCII = re.compile(rb"[A-Za-z][\x80-\xff]+|[\x80-\xff]+[A-Za-z]")
_WITHIN_WORD = re.compile(rb"(?<=[A-Za-z])[\x80-\xff](?=[A-Za-z])")
_ISO_2022_JP = re.compile(rb"\x1b\$[@B]")
_SAMPLE = 64 << 10
_WIDE_SAMPLE = 16 << 10

_WIDE = ("cp949", "euc_jp", "cp932", "gb18030", "big5hkscs")
"""The multi-byte encodings of East Asia, each the superset that files really use (as WHATWG's)."""
_ENOUGH = 0.9
"""The share of usual characters over which text is taken to be in one of `_WIDE`.

Real articles have 0.96 and more in their own encoding; European text read as one has 0.6 at most.
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
    # Where two score the same the first is taken: Windows' encodings are by far the usual ones.
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
    # Greek and Hebrew use less of the table than Cyrillic, which would fit them too.
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
_NEVER_WITHIN = frozenset("“”„‚«»‹›•£¥€½¼¾¿¡¹²³ªº´§©®™°№")


def guess_encoding(sample: bytes) -> str:
    """Return the likeliest encoding of bytes that are not all ASCII; the ends may cut a character.

    UTF-8 where nearly all that is not ASCII decodes, as a few bad bytes are damage, no encoding.
    Otherwise the encoding of East Asia, or the one of a single byte, in which most of it would be
    letters that some language really uses; cp1252 where nothing tells.
    """
    if is_iso_2022_jp(sample):
        return "iso2022_jp"
    if _is_utf8(sample):
        return "utf-8"
    piece = _piece(sample)
    wide = [(_usual_share(piece, encoding), encoding) for encoding in _WIDE]
    share, encoding = max(wide, key=lambda each: each[0])
    if share >= _ENOUGH:
        return encoding
    # Where Latin letters with accents are, ASCII letters are beside them.
    beside = len(_BESIDE_ASCII.findall(piece))
    candidates = _LATIN if 2 * beside > len(_RUN.findall(piece)) else _OTHER_SCRIPTS + _LATIN
    return max(candidates, key=lambda each: _letters(piece, *each))[0]


def is_iso_2022_jp(sample: bytes) -> bool:
    """Tell the encoding of Japanese mail, which is all ASCII; the end may cut a character."""
    if not sample.isascii() or not _ISO_2022_JP.search(sample):
        return False
    try:
        codecs.getincrementaldecoder("iso2022_jp")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _is_utf8(sample: bytes) -> bool:
    # Not final: the sample's last character may be cut.
    text, _ = codecs.utf_8_decode(sample, "surrogateescape", False)
    bad = len(_ESCAPED.findall(text))
    good = len(_NOT_ASCII.findall(text)) - bad
    return bad <= max(3, good // 10) and good >= bad


def _piece(sample: bytes) -> bytes:
    """The sample's part that tells: from a little before its first byte that is not ASCII."""
    first = next((at for at, byte in enumerate(sample) if byte > 0x7F), 0)
    start = sample.rfind(b"\n", 0, first) + 1
    return sample[max(start, first - 1024) :][:_SAMPLE]


def _usual_share(piece: bytes, encoding: str) -> float:
    """The share of characters that are usual in the languages of a multi-byte encoding.

    0 unless most stand beside another: European text read so has them one by one.
    """
    text = piece[: _WIDE_SAMPLE - 1].decode(encoding, "replace")[:-1]
    runs = _NOT_ASCII_RUN.findall(text)
    wide = "".join(runs)
    if not wide or sum(len(run) for run in runs if len(run) > 1) < 0.6 * len(wide):
        return 0.0
    usual = sum(map(_usual(encoding).__contains__, wide)) / len(wide)
    kana = sum("\u3041" <= char <= "\u30fe" for char in wide) / len(wide)
    if encoding in ("cp932", "euc_jp"):
        # Japanese is never long without kana; Chinese read as Japanese has none.
        return usual if kana > 0.1 else usual / 2
    return usual * (1 - kana)


@cache
def _usual(encoding: str) -> frozenset[str]:
    """The characters that text in an encoding is made of: its standard's first level.

    GB 2312 rows 16 to 55, Big5 A440 to C67E, JIS X 0208 rows 16 to 47 with kana, KS X 1001's
    Hangul; each with the punctuation before them.
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


def _letters(piece: bytes, encoding: str, alphabets: tuple[str, ...]) -> float:
    """How many of the bytes beyond ASCII are what one language has: capitals count half.

    Encodings of Cyrillic differ in which half is capitals, and texts are nearly all small. A
    quotation mark within a word is none.
    """
    counts = np.bincount(np.frombuffer(piece, np.uint8), minlength=256)
    within = np.frombuffer(b"".join(_WITHIN_WORD.findall(piece)), np.uint8)
    inner = np.bincount(within, minlength=256)
    scores = []
    for alphabet in alphabets:
        usual, quotes = _weights(encoding, alphabet)
        scores.append(float(counts @ usual - inner @ quotes))
    return max(scores)


@cache
def _weights(
    encoding: str, alphabet: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What each byte counts, and what is taken from it within a word."""
    usual, quotes = np.zeros(256), np.zeros(256)
    capitals = alphabet.upper()
    for byte in range(0x80, 0x100):
        char = bytes((byte,)).decode(encoding, "ignore")
        if not char:
            continue
        usual[byte] = (
            1.0 if char in alphabet or char in _PUNCTUATION else 0.5 if char in capitals else 0.0
        )
        quotes[byte] = 1.0 if char in _NEVER_WITHIN else 0.0
    return usual, quotes
