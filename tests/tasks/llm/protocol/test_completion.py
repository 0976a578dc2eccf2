import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from article_flows.tasks.llm.protocol.chat import NO_USAGE, Completion, Usage
from article_flows.tasks.llm.protocol.completion import parse_completion, parse_usage
from article_flows.tasks.llm.protocol.errors import LLMError
from tests.tasks.llm.gateway.gateway_support import completion_body


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Fine.", "Fine."),
        (None, None),
        ("", ""),
        ([{"type": "text", "text": "Fi"}, {"type": "text", "text": "ne."}], "Fine."),
        (["Fi", "ne."], "Fine."),
        ([{"type": "thinking", "thinking": [{"text": "hm"}]}, {"text": "Fine."}], "Fine."),
        ([], ""),
        ("日本語 😀", "日本語 😀"),
    ],
)
def test_content_is_read_in_all_its_forms(content: Any, text: str | None) -> None:
    body = completion_body()
    body["choices"][0]["message"]["content"] = content
    assert parse_completion(orjson.dumps(body)).text == text


def test_a_lone_surrogate_in_an_answer_is_replaced() -> None:
    """orjson rejects the whole answer, which is billed."""
    body = orjson.dumps(completion_body("smile X")).replace(b"X", rb"\ud83d")
    completion = parse_completion(body)
    assert completion.text == "smile �"
    assert completion.usage == Usage(100, 0, 10)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (None, NO_USAGE),
        ({}, NO_USAGE),
        ([], NO_USAGE),
        ("many", NO_USAGE),
        ({"prompt_tokens": None, "completion_tokens": None}, NO_USAGE),
        ({"prompt_tokens": "12", "completion_tokens": "3.0"}, Usage(12, 0, 3)),
        ({"prompt_tokens": 12.0, "completion_tokens": -4}, Usage(12, 0, 0)),
        ({"prompt_tokens": [1], "completion_tokens": {"a": 1}}, NO_USAGE),
        ({"prompt_tokens": 12, "prompt_tokens_details": None}, Usage(12, 0, 0)),
        ({"prompt_tokens": 12, "prompt_tokens_details": [1]}, Usage(12, 0, 0)),
        ({"prompt_tokens": 12, "prompt_tokens_details": {"cached_tokens": "5"}}, Usage(12, 5, 0)),
        ({"prompt_tokens": 12, "prompt_tokens_details": {"cached_tokens": 99}}, Usage(12, 12, 0)),
    ],
)
def test_an_invalid_usage_does_not_lose_the_answer(usage: Any, counted: Usage) -> None:
    body = orjson.dumps({**completion_body(), "usage": usage})
    assert parse_completion(body) == Completion("Fine.", "stop", counted, "m-1")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**63), 2**63) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "choices message content text finish_reason refusal usage model error code "
                "prompt_tokens completion_tokens prompt_tokens_details cached_tokens".split()
            ),
            inner,
        )
    ),
)


@given(ANYTHING)
@example(float("nan"))
@example({"cached_tokens": float("inf"), "prompt_tokens": float("-inf")})
def test_usage_is_an_integer_and_never_negative(usage: Any) -> None:
    for counted in (parse_usage(usage), parse_usage({"prompt_tokens_details": usage})):
        assert all(type(n) is int and n >= 0 for n in (counted.prompt, counted.completion))
        assert 0 <= counted.cached <= counted.prompt


@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING)
def test_any_response_gives_a_completion_or_an_error(
    message: Any, content: Any, finish: Any, rest: Any
) -> None:
    for choice in (message, {"message": message, "finish_reason": finish}, {"message": content}):
        document = {"choices": [choice], "usage": rest, "model": rest}
        _parse_or_fail(orjson.dumps(document, default=str))
    _parse_or_fail(orjson.dumps(rest))


@given(st.binary())
@example(b"[" * 100_000)
@example(b"\xff\xfe{}")
def test_any_bytes_give_a_completion_or_an_error(body: bytes) -> None:
    _parse_or_fail(body)


def _parse_or_fail(body: bytes) -> None:
    with contextlib.suppress(LLMError):
        completion = parse_completion(body)
        assert completion.text is None or isinstance(completion.text, str)
        assert isinstance(completion.model, str)
        assert isinstance(completion.finish_reason, str)


@pytest.mark.parametrize("count", [1e19, 1e300, 2**63, "9" * 30])
def test_absurd_counts_are_ignored(count: object) -> None:
    assert parse_usage({"prompt_tokens": count, "completion_tokens": 3}) == Usage(0, 0, 3)


def test_keys_and_control_characters_are_removed_from_echoed_text() -> None:
    body = orjson.dumps(
        {
            "model": "Bearer sk-secret" + "m" * 5_000,
            "choices": [
                {
                    "message": {"content": "a\x00\x1b]0;pwn\x07 Bearer sk-secret\nb"},
                    "finish_reason": "sk-secret",
                }
            ],
        }
    )
    completion = parse_completion(body, "sk-secret")
    assert completion.text == "a]0;pwn Bearer ***\nb"
    assert completion.finish_reason == "***"
    assert completion.model.startswith("Bearer ***m")
    assert len(completion.model) == 200


def test_lone_surrogates_in_names_are_replaced() -> None:
    body = (
        b'{"model":"m\\ud800","choices":[{"message":{"content":"x"},"finish_reason":"st\\ud800"}]}'
    )
    completion = parse_completion(body)
    assert (completion.model + completion.finish_reason).isprintable()
    (completion.model + completion.finish_reason).encode()
