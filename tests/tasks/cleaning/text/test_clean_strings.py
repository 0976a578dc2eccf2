import sys
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.cleaning.text.clean import clean_strings, clean_text

# Characters at the boundaries between controls, blanks, marks, scripts and lengths in UTF-8.
ODD = (
    "\0\t\n\x0b\x0c\r\x1b\x1c\x1d\x1e\x1f \x7f\x80\x85\x9f\xa0\xbf\xc0\xff"
    "\u0300\u036f\u0374\u037e\u0387\u03cc"
    "\u0439\u05d0\u05bc\u0644\u0654\u093c\u0915\u0e48\u1100\u1161\u11a8\u1680\u1e9b\u1f71\u1fff"
    "\u2000\u2001\u2002\u200a\u200b\u2019\u2028\u2029\u202f\u205f\u2126\u212b\u2329\u3000\u3001"
    "\u302a\u304b\u3099\u4e2d\u9fff\uac00\ud7a3\uf900\ufb1d\ufe20\ufeff\uff01\ufffd"
    "\U0001d15e\U0001f600\U0002f800e"
)
TEXT = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(ODD)))


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), TEXT)), st.integers(0, 3))
def test_clean_strings_equals_clean_text_for_each_string(
    texts: list[str | None], start: int
) -> None:
    strings = pa.array(texts, pa.string())[start:]
    cleaned = clean_strings(strings)
    cleaned.validate(full=True)
    assert cleaned.to_pylist() == [
        None if text is None else clean_text(text) for text in texts[start:]
    ]


@pytest.mark.parametrize("sign", ODD)
def test_special_characters_are_cleaned_in_every_position(sign: str) -> None:
    texts = [sign, f"{sign}a", f"a{sign}", f"a{sign}b", "", f"e{sign}{sign}e", "clean"]
    assert clean_strings(pa.array(texts)).to_pylist() == [clean_text(text) for text in texts]


def test_a_clean_array_is_not_copied() -> None:
    strings = pa.array(
        ["left out ", "A line.\nAnother.", "“Quoted” – 中文，一句。" * 9, "Ελλ", None, ""]
    )[1:]
    assert clean_strings(strings) is strings


@pytest.mark.parametrize("text", ["Ελληνικά ", "हिन्दी में ", "العَرَبِيَّة ", "日本語が、", "한국어 "])
def test_long_texts_in_many_scripts_are_cleaned(text: str) -> None:
    for form in ("NFC", "NFD"):
        long = unicodedata.normalize(form, text * 9_000)
        texts = [long, "", f"{long}a", None, f"{long}\x85", "English\r\n" * 99, "中", "x"]
        expected = [None if each is None else clean_text(each) for each in texts]
        assert clean_strings(pa.array(texts)).to_pylist() == expected


def test_every_character_that_normalization_may_change_is_matched() -> None:
    signs = [chr(code) for code in range(0x80, sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    combining = [sign for sign in signs if unicodedata.combining(sign)]
    seconds = {
        chr(int(parts[1], 16))
        for sign in signs
        if len(parts := unicodedata.decomposition(sign).split()) == 2 and parts[0][0] != "<"
    }
    changed = [sign for sign in signs if unicodedata.normalize("NFC", sign) != sign]
    vowels = [chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))]
    known = [*combining, *sorted(seconds), *changed, *vowels]
    for before in ("x", "e", "\u0915", "\u1100", "\u304b"):
        texts = [f"{before}{sign}y" for sign in known if sign >= "\x80"]
        assert clean_strings(pa.array(texts)).to_pylist() == [clean_text(text) for text in texts]
