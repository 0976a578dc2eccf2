import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens
from article_flows.tasks.mock_endpoint.extractive import Document, clip, detect_language

BRIDGE = """Town council approves new bridge

Jane Roe, jane.roe@example.org

Monday, March 3, 2014

The town council approved a new bridge over the River Aire on Monday. The bridge will replace \
a crossing that the flood of 2012 destroyed. What will it cost? "I am happy," said the mayor.

Q: Why now?

Engineers expect the new bridge to carry nine thousand cars a day across the river. Dr. Smith of \
the council said the bridge would cost $3.5 million. Engineers expect the new bridge to carry \
nine thousand cars a day across the river. Lunch was served.

Image: a view of the old bridge
"""
GLACIER = (
    "研究人员发现冰川正在加速融化。冰川融化使海平面上升，沿海城市面临威胁。天气很好！"
    "卫星数据显示，冰川融化的速度是三十年前的两倍。研究人员呼吁各国减少排放。你觉得呢？"
)


def summarize(text: str, max_sentences: int = 3) -> str:
    return Document(text).summary(max_sentences)


def split_sentences(text: str) -> list[str]:
    return Document(text).sentences


def test_a_summary_has_sentences_of_the_text_in_their_order() -> None:
    summary = summarize(BRIDGE)
    sentences = split_sentences(summary)
    places = [BRIDGE.index(sentence) for sentence in sentences]
    assert len(sentences) == 3
    assert places == sorted(places)
    assert "approved a new bridge" in sentences[0]


def test_a_summary_omits_headings_bylines_datelines_questions_and_repetitions() -> None:
    summary = summarize(BRIDGE, max_sentences=4)
    for unfit in ("@", "Monday, March", "What will", "Why now", "Image:", "Lunch"):
        assert unfit not in summary
    assert summary.count("nine thousand cars") == 1


def test_chinese_sentences_are_joined_without_spaces() -> None:
    summary = summarize(GLACIER, max_sentences=2)
    assert " " not in summary
    assert summary.count("。") == 2
    assert "冰川融化" in summary


def test_abbreviations_and_decimals_do_not_end_a_sentence() -> None:
    assert "Dr. Smith of the council said the bridge would cost $3.5 million." in split_sentences(
        BRIDGE
    )


def test_hard_wrapped_lines_are_one_sentence() -> None:
    wrapped = (
        "The committee of the whole house met on the first of June to hear what the\n"
        "minister had to say about the harvest in the north, which had failed. It was\n"
        "Lord Grey who answered."
    )
    assert len(split_sentences(wrapped)) == 2


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (BRIDGE, "en"),
        (GLACIER, "zh"),
        ("Der Rat der Stadt hat am Montag eine neue Brücke über den Fluss beschlossen.", "de"),
        ("Le conseil de la ville a approuvé la construction d'un pont sur le fleuve.", "fr"),
        ("El consejo de la ciudad aprobó la construcción de un puente sobre el río.", "es"),
        ("町議会は月曜日に新しい橋の建設を承認した。", "ja"),
        ("시의회는 월요일에 새 다리를 승인했다.", "ko"),
        ("Городской совет одобрил строительство моста.", "ru"),
        ("12345 67890", "und"),
        ("", "und"),
    ],
)
def test_the_language_is_detected_by_script_and_stop_words(text: str, language: str) -> None:
    assert detect_language(text) == language


def test_keywords_have_no_stop_words_and_do_not_overlap() -> None:
    found = Document(BRIDGE).keywords(n=5)
    assert any("bridge" in term for term in found)
    assert len(found) == 5
    assert not {"the", "will", "over"} & set(found)
    assert all(one == two or one not in two for one in found for two in found)


def test_chinese_keywords_are_whole_terms() -> None:
    found = Document(GLACIER).keywords()
    assert "冰川融化" in found
    assert "研究人员" in found
    assert all(2 <= len(term) <= 4 for term in found)


def test_the_headline_is_the_heading_or_a_shortened_sentence() -> None:
    assert Document(BRIDGE).headline() == "Town council approves new bridge"
    prose = (
        "The council met, and after a long debate in which nobody agreed it approved the bridge."
    )
    assert (
        Document(f"{prose} {prose}").headline()
        == "The council met, and after a long debate in which nobody agreed it approved the bridge"
    )
    assert estimate_tokens(Document(prose.replace(",", " and then again,") * 3).headline()) <= 24
    assert Document(BRIDGE, title="As given").headline() == "As given"


def test_a_summary_is_cut_at_its_token_limit() -> None:
    for limit in (1, 5, 20, 60):
        assert 0 < estimate_tokens(clip(summarize(BRIDGE), limit)) <= limit
        assert estimate_tokens(clip(summarize(GLACIER), limit)) <= limit


def test_very_long_texts_and_endless_sentences_are_summarized() -> None:
    subjects = ("The nation built roads", "Our farmers sold wheat", "Congress passed laws on trade")
    speech = " ".join(f"{subjects[n % 3]} in the year {n} of the republic." for n in range(4500))
    assert len(split_sentences(summarize(speech))) == 3
    endless = "word and other word, " * 10_000
    assert 0 < len(summarize(endless)) < 2000
    assert 0 < len(summarize("冰川融化" * 50_000)) < 2000
    # A rule with quadratic time would not return from these.
    assert summarize(f"Short{' ' * 200_000}text.")
    assert summarize("“冰川融化使海平面上升。" * 20_000)
    assert summarize("A" * 200_000)


@given(st.text())
def test_any_text_has_a_deterministic_answer(text: str) -> None:
    first, second = Document(text), Document(text)
    assert first.summary() == second.summary()
    assert first.keywords() == second.keywords()
    assert first.headline() == second.headline()


@given(st.text(), st.integers(0, 30))
def test_clipping_keeps_the_beginning_within_the_limit(text: str, limit: int) -> None:
    clipped = clip(text, limit)
    assert text.startswith(clipped)
    assert estimate_tokens(clipped) <= limit
