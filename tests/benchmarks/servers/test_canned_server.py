import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema  # type: ignore[import-untyped]  # It has no stubs in this environment.
import openai
import orjson
import pytest

from article_flows.tasks.mock_endpoint.faults import Faults
from benchmarks.servers.canned_server import CannedService, canned_server
from benchmarks.servers.endpoints import CannedEndpoint
from tests.tasks.mock_endpoint.mock_support import SCHEMA, STRUCTURED, Caller, chat, post

ROOT = Path(__file__).parents[3]
OTHER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"mood": {"enum": ["good", "bad"]}},
    "required": ["mood"],
}


@asynccontextmanager
async def running_canned(
    faults: Faults | None = None, api_key: str | None = None
) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with canned_server(CannedService(faults, api_key), listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@asynccontextmanager
async def canned(*options: str, seed: int = 0, api_key: str | None = None) -> AsyncIterator[Caller]:
    faults = Faults.parse(options, seed)
    async with (
        running_canned(faults, api_key) as base_url,
        aiohttp.ClientSession() as session,
    ):
        yield Caller(session, base_url)


def structured(schema: Any) -> Any:
    return {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": schema}}


async def test_the_openai_client_gets_an_answer() -> None:
    async with (
        running_canned() as base_url,
        openai.AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0) as client,
    ):
        completion = await client.chat.completions.create(**chat("About Rome."))
        again = await client.chat.completions.create(**chat("About Berlin."))
        models = [model.id async for model in client.models.list()]
    assert completion.choices[0].finish_reason == "stop"
    assert completion.choices[0].message.content
    assert completion.choices[0].message == again.choices[0].message
    assert completion.id != again.id
    assert completion.usage is not None
    assert completion.usage.prompt_tokens > 10
    assert models == ["extractive-v1"]


async def test_each_schema_gets_a_valid_answer() -> None:
    async with canned() as caller:
        for text in ("one", "two"):
            first = await caller.post(chat(text, response_format=STRUCTURED))
            other = await caller.post(chat(text, response_format=structured(OTHER_SCHEMA)))
            plain = await caller.post(chat(text))
            jsonschema.validate(orjson.loads(first.choice["message"]["content"]), SCHEMA)
            jsonschema.validate(orjson.loads(other.choice["message"]["content"]), OTHER_SCHEMA)
            assert not plain.choice["message"]["content"].startswith("{")


async def test_calls_and_tokens_are_counted() -> None:
    async with canned() as caller:
        replies = [await caller.post(chat(text)) for text in ("one", "two", "one" * 99, "two")]
        stats = await caller.stats()
        prompts = (await caller.get("/stats/prompts")).json
    usages = [reply.json["usage"] for reply in replies]
    assert (stats["calls"], stats["answered"], stats["distinct"]) == (4, 4, 3)
    assert stats["answered_twice"] == 1
    assert sorted(prompts.values()) == [1, 1, 2]
    assert stats["calls_per_status"] == {"200": 4}
    assert stats["billed_prompt_tokens"] == sum(usage["prompt_tokens"] for usage in usages)
    assert stats["billed_completion_tokens"] == sum(usage["completion_tokens"] for usage in usages)
    assert usages[2]["prompt_tokens"] > usages[0]["prompt_tokens"]
    assert stats["active"] == 0
    assert stats["cpu_seconds"] > 0


@pytest.mark.parametrize(
    ("fault", "status", "finish_reason"),
    [
        ("http_500", 500, None),
        ("http_503", 503, None),
        ("http_429", 429, None),
        ("insufficient_quota", 429, None),
        ("garbage", 200, None),
        ("cut", 200, "length"),
        ("empty", 200, "stop"),
        ("invalid_json", 200, "stop"),
    ],
)
async def test_response_faults_are_injected(
    fault: str, status: int, finish_reason: str | None
) -> None:
    async with canned(f"{fault}=1") as caller:
        reply = await caller.post(chat(response_format=STRUCTURED))
        stats = await caller.stats()
    assert reply.status == status
    assert stats["by_fault"] == {fault: 1}
    assert (stats["answered"], stats["active"]) == (0, 0)
    if finish_reason:
        assert reply.choice["finish_reason"] == finish_reason
        with pytest.raises(ValueError, match=r"unexpected|empty|EOF"):
            orjson.loads(reply.choice["message"]["content"])


@pytest.mark.parametrize(
    ("options", "error", "counted"),
    [
        (["reset=1"], aiohttp.ClientOSError, "none"),
        (["stall=1", "stall_seconds=0.05"], aiohttp.ClientOSError, "none"),
        (["truncated=1"], aiohttp.ClientPayloadError, "200"),
    ],
)
async def test_connection_faults_are_injected(
    options: list[str], error: type[Exception], counted: str
) -> None:
    async with canned(*options) as caller:
        with pytest.raises(error):
            await caller.post(chat())
        stats = await caller.stats()
    assert stats["generated_not_delivered"] == 1
    assert stats["calls_per_status"] == {counted: 1}
    assert (stats["answered"], stats["active"]) == (0, 0)


async def test_a_client_that_disconnects_is_counted() -> None:
    async with canned("latency=fixed:60") as caller:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await caller.post(chat())
        while (stats := await caller.stats())["active"]:
            await asyncio.sleep(0.01)
    assert (stats["generated_not_delivered"], stats["answered"]) == (1, 0)


async def test_calls_over_the_concurrency_limit_are_rejected_without_retry_after() -> None:
    async with canned("max_concurrent=2", "latency=fixed:0.2", "retry_after=0") as caller:
        replies = await asyncio.gather(*(caller.post(chat(str(n))) for n in range(5)))
        stats = await caller.stats()
    assert sorted(reply.status for reply in replies) == [200, 200, 429, 429, 429]
    assert not any("retry-after" in reply.headers for reply in replies)
    assert (stats["max_concurrent_seen"], stats["active"]) == (3, 0)


async def test_a_burst_is_allowed_under_a_limit_per_minute() -> None:
    async with canned("rpm=60", "burst=2") as caller:
        replies = [await caller.post(chat(str(n))) for n in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[0].headers["x-ratelimit-limit-requests"] == "60"
    assert replies[0].headers["x-ratelimit-remaining-requests"] == "1"
    assert float(replies[0].headers["x-ratelimit-reset-requests"].rstrip("ms")) <= 1000


async def test_the_api_key_is_required() -> None:
    async with canned(api_key="sk-right") as caller:
        rejected = await caller.post(chat())
        models = await caller.get("/v1/models")
        answered = await caller.post(chat(), {"Authorization": "Bearer sk-right"})
    assert (rejected.status, models.status, answered.status) == (401, 401, 200)


async def test_the_connection_is_closed_on_invalid_http() -> None:
    async with canned() as caller:
        host, port = caller.root.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"\x16\x03\x01 no request\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        assert (await caller.get("/nothing")).status == 404


async def test_a_request_in_several_chunks_is_joined() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"model": "m", "messages": [{"role": "user", ', b'"content": "Hello."}]}'):
            yield piece

    async with canned() as caller:
        url = f"{caller.base_url}/chat/completions"
        async with caller.session.post(url, data=pieces()) as response:
            assert response.status == 200


def test_options_that_need_the_prompt_are_rejected() -> None:
    with pytest.raises(ValueError, match="leave out poison"):
        CannedService(Faults(poison="x"))


@pytest.mark.slow
def test_the_canned_server_runs_as_a_process() -> None:
    with CannedEndpoint(Faults.parse(["http_500=0.5"], seed=1)) as endpoint:
        replies = [post(endpoint.base_url, chat(f"{n}")) for n in range(30)]
        stats = endpoint.stats()
    assert {status for status, _ in replies} == {200, 500}
    assert stats["answered"] == stats["distinct"] == stats["calls_per_status"]["200"]
    assert stats["calls"] == 30


@pytest.mark.slow
def test_contradicting_options_are_a_one_line_error() -> None:
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.servers.canned_server", "--port", "0"),
            "--strict-model",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert finished.returncode == 2
    assert finished.stderr.startswith("mock endpoint: canned answers read no prompt")
    assert finished.stderr.count("\n") == 1
