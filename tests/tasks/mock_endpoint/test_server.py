from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import jsonschema  # type: ignore[import-untyped]  # It has no stubs in this environment.
import openai
import orjson
import pytest

from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens
from article_flows.tasks.mock_endpoint.extractive import Document
from tests.tasks.mock_endpoint.mock_support import (
    ARTICLE,
    SCHEMA,
    STRUCTURED,
    Caller,
    chat,
    running_endpoint,
)


@asynccontextmanager
async def calling(**options: Any) -> AsyncIterator[Caller]:
    async with running_endpoint(**options) as base_url, aiohttp.ClientSession() as session:
        yield Caller(session, base_url)


async def test_the_openai_client_gets_a_summary() -> None:
    async with (
        running_endpoint() as base_url,
        openai.AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0) as client,
    ):
        completion = await client.chat.completions.create(**chat())
        models = [model async for model in client.models.list()]
        model = await client.models.retrieve("extractive-v1")
    title, _, body = ARTICLE.partition("\n\n")
    expected = Document(body, title.removeprefix("Title: ")).summary()
    choice = completion.choices[0]
    assert choice.message.content == expected
    assert (choice.message.role, choice.message.refusal) == ("assistant", None)
    assert (choice.finish_reason, completion.model) == ("stop", "extractive-v1")
    assert completion.object == "chat.completion"
    assert completion.id.startswith("chatcmpl-")
    assert completion.usage is not None
    assert completion.usage.completion_tokens == estimate_tokens(expected)
    assert completion.usage.prompt_tokens > estimate_tokens(ARTICLE)
    assert models == [model]
    assert "not a language model" in model.owned_by


async def test_the_openai_client_gets_a_structured_answer() -> None:
    async with (
        running_endpoint() as base_url,
        openai.AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0) as client,
    ):
        completion = await client.chat.completions.create(**chat(response_format=STRUCTURED))
    answer = orjson.loads(completion.choices[0].message.content or "")
    jsonschema.validate(answer, SCHEMA)
    assert answer["headline"] == "Council approves bridge"
    assert answer["language"] == "en"
    assert any("bridge" in term for term in answer["keywords"])


async def test_a_completion_has_openais_shape() -> None:
    async with calling() as caller:
        reply = await caller.post(chat(model="gpt-x"))
        again = await caller.post(chat(model="gpt-x"))
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert "not a language model" in reply.headers["x-mock-endpoint"]
    assert reply.headers["x-request-id"] != again.headers["x-request-id"]
    assert reply.json["id"] != again.json["id"]
    assert reply.json["model"] == "gpt-x"
    assert set(reply.json) == {
        *("id", "object", "created", "model", "choices", "usage", "system_fingerprint"),
    }
    usage = reply.json["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert reply.choice == again.choice


async def test_without_article_tags_the_whole_message_is_the_text() -> None:
    body = chat()
    body["messages"] = [
        {"role": "user", "content": "Something earlier."},
        {"role": "user", "content": [{"type": "text", "text": ARTICLE.partition("\n\n")[2]}]},
    ]
    async with calling() as caller:
        plain = await caller.post(body)
    assert plain.choice["message"]["content"] == Document(ARTICLE.partition("\n\n")[2]).summary()


async def test_an_instruction_may_mention_the_article_tags() -> None:
    text = ARTICLE.partition("\n\n")[2]
    body = chat()
    body["messages"][1]["content"] = (
        f"The article is between <article> and </article>.\n<article>\n{text}\n</article>"
    )
    async with calling() as caller:
        reply = await caller.post(body)
    assert reply.choice["message"]["content"] == Document(text).summary()


async def test_json_object_mode_requires_the_word_json() -> None:
    wanted = {"type": "json_object"}
    async with calling() as caller:
        reply = await caller.post(chat(system="Answer in JSON.", response_format=wanted))
        rejected = await caller.post(chat(system="Answer.", response_format=wanted))
    assert "summary" in orjson.loads(reply.choice["message"]["content"])
    assert (rejected.status, rejected.error["param"]) == (400, "messages")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_an_answer_is_cut_at_its_token_limit(name: str) -> None:
    def limited(tokens: int) -> Any:
        return {**chat(), name: tokens}

    async with calling() as caller:
        whole = await caller.post(chat())
        cut = await caller.post(limited(9))
        enough = await caller.post(limited(whole.json["usage"]["completion_tokens"]))
    assert cut.choice["finish_reason"] == "length"
    assert 0 < cut.json["usage"]["completion_tokens"] <= 9
    assert whole.choice["message"]["content"].startswith(cut.choice["message"]["content"])
    assert enough.choice == whole.choice


async def test_a_long_fixed_prompt_is_cached_from_the_second_call_on() -> None:
    long = "Summarise well. " * 300
    async with calling() as caller:
        cached = [
            (await caller.post(chat(f"{n} {ARTICLE}", system=system))).json["usage"][
                "prompt_tokens_details"
            ]["cached_tokens"]
            for system in (long, "Short.")
            for n in range(3)
        ]
    # 1,200 tokens, in steps of 128.
    assert cached == [0, 1152, 1152, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"stream": True}, "stream"),
        ({"n": 2}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": "9"}, "max_completion_tokens"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            "response_format.json_schema.name",
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "array"}},
                }
            },
            "response_format",
        ),
    ],
)
async def test_the_error_names_the_invalid_parameter(change: dict[str, Any], param: str) -> None:
    async with calling() as caller:
        reply = await caller.post(chat(**change))
        stats = await caller.stats()
    assert reply.status == 400
    assert set(reply.error) == {"message", "type", "param", "code"}
    assert (reply.error["type"], reply.error["param"]) == ("invalid_request_error", param)
    assert stats["answered"] == 0
    assert stats["calls_per_status"] == {"400": 1}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": "\xff"}'])
async def test_a_body_that_is_not_a_json_object_is_rejected(body: bytes) -> None:
    async with calling() as caller:
        reply = await caller.post(body)
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")


async def test_unknown_paths_and_models_are_not_found() -> None:
    async with calling(strict_model=True) as caller:
        path = await caller.get("/v1/embeddings")
        model = await caller.get("/v1/models/gpt-x")
        rejected = await caller.post(chat(model="gpt-x"))
        own = await caller.post(chat())
    assert [reply.status for reply in (path, model, rejected, own)] == [404, 404, 404, 200]
    assert model.error["code"] == rejected.error["code"] == "model_not_found"


async def test_a_configured_key_is_required() -> None:
    async with calling(api_key="sk-secret") as caller:
        none = await caller.post(chat())
        wrong = await caller.post(chat(), headers={"Authorization": "Bearer sk-other"})
        right = await caller.post(chat(), headers={"Authorization": "Bearer sk-secret"})
        models = await caller.get("/v1/models")
        health = await caller.get("/health")
    assert [reply.status for reply in (none, wrong, right, models, health)] == [
        *(401, 401, 200, 401, 200)
    ]
    assert wrong.error["code"] == "invalid_api_key"
    assert b"sk-" not in wrong.body


async def test_answers_are_counted() -> None:
    async with calling() as caller:
        replies = [await caller.post(chat(f"{n % 2} {ARTICLE}")) for n in range(5)]
        await caller.post(chat(max_tokens=5))
        await caller.post(b"{")
        stats = await caller.stats()
        prompts = (await caller.get("/stats/prompts")).json
        async with caller.session.post(f"{caller.root}/stats/reset") as response:
            reset = orjson.loads(await response.read())
    assert (stats["calls"], stats["answered"]) == (7, 5)
    assert (stats["distinct"], stats["answered_twice"]) == (2, 3)
    assert sorted(prompts.values()) == [2, 3]
    assert stats["calls_per_status"] == {"200": 6, "400": 1}
    billed = sum(reply.json["usage"]["prompt_tokens"] for reply in replies)
    assert stats["billed_prompt_tokens"] > billed
    assert (reset["calls"], reset["answered"], reset["billed_prompt_tokens"]) == (0, 0, 0)


async def test_an_article_larger_than_a_mebibyte_is_answered() -> None:
    async with calling() as caller:
        reply = await caller.post(chat("冰川融化使海平面上升。" * 40_000))
    assert reply.status == 200
    assert reply.choice["message"]["content"] == "冰川融化使海平面上升。"
