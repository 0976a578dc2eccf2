import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from article_flows.tasks.cleaning.text.clean import as_text, clean_text, join_sentences

ANY_TEXT = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\r\n\t\0\x0b\x0c\x1e\x1f\x85\x9f\ufeff\ud800e\u0301 \u3000中"),
    )
)


CP1252_LETTERS = set(map(chr, range(0x80, 0xA0))) - set("\x81\x85\x8d\x8f\x90\x9d")


@settings(deadline=None)
@given(ANY_TEXT)
def test_clean_text_is_idempotent(text: str) -> None:
    clean = clean_text(text)
    clean.encode()
    assert clean == clean.strip() == unicodedata.normalize("NFC", clean)
    assert not any(unicodedata.category(sign) == "Cc" and sign not in "\n\t" for sign in clean)
    assert clean_text(clean) == clean


@settings(deadline=None)
@given(ANY_TEXT)
def test_cleaning_keeps_words_separate(text: str) -> None:
    """Words that str.split separates stay separate; 85 next to C1 letters is an ellipsis."""
    if CP1252_LETTERS & set(text):
        text = text.replace("\x85", "…")
    kept = "".join(
        sign
        for sign in text
        if sign.isspace() or unicodedata.category(sign) != "Cc" or sign in CP1252_LETTERS
    )
    assert clean_text(text).strip("\ufeff").split() == clean_text(kept).strip("\ufeff").split()
    assert len(clean_text(f"a{text}b").split()) == len(f"a{kept}b".split())


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (" a\r\nb\rc\n ", "a\nb\nc"),
        ("Zu\u0308rich", "Zürich"),
        ("\ufeff 中文\u3000", "中文"),
        ("a\0b\x1b[1mc\x7f\x9dd\te", "ab[1mcd\te"),
        ("line\x85next", "line\nnext"),
        ("c\x9cur, 115\xa0000\xa0\x80", "cœur, 115\xa0000\xa0€"),
        ("\x93wait\x85\x94 \x81he said", "“wait…” he said"),
        ("page\x0cnext\x0bline", "page\nnext\nline"),
        ("file\x1cgroup\x1drecord\x1eunit\x1fend", "file\ngroup\nrecord\nunit end"),
        ("page end\n\x0cpage\x1f", "page end\n\npage"),
        ("x\ud83dy", "x\ufffdy"),
        ("emoji 😀 ok", "emoji 😀 ok"),
        ("in\ufeffside", "in\ufeffside"),
    ],
)
def test_clean_text(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (["One.", "Two."], "One. Two."),
        (["一句。", "二句。", "End.", "三"], "一句。二句。End. 三"),
        (["한국어.", None, "둘."], "한국어. 둘."),
        ([["One.", "Two."], ["Three."]], "One. Two.\n\nThree."),
        ([b"bytes", "and text"], "bytes and text"),
        ([], ""),
        (["One.", 2], None),
        ([{"text": "x"}], None),
    ],
)
def test_join_sentences(parts: list[Any], text: str | None) -> None:
    assert join_sentences(parts) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (float("nan"), None),
        (17, "17"),
        (17.0, "17"),
        (1.5, "1.5"),
        (2**70, str(2**70)),
        (["A", None, "B"], "A, B"),
        ([], None),
        ({"name": "A", "url": "u"}, "A"),
        ({"$oid": "5f"}, '{"$oid":"5f"}'),
        (b"caf\xc3\xa9", "café"),
    ],
)
def test_as_text(value: object, text: str | None) -> None:
    assert as_text(value) == text
