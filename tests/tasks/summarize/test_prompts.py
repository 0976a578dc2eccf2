"""Prompts contain the whole article, fenced; answers match the recipe's fields."""

import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.enriched.recipes import Recipe, load_recipe
from article_flows.tasks.llm.protocol.chat import Completion, Usage
from article_flows.tasks.llm.protocol.errors import InvalidResponse
from article_flows.tasks.summarize.prompts import answer_parser, article_prompt, chat_template

EVERY_TYPE = {
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "share": {"type": "number"},
    "true": {"type": "boolean"},
    "shelf": {"type": "enum", "values": ["science", "体育"]},
    "words": {"type": "list"},
}
VALID = {
    "text": "Ein Text",
    "count": 3,
    "share": 0.5,
    "true": False,
    "shelf": "体育",
    "words": ["a", "b"],
}


def recipe(fields: dict[str, Any] | None = None, **keys: Any) -> Recipe:
    values = {"name": "card", "instructions": "Do.", "fields": fields or EVERY_TYPE, **keys}
    return Recipe.model_validate(values)


def completion(text: str | None, finish_reason: str = "stop") -> Completion:
    return Completion(text, finish_reason, Usage(), "m")


def parsed(fields: dict[str, Any], **answer: Any) -> dict[str, Any]:
    return answer_parser(recipe(fields))(completion(orjson.dumps(answer).decode()))


def rejection(
    text: str | None, finish_reason: str = "stop", plain: bool = False
) -> InvalidResponse:
    parse = answer_parser(load_recipe("summary") if plain else recipe())
    with pytest.raises(InvalidResponse) as caught:
        parse(completion(text, finish_reason))
    assert "\n" not in caught.value.message
    return caught.value


@given(title=st.none() | st.text(), body=st.text(min_size=1))
def test_the_prompt_contains_the_whole_article_between_the_tags(
    title: str | None, body: str
) -> None:
    prompt = article_prompt(recipe())(title, body)
    assert prompt.startswith("<article>\n")
    assert prompt.endswith("\n</article>")
    shown = f"Title: {title}\n\n{body}" if title else body
    inner = prompt.removeprefix("<article>\n").removesuffix("\n</article>")
    assert inner == re.sub(r"<(?=\s*/?\s*article\b)", "‹", shown, flags=re.IGNORECASE)


@given(
    st.lists(
        st.sampled_from(["<", "/", " ", "\n", "article", "ARTICLE", ">", "x", "{body}", "{title}"])
    ).map("".join)
)
def test_an_article_cannot_close_its_fence_or_open_another(text: str) -> None:
    prompt = article_prompt(recipe(article="{title}: {body}"))(text, text)
    tags = re.findall(r"<\s*/?\s*article\b", prompt, re.IGNORECASE)
    assert tags == ["<article", "</article"]


def test_placeholders_in_an_article_are_not_expanded() -> None:
    prompt = article_prompt(recipe())("{body} {0}", "{title} {{x}} %s {")
    assert prompt == "<article>\nTitle: {body} {0}\n\n{title} {{x}} %s {\n</article>"


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("Title: {title}\n\n{body}", "BODY"),
        ("{body}\n\n-- {title}", "BODY"),
        ("Look:\n{title}\n{body}", "Look:\nBODY"),
        ("{title}: {body}", ": BODY"),
    ],
)
def test_without_a_title_its_line_is_omitted(template: str, shown: str) -> None:
    prompt = article_prompt(recipe(article=template))
    assert prompt(None, "BODY") == prompt("", "BODY") == f"<article>\n{shown}\n</article>"


def test_the_template_has_the_instructions_then_the_fence_then_the_fields() -> None:
    template = chat_template(recipe(), "m", "http://localhost/v1")
    assert template.system.startswith("Do.\n\nThe user message holds one article")
    assert "- shelf (one of science, 体育)" in template.system
    assert template.response_format is not None
    schema = template.response_format["json_schema"]["schema"]
    assert schema["required"] == list(EVERY_TYPE)
    assert schema["properties"]["words"] == {"type": "array", "items": {"type": "string"}}
    assert schema["additionalProperties"] is False
    plain = chat_template(load_recipe("summary"), "m", "https://api.openai.com/v1")
    assert plain.response_format is None
    assert plain.limit_field == "max_completion_tokens"


def test_answers_of_every_type_are_parsed() -> None:
    assert parsed(EVERY_TYPE, **VALID) == VALID
    assert parsed({"share": {"type": "number"}}, share=2) == {"share": 2.0}
    assert parsed({"words": {"type": "list"}}, words=[]) == {"words": []}
    assert parsed({"count": {"type": "integer"}}, count=-(2**63)) == {"count": -(2**63)}


@pytest.mark.parametrize(
    "wrapped",
    [
        "{}",
        "```json\n{}\n```",
        "```\n{}\n```\n",
        "<think>\nShelf? {{}}\n```json```</think>\n\n{}",
        "  \n<think></think>```json\n{}```",
    ],
)
def test_code_fences_and_thinking_around_an_answer_are_ignored(wrapped: str) -> None:
    text = wrapped.replace("{{}}", "{ }")
    head, tail = text.rsplit("{}", 1)
    answer = head + orjson.dumps({**VALID, "text": " padded ", "more": 1}).decode() + tail
    assert answer_parser(recipe())(completion(answer)) == {**VALID, "text": "padded"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("text", value) for value in (None, 3, "", "  ", ["a"])],
        *[("count", value) for value in (None, "3", 1.5, True, 2**63, -(2**63) - 1, 10**30)],
        *[("share", value) for value in (None, "0.5", True)],
        *[("true", value) for value in (None, "yes", 1)],
        *[("shelf", value) for value in (None, "Science", "", ["science"])],
        *[("words", value) for value in (None, "a, b", [""], [None], [1], {"a": 1})],
    ],
)
def test_a_value_of_the_wrong_type_is_rejected_by_field_name(field: str, value: Any) -> None:
    text = json.dumps({**VALID, field: value})
    error = rejection(text)
    assert error.error_class == "schema_mismatch"
    assert error.message.startswith(field)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_rejected(number: str) -> None:
    text = orjson.dumps(VALID).decode().replace("0.5", number)
    assert rejection(text).error_class in {"schema_mismatch", "invalid_json"}


@pytest.mark.parametrize(
    ("text", "error_class"),
    [
        ("Here is the card: {}", "invalid_json"),
        ('{"text": "cut', "invalid_json"),
        ("[" * 10_000, "invalid_json"),
        ("[]", "schema_mismatch"),
        ("null", "schema_mismatch"),
        ("{}", "schema_mismatch"),
        ("", "empty"),
        ("<think>all thought</think>", "empty"),
        (None, "empty"),
    ],
)
def test_an_answer_that_is_not_an_object_with_the_fields_is_rejected(
    text: str | None, error_class: str
) -> None:
    assert rejection(text).error_class == error_class


def test_a_plain_answer_is_the_text_unless_empty_or_cut_off() -> None:
    parse = answer_parser(load_recipe("summary"))
    assert parse(completion("<think>hm</think>\n A summary. ")) == {"summary": "A summary."}
    assert rejection(" \n", plain=True).error_class == "empty"
    assert rejection("Half a", "length", plain=True).error_class == "cut_off"
    assert rejection(orjson.dumps(VALID).decode(), "length").error_class == "cut_off"


@given(st.text())
def test_any_completion_is_parsed_or_rejected(text: str) -> None:
    try:
        fields = answer_parser(recipe())(completion(text))
    except InvalidResponse:
        return
    assert set(fields) == set(EVERY_TYPE)
