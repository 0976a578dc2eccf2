import json
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from article_flows.tasks.cleaning.language.detect import detect_languages
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
    # Article 1 of the Universal Declaration of Human Rights.
    "sw": "Watu wote wamezaliwa huru, hadhi na haki zao ni sawa. Wote wamejaliwa akili na dhamiri.",
    "ha": "Su dai 'yan-adam, ana haifuwarsu ne duka 'yantattu, kuma kowannensu na da mutunci.",
    "so": "Aadanaha dhammaantiis wuxuu dhashaa isagoo xor ah kana siman xagga sharafta.",
    "am": "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።",
    "ti": "ብመንጽር ክብርን መሰልን ኩሎም ሰባት እንትውለዱ ነፃን ማዕሪን እዮም።",
    "ig": "A mụrụ mmadụ nile n'ohere nakwa nha anya ugwu na ikike.",
    "om": "Namooti hundinuu birmaduu ta'anii mirgaa fi ulfinaanis wal-qixxee ta'anii dhalatan.",
}


def test_one_sentence_is_enough() -> None:
    found = detect_languages(pa.array(list(SENTENCES.values()))).to_pylist()
    assert found == list(SENTENCES)


@pytest.mark.parametrize(
    "text", ["", None, "12345 678", "ok", "https://example.com/a/b", "!!!", "A"]
)
def test_an_uncertain_language_is_null(text: str | None) -> None:
    assert detect_languages(pa.array([text], pa.string())).to_pylist() == [None]


def test_dates_and_urls_before_the_text_are_ignored() -> None:
    before = "2024-05-01 12:00 https://example.com/the/of/and someone@example.com #12345\n"
    bodies = pa.array([before + text for text in SENTENCES.values()])
    assert detect_languages(bodies).to_pylist() == list(SENTENCES)


def test_text_in_capitals_is_detected() -> None:
    assert detect_languages(pa.array([SENTENCES["de"].upper()])).to_pylist() == ["de"]


def test_slices_and_large_strings_are_supported() -> None:
    bodies = pa.array([None, SENTENCES["zh"], SENTENCES["fr"], "", SENTENCES["en"] * 50])
    expected = ["zh", "fr", None, "en"]
    assert detect_languages(bodies[1:]).to_pylist() == expected
    assert detect_languages(bodies.cast(pa.large_string())[1:]).to_pylist() == expected
    assert len(detect_languages(pa.array([], pa.string()))) == 0


def test_detection_is_thread_safe() -> None:
    bodies = pa.array(list(SENTENCES.values()) * 20)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: detect_languages(bodies).to_pylist(), range(8)))
    assert answers == [list(SENTENCES) * 20] * 8


def test_an_english_quotation_does_not_change_the_language() -> None:
    german = "Der Rat traf sich am Montag und beschloss, die Brücke zu bauen, wie es in dem Film "
    quoted = (
        german + "The Lord of the Rings: The Return of the King and the Two Towers to be heißt."
    )
    assert detect_languages(pa.array([quoted + german * 3])).to_pylist() == ["de"]


def test_invalid_characters_are_ignored() -> None:
    strange = "\x00 \x1f \x9f \ufdd0 \uffff \U0010ffff " + SENTENCES["en"]
    assert detect_languages(pa.array([strange])).to_pylist() == ["en"]


def test_hebrew_and_javanese_have_their_current_codes() -> None:
    javanese = "Saben uwong kalairake kanthi mardika lan darbe martabat lan hak-hak kang padha."
    found = detect_languages(pa.array([SENTENCES["he"], javanese])).to_pylist()
    assert found == ["he", "jv"]


@pytest.mark.parametrize(
    "text",
    [
        "wvqx zzkj qqpw xxcv bbnm wwrt ppsd ffgh jjkl zzxc vvbn mmqw eert yyui oopa ssdf",
        "0x1f 0xa4 3.14159 === {} => (); [] ** 77 // 0b1010 && || << >> ~~ 42 ;; :: ->",
    ],
)
def test_text_without_language_is_null(text: str) -> None:
    assert detect_languages(pa.array([text])).to_pylist() == [None]


def test_japanese_with_few_kana_is_not_chinese() -> None:
    text = "東京都知事選挙の投票が行われ、現職が当選した。" * 3
    assert detect_languages(pa.array([text])).to_pylist() == ["ja"]


def test_the_languages_of_the_demo_articles_are_detected() -> None:
    rows = [json.loads(line) for line in DEMO.read_text().splitlines()]
    found = detect_languages(pa.array([row["body"] for row in rows])).to_pylist()
    wrong = [row["id"] for row, code in zip(rows, found, strict=True) if code != row["lang"]]
    assert wrong == []


@pytest.mark.skipif(not DEV.exists(), reason="needs the development data")
def test_the_languages_of_the_development_data_are_detected() -> None:
    german = [file.read_text() for file in sorted((DEV / "klexikon" / "wiki").glob("*.txt"))]
    chinese = [
        line.split("\t")[1] for line in (DEV / "csl" / "ts_dev.tsv").read_text().splitlines()
    ]
    lines = (DEV / "scitldr" / "train.jsonl").read_text().splitlines()
    english = [" ".join(json.loads(line)["source"]) for line in lines]
    assert detect_languages(pa.array(german)).to_pylist() == ["de"] * len(german)
    assert detect_languages(pa.array(english)).to_pylist() == ["en"] * len(english)
    # One of the Chinese abstracts is in English; three consist of formulas or plant names.
    assert detect_languages(pa.array(chinese)).to_pylist().count("zh") >= len(chinese) - 4
