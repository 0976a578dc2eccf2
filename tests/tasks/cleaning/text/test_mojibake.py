import csv
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.cleaning.text.mojibake import has_mojibake, mojibake_suspects
from tests.support import DEMO, ROOT

DEV = ROOT.parent / "shared" / "data" / "dev"

MOJIBAKE = [
    "FranÃ§ois",
    "itâ€™s",
    "Â£5",
    "a price ofÂ 5",
    "ä¸­æ–‡",
    "ðŸ˜€",
    "Ð¿Ñ€Ð¸Ð²ÐµÑ‚",
    "piÃ¹",
    "FranÃƒÂ§ois",
    "ï¿½",
    "ÖÐÎÄÎÄÕÂ",
    "锟斤拷锟斤拷",
    "手持两把锟斤拷，口中疾呼烫烫烫",
    "鎴戜滑锛岀殑銆",
]


@pytest.mark.parametrize("text", MOJIBAKE)
def test_mojibake_is_detected(text: str) -> None:
    assert has_mojibake(text)
    assert has_mojibake(f"Before it, and {text} after it.")
    assert mojibake_suspects(pa.array(["fine", text, None])).tolist() == [False, True, False]


GOOD = [
    "",
    "plain",
    "NÃO, São Paulo; “IRMÔ, «MANHû, “MAÇÃ…”",
    "« voilà », le café…» dit-elle, Noël, où, L’ÉTÉ",
    "5 Å² and 3 Å³, 20 °C, Å·mol, Öl",
    "Er geht zu Fuß“, so der Spaß…, größer",
    "Tôi là người Việt Nam, CHÂU Á, “đã” được",
    "Þetta er íslenska; það er gott, AÐ",
    "ÄÄÄÄÄÄÄÄ ÀÉÈÙ ÊÎÔÛ äöüÄÖÜß",
    "El niño “José” dijo: «¡Olé!»",
    "中文文章，很好。「引用」",
    "日本語の文章です。",
    "Български език е славянски.",
    "naïve façade — “don’t”…",
]


@pytest.mark.parametrize("text", GOOD)
def test_correct_text_is_not_mojibake(text: str) -> None:
    assert not has_mojibake(text)


@given(st.text(st.characters(min_codepoint=0xA1, max_codepoint=0x24F), min_size=1, max_size=8))
def test_all_mojibake_is_among_the_suspects(text: str) -> None:
    for mixed in (text, text.encode().decode("latin-1"), f"{text}锟斤拷"):
        if has_mojibake(mixed):
            assert mojibake_suspects(pa.array(["a", mixed]))[1]


WORDS = st.sampled_from(
    "élève größer niño ação København žlutý Ελλάδα привет 中文 日本語 ไทย".split()
)


@given(WORDS)
def test_words_decoded_as_latin_1_are_detected(word: str) -> None:
    assert has_mojibake(word.encode().decode("cp1252", "ignore")) or word == "ไทย"


def test_the_demo_articles_have_no_mojibake() -> None:
    for line in DEMO.read_text().splitlines():
        assert not has_mojibake(json.loads(line)["body"])


@pytest.mark.skipif(not DEV.exists(), reason="needs the development data")
def test_german_and_english_articles_have_no_mojibake() -> None:
    for file in sorted((DEV / "klexikon" / "wiki").glob("*.txt")):
        assert not has_mojibake(file.read_text())
    with (DEV / "wikinews" / "wikinews_2020.csv").open(newline="") as table:
        assert not any(has_mojibake(row["text"]) for row in csv.DictReader(table))
