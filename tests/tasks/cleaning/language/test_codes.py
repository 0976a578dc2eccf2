import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.cleaning.language.codes import usual_code, usual_codes


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("en", "en"),
        ("EN", "en"),
        ("en_GB", "en"),
        ("EN-gb", "en"),
        ("en-US", "en"),
        ("zh_hans_cn", "zh"),
        ("es-419", "es"),
        ("de_AT.UTF-8", "de"),
        ("English", "en"),
        ("DEUTSCH", "de"),
        ("Français", "fr"),
        ("中文", "zh"),
        ("简体中文", "zh"),
        ("汉语", "zh"),
        ("no", "no"),
        ("Norsk", "no"),
        ("eng", "en"),
        ("cmn", "zh"),
        ("iw", "he"),
        ("Kiswahili", "sw"),
        ("Portuguese (Brazil)", "pt"),
    ],
)
def test_languages_have_their_usual_codes(said: str, code: str) -> None:
    assert usual_code(said) == code
    assert usual_code(code) == code


@pytest.mark.parametrize(
    "said",
    [
        *("No", "yes", "N/A", "nan", "x", "", "Elvish", "English and French", "en,fr"),
        *("euc-KR", "UTF-8", "latin1", "gbk", "und", "mul", "jp", "long " * 1_000),
    ],
)
def test_what_is_no_language_is_none(said: str) -> None:
    assert usual_code(said) is None


@given(st.one_of(st.text(), st.from_regex(r"[a-zA-Z]{1,4}([-_][a-zA-Z0-9]{1,4}){0,3}")))
def test_any_value_has_one_form_or_none(said: str) -> None:
    code = usual_code(said)
    assert code is None or (usual_code(code) == code and code.isalpha())


@pytest.mark.parametrize("said", ["\ud800 language", "Engl\0ish", "\0", "English\x85text"])
def test_a_value_that_cannot_be_printed_is_none(said: str) -> None:
    assert usual_code(said) is None


def test_rows_keep_their_places() -> None:
    said = pa.array(["English", None, "en-US", "euc-KR", "English"], pa.string())
    assert usual_codes(said).to_pylist() == ["en", None, "en", None, "en"]
    assert usual_codes(pa.nulls(2, pa.string())).to_pylist() == [None, None]
    assert usual_codes(said[:0]).to_pylist() == []
