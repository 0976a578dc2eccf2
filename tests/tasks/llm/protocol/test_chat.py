import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.llm.protocol.chat import (
    ChatTemplate,
    Usage,
    output_limit_field,
    well_formed,
)

ANY_TEXT = st.text(st.characters(exclude_categories=[]))


@given(ANY_TEXT, ANY_TEXT)
def test_any_text_can_be_encoded_even_with_lone_surrogates(system: str, user: str) -> None:
    template = ChatTemplate("m", system, 100, temperature=0.5, response_format={"type": "text"})
    sent = orjson.loads(template.encode(user))
    assert sent == {**template.options(), "messages": template.messages(user)}
    assert sent["messages"][0]["role"] == "system"
    assert sent["messages"][1] == {"role": "user", "content": well_formed(user)}


@given(st.text())
def test_text_without_lone_surrogates_is_unchanged(text: str) -> None:
    assert well_formed(text) is text
    assert orjson.loads(ChatTemplate("m", "", 1).encode(text))["messages"][1]["content"] == text


def test_lone_surrogates_are_replaced_and_pairs_are_joined() -> None:
    assert well_formed("a\ud83d b\udc00") == "a� b�"
    assert well_formed("\ud83d\ude00 \ud800") == "😀 �"


def test_options_that_are_not_set_are_not_sent() -> None:
    assert ChatTemplate("m", "s", 7).options() == {"model": "m", "max_tokens": 7}


def test_another_output_limit_is_sent_under_the_endpoints_name_for_it() -> None:
    template = ChatTemplate("m", "s", 100, limit_field="max_completion_tokens")
    assert orjson.loads(template.with_output_limit(200).encode("u"))["max_completion_tokens"] == 200
    assert orjson.loads(template.encode("u"))["max_completion_tokens"] == 100


@pytest.mark.parametrize(
    ("base_url", "field"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://API.OpenAI.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://team.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("http://127.0.0.1:8000/v1", "max_tokens"),
        ("http://localhost:11434/v1", "max_tokens"),
        ("https://proxy.example/api.openai.com/v1", "max_tokens"),
        ("https://api.openai.com.example/v1", "max_tokens"),
    ],
)
def test_the_name_of_the_output_limit_depends_on_the_host(base_url: str, field: str) -> None:
    assert output_limit_field(base_url) == field


def test_usage_adds_up() -> None:
    assert Usage(1, 2, 3) + Usage(10, 20, 30) == Usage(11, 22, 33)
