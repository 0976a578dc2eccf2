import pyarrow as pa
import pytest

from tasks.cleaning.language_codes import usual_code, usual_codes


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("en", "en"),
        ("EN", "en"),
        ("en_GB", "en-GB"),
        ("EN-gb", "en-GB"),
        ("zh_hans_cn", "zh-Hans-CN"),
        ("es-419", "es-419"),
        ("de_AT.UTF-8", "de-AT"),
        ("English", "en"),
        ("DEUTSCH", "de"),
        ("Français", "fr"),
        ("中文", "zh"),
        ("简体中文", "zh-Hans"),
        ("no", "no"),
        ("eng", "eng"),
    ],
)
def test_languages_have_their_usual_codes(said: str, code: str) -> None:
    assert usual_code(said) == code
    assert usual_code(code) == code


@pytest.mark.parametrize("said", ["No", "N/A", "Klingon", "English and French", "nan", "x", ""])
def test_what_is_no_language_that_is_known_stays(said: str) -> None:
    assert usual_code(said) == said


def test_rows_keep_their_places() -> None:
    said = pa.array(["English", None, "en", "Elvish", "English"], pa.string())
    assert usual_codes(said).to_pylist() == ["en", None, "en", "Elvish", "en"]
    assert usual_codes(pa.nulls(2, pa.string())).to_pylist() == [None, None]
    assert usual_codes(said[:0]).to_pylist() == []
