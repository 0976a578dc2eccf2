import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.llm.protocol.token_estimate import (
    estimate_tokens,
    estimate_tokens_from_lengths,
)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("four", 1), ("fiver", 2), ("word " * 80, 100), ("你好世界", 4)],
)
def test_four_latin_characters_or_one_chinese_character_are_a_token(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@given(st.text(st.characters(codec="utf-8")))
def test_the_estimate_from_lengths_is_the_same(text: str) -> None:
    from_lengths = estimate_tokens_from_lengths(len(text), len(text.encode()))
    assert estimate_tokens(text) == from_lengths
    assert (from_lengths == 0) == (text == "")


@given(st.text(), st.text())
def test_a_longer_text_never_has_fewer_tokens(head: str, tail: str) -> None:
    assert estimate_tokens(head) <= estimate_tokens(head + tail)


def test_a_text_with_lone_surrogates_has_tokens() -> None:
    assert estimate_tokens("\ud800") == 1
