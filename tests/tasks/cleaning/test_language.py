import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from tasks.cleaning.language import detect_languages, sample_of
from tasks.cleaning.language_scripts import UNTOLD, language_of_script, language_of_words
from tasks.cleaning.text_buffers import bytes_of
from tests.support import DEMO, ROOT

DEV = ROOT.parent / "shared" / "data" / "dev"

SENTENCES = {
    "en": "The council met on Monday and voted to build a bridge.",
    "de": "Der Rat traf sich am Montag und beschloss, eine Brücke zu bauen.",
    "fr": "Le conseil s'est réuni lundi et a décidé de construire un pont.",
    "es": "El consejo se reunió el lunes y decidió construir un puente.",
    "pt": "O conselho reuniu-se na segunda-feira e decidiu construir uma ponte.",
    "it": "Il consiglio si è riunito lunedì e ha deciso di costruire un ponte.",
    "nl": "De raad kwam maandag bijeen en besloot een brug te bouwen.",
    "ru": "Совет собрался в понедельник и решил построить мост.",
    "uk": "Рада зібралася в понеділок і вирішила побудувати міст.",
    "pl": "Rada zebrała się w poniedziałek i postanowiła zbudować most.",
    "ja": "市議会は月曜日に開かれ、橋を建設することを決めた。",
    "ko": "시의회는 월요일에 열려 다리를 건설하기로 결정했다.",
    "zh": "市议会星期一开会，决定修建一座桥梁。",
    "el": "Το συμβούλιο συνεδρίασε τη Δευτέρα και αποφάσισε να χτίσει γέφυρα.",
    "he": "המועצה התכנסה ביום שני והחליטה לבנות גשר.",
    "ar": "اجتمع المجلس يوم الاثنين وقرر بناء جسر.",
    "th": "สภาประชุมเมื่อวันจันทร์และตัดสินใจสร้างสะพาน",
    "tr": "Meclis pazartesi günü toplandı ve bir köprü inşa etmeye karar verdi.",
    "vi": "Hội đồng họp vào thứ Hai và quyết định xây một cây cầu.",
    "hi": "परिषद की सोमवार को बैठक हुई और पुल बनाने का निर्णय लिया गया।",
    "ka": "საბჭო ორშაბათს შეიკრიბა და გადაწყვიტა ხიდის აშენება.",
    "hy": "Խորհուրդը հավաքվեց երկուշաբթի և որոշեց կամուրջ կառուցել։",
    "sv": "Rådet träffades i måndags och beslutade att bygga en bro.",
    "fi": "Neuvosto kokoontui maanantaina ja päätti rakentaa sillan.",
    "da": "Rådet mødtes mandag og besluttede at bygge en bro.",
    "ta": "திங்கட்கிழமை கூடிய சபை பாலம் கட்ட முடிவு செய்தது.",
}


def test_one_sentence_is_enough() -> None:
    found = detect_languages(pa.array(list(SENTENCES.values()))).to_pylist()
    assert found == list(SENTENCES)


@pytest.mark.parametrize(
    "text", ["", None, "12345 678", "ok", "https://example.com/a/b", "!!!", "A"]
)
def test_what_cannot_be_told_is_null(text: str | None) -> None:
    assert detect_languages(pa.array([text], pa.string())).to_pylist() == [None]


def test_dates_and_addresses_before_the_text_do_not_matter() -> None:
    before = "2024-05-01 12:00 https://example.com/the/of/and someone@example.com #12345\n"
    bodies = pa.array([before + text for text in SENTENCES.values()])
    assert detect_languages(bodies).to_pylist() == list(SENTENCES)


def test_capitals_are_read() -> None:
    assert detect_languages(pa.array([SENTENCES["de"].upper()])).to_pylist() == ["de"]


def test_slices_and_large_strings() -> None:
    bodies = pa.array([None, SENTENCES["zh"], SENTENCES["fr"], "", SENTENCES["en"] * 50])
    wanted = ["zh", "fr", None, "en"]
    assert detect_languages(bodies[1:]).to_pylist() == wanted
    assert detect_languages(bodies.cast(pa.large_string())[1:]).to_pylist() == wanted
    assert len(detect_languages(pa.array([], pa.string()))) == 0


def test_in_several_threads_at_once() -> None:
    bodies = pa.array(list(SENTENCES.values()) * 20)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: detect_languages(bodies).to_pylist(), range(8)))
    assert answers == [list(SENTENCES) * 20] * 8


def test_a_quotation_does_not_make_it_english() -> None:
    german = "Der Rat traf sich am Montag und beschloss, die Brücke zu bauen, wie es in dem Film "
    quoted = (
        german + "The Lord of the Rings: The Return of the King and the Two Towers to be heißt."
    )
    assert detect_languages(pa.array([quoted + german * 3])).to_pylist() == ["de"]


def test_japanese_with_few_kana_is_not_chinese() -> None:
    text = "東京都知事選挙の投票が行われ、現職が当選した。" * 3
    assert detect_languages(pa.array([text])).to_pylist() == ["ja"]


def test_the_sample_is_words() -> None:
    assert sample_of(
        "On 12/05 see https://x.org a@b.org [the] <b>council voted to build it</b>"
    ) == ("On see the b council voted to build it b")
    assert sample_of("x" * 5_000_000) == "x" * 200


def test_the_demo() -> None:
    rows = [json.loads(line) for line in DEMO.read_text().splitlines()]
    found = detect_languages(pa.array([row["body"] for row in rows])).to_pylist()
    wrong = [row["id"] for row, code in zip(rows, found, strict=True) if code != row["lang"]]
    # One begins with a page of Spanish names and places.
    assert len(wrong) <= 1


def _told_without_model(texts: list[str]) -> list[str]:
    stretch, offsets = bytes_of(pa.array(texts))
    starts, lengths = offsets[:-1], np.diff(offsets)
    words = language_of_words(stretch, starts, lengths)
    return list(np.where(words == UNTOLD, language_of_script(stretch, starts, lengths), words))


@pytest.mark.skipif(not DEV.exists(), reason="the development data is not here")
def test_what_is_told_without_the_model_is_right() -> None:
    german = [file.read_text() for file in sorted((DEV / "klexikon" / "wiki").glob("*.txt"))]
    chinese = [
        line.split("\t")[1] for line in (DEV / "csl" / "ts_dev.tsv").read_text().splitlines()
    ]
    lines = (DEV / "scitldr" / "train.jsonl").read_text().splitlines()
    english = [" ".join(json.loads(line)["source"]) for line in lines]
    for code, texts, share in (("de", german, 0.75), ("zh", chinese, 0.99), ("en", english, 0.85)):
        told = _told_without_model(texts)
        # One of the Chinese abstracts is in English.
        assert len(told) - told.count(code) - told.count(UNTOLD) <= (code == "zh")
        assert told.count(code) > share * len(texts)
        assert detect_languages(pa.array(texts)).to_pylist().count(code) > 0.99 * len(texts)
