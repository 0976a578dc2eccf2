import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.cleaning.language.codes import usual_code, usual_codes


@pytest.mark.parametrize(
    ("value", "code"),
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
        ("no_NO", "no"),
        ("Norsk", "no"),
        ("eng", "en"),
        ("cmn", "zh"),
        ("iw", "he"),
        ("Kiswahili", "sw"),
        ("Portuguese (Brazil)", "pt"),
    ],
)
def test_languages_are_normalized_to_their_usual_codes(value: str, code: str) -> None:
    assert usual_code(value) == code
    assert usual_code(code) == code


@pytest.mark.parametrize(
    "value",
    [
        *("No", "yes", "N/A", "nan", "x", "", "Elvish", "English and French", "en,fr"),
        *("euc-KR", "UTF-8", "latin1", "gbk", "und", "mul", "jp", "NA_AA", "long " * 1_000),
    ],
)
def test_values_that_are_not_languages_are_none(value: str) -> None:
    assert usual_code(value) is None


@given(st.one_of(st.text(), st.from_regex(r"[a-zA-Z]{1,4}([-_][a-zA-Z0-9]{1,4}){0,3}")))
def test_normalization_is_idempotent(value: str) -> None:
    code = usual_code(value)
    assert code is None or (usual_code(code) == code and code.isalpha())


@pytest.mark.parametrize("value", ["\ud800 language", "Engl\0ish", "\0", "English\x85text"])
def test_an_unprintable_value_is_none(value: str) -> None:
    assert usual_code(value) is None


def test_codes_keep_the_order_of_rows() -> None:
    value = pa.array(["English", None, "en-US", "euc-KR", "English"], pa.string())
    assert usual_codes(value).to_pylist() == ["en", None, "en", None, "en"]
    assert usual_codes(pa.nulls(2, pa.string())).to_pylist() == [None, None]
    assert usual_codes(value[:0]).to_pylist() == []
