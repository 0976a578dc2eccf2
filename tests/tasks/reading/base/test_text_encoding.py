import io
from pathlib import Path

import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import Source
from article_flows.tasks.reading.base.text_encoding import (
    bom_encoding,
    read_all_text,
    source_encoding,
    text_encoding,
    utf8_blocks,
)

TEXTS = {
    "ru": "Правительство объявило о новой программе строительства дорог. По словам министра, "
    "работы начнутся весной и продлятся не менее трёх лет.",
    "uk": "Уряд оголосив про нову програму будівництва доріг. Її підтримали мешканці районів.",
    "pl": "Rząd ogłosił nowy program budowy dróg. Prace rozpoczną się wiosną i potrwają trzy lata.",
    "cs": "Vláda oznámila nový program výstavby silnic. Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "tr": "Hükümet yeni bir yol yapım programı açıkladı. Şimdi ağır işçiler çalışıyor.",
    "el": "Η κυβέρνηση ανακοίνωσε ένα νέο πρόγραμμα κατασκευής δρόμων για τα επόμενα χρόνια.",
    "he": "הממשלה הודיעה על תוכנית חדשה לסלילת כבישים. לדברי השר, העבודות יתחילו באביב.",
    "ar": "أعلنت الحكومة عن برنامج جديد لبناء الطرق. وقال الوزير إن العمل سيبدأ في الربيع.",
    "th": "รัฐบาลประกาศโครงการก่อสร้างถนนใหม่ ประชาชนในพื้นที่เรียกร้องมานานแล้ว",
    "lt": "Vyriausybė paskelbė naują kelių tiesimo programą. Gyventojai to seniai prašė.",
    "fr": "Le gouvernement a annoncé « un nouveau programme ». L’été, les travaux débuteront.",
    "de": "Die Regierung kündigt für das nächste Frühjahr größere Straßenbauten an.",
    "en": "It’s a “new” programme – the minister’s words – that wasn’t expected.",
    "ja": "政府は新しい道路建設計画を発表した。ニュースでは、専門家が「重要だ」と話している。",
    "ko": "정부는 새로운 도로 건설 계획을 발표했다. 주민들은 오래전부터 이를 요구해 왔다.",
    "zh": "疫情期间，以信息技术为支撑的公共卫生信息系统在促进信息传播方面起到了重要作用。",
    "tw": "政府宣布了新的道路建設計畫。專家認為這對地方經濟非常重要，圖書館也將擴建。",
}
LEGACY = [
    ("ru", "cp1251"),
    ("ru", "koi8_r"),
    ("ru", "cp866"),
    ("ru", "iso8859_5"),
    ("uk", "cp1251"),
    ("pl", "cp1250"),
    ("pl", "iso8859_2"),
    ("cs", "cp1250"),
    ("tr", "cp1254"),
    ("el", "cp1253"),
    ("he", "cp1255"),
    ("ar", "cp1256"),
    ("th", "cp874"),
    ("lt", "cp1257"),
    ("fr", "cp1252"),
    ("de", "cp1252"),
    ("de", "mac_roman"),
    ("en", "cp1252"),
    ("ja", "cp932"),
    ("ja", "euc_jp"),
    ("ja", "iso2022_jp"),
    ("ko", "cp949"),
    ("zh", "gb18030"),
    ("tw", "big5"),
]


@pytest.mark.parametrize(("language", "encoding"), LEGACY)
@pytest.mark.parametrize("lead", [0, 600_000])
def test_legacy_encodings_are_guessed_from_letters(language: str, encoding: str, lead: int) -> None:
    text = "plain ascii\n" * (lead // 12) + TEXTS[language] + "\n"
    content = text.encode(encoding)
    file = io.BytesIO(content)
    encoding = text_encoding(file, "a.txt")
    assert content.decode(encoding) == text
    assert file.tell() == 0


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_sample_may_end_within_a_character(cut: int) -> None:
    for language, encoding in (("zh", "gb18030"), ("zh", "utf-8"), ("ja", "cp932")):
        file = io.BytesIO(TEXTS[language].encode(encoding)[:-cut])
        assert text_encoding(file, "a.txt") == encoding


def test_a_few_bad_bytes_do_not_change_the_encoding() -> None:
    content = TEXTS["de"].encode() + b"caf\xe9" + TEXTS["fr"].encode()
    assert text_encoding(io.BytesIO(content), "a.txt") == "utf-8"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_utf_16_and_32_are_detected_with_and_without_a_mark(encoding: str, language: str) -> None:
    text = f"id,body\r\n1,{TEXTS[language]}\r\n"
    assert bom_encoding(text.encode(encoding)) == encoding
    for content in (text.encode(encoding), ("\ufeff" + text).encode(encoding)):
        assert read_all_text(io.BytesIO(content), "a.txt")[0] == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_utf_16_and_32_are_detected_despite_nul_lower_bytes(encoding: str) -> None:
    text = "id,body\n" + "17,一个人。本书，第三天\n18,\u3000中\n" * 20
    assert bom_encoding(text.encode(encoding)) == encoding


@pytest.mark.parametrize(
    "content", [bytes(range(256)) * 9, b"\x7fELF\x02\x01\x01" + bytes(99), b"a\0b\0\0\0c\0", b"a\0"]
)
def test_binary_data_is_not_detected_as_utf_16_or_32(content: bytes) -> None:
    assert bom_encoding(content) in (None, "utf-16-le" if content == b"a\0" else None)


def test_the_requested_encoding_takes_precedence(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(TEXTS["ru"].encode("koi8_r"))
    source = Source(LocalFile(path), "a.txt", "csv", encoding="koi8_r")
    with path.open("rb") as file:
        assert source_encoding(file, source) == "koi8_r"
        assert source.facts == {"encoding": "koi8_r"}
        assert b"".join(utf8_blocks(file, source)).decode() == TEXTS["ru"]
    for unknown in ("no-such", "base64", "rot13", "a\0b"):
        with pytest.raises(UserError, match=r"^a\.txt: --encoding .* is not known; use one"):
            text_encoding(io.BytesIO(b"x"), "a.txt", unknown)


@pytest.mark.parametrize(
    ("given", "text", "used"),
    [
        ("shift_jis", "①髙橋", "cp932"),
        ("SJIS", "①髙橋", "cp932"),
        ("euc-kr", "똠방각하", "cp949"),
        ("gb2312", "朱镕基", "gb18030"),
        ("GBK", "𠮷野家", "gb18030"),
        ("big5", "裏", "big5hkscs"),
    ],
)
def test_a_requested_subset_is_read_as_its_superset(given: str, text: str, used: str) -> None:
    content = text.encode(used)
    assert read_all_text(io.BytesIO(content), "a.txt", given) == (text, used)


def test_facts_mark_a_guessed_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for content, fact in (
        (b"plain", "utf-8"),
        (TEXTS["de"].encode(), "utf-8"),
        (TEXTS["de"].encode("cp1252"), "cp1252 (guessed)"),
        (TEXTS["de"].encode("utf-16"), "utf-16"),
    ):
        path.write_bytes(content)
        source = Source(LocalFile(path), "a.txt", "jsonl")
        with path.open("rb") as file:
            source_encoding(file, source)
            assert source.facts.pop("encoding") == fact
            list(utf8_blocks(file, source))
        assert source.facts == {"encoding": fact}


def test_undecodable_bytes_are_replaced_in_a_whole_text() -> None:
    text, encoding = read_all_text(io.BytesIO(b"\xef\xbb\xbfcaf\xc3\xa9 \xff!"), "a.txt")
    assert (text, encoding) == ("café \ufffd!", "utf-8-sig")
    with pytest.raises(UserError, match=r"^a\.txt is larger than"):
        read_all_text(io.BytesIO(b"x" * 11), "a.txt", limit=10)
