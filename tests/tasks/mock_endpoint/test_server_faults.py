import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest

from article_flows.tasks.mock_endpoint.faults import Faults
from tests.tasks.mock_endpoint.mock_support import (
    ARTICLE,
    STRUCTURED,
    Caller,
    chat,
    running_endpoint,
)


@asynccontextmanager
async def faulty_endpoint(*options: str, seed: int = 0) -> AsyncIterator[Caller]:
    """Run an endpoint with these faults; each request uses a new connection."""
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with (
        running_endpoint(Faults.parse(options, seed)) as base_url,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        yield Caller(session, base_url)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("http_500", 500, None),
        ("http_503", 503, "overloaded"),
        ("http_429", 429, "rate_limit_exceeded"),
        ("insufficient_quota", 429, "insufficient_quota"),
    ],
)
async def test_errors_have_their_status_and_code(fault: str, status: int, code: str | None) -> None:
    async with faulty_endpoint(f"{fault}=1", "retry_after=0.25") as caller:
        reply = await caller.post(chat())
        stats = await caller.stats()
    assert (reply.status, reply.error["code"]) == (status, code)
    assert set(reply.error) == {"message", "type", "param", "code"}
    assert ("retry-after" in reply.headers) == (fault == "http_429")
    if fault == "http_429":
        assert reply.headers["retry-after"] == "1"
        assert reply.headers["retry-after-ms"] == "250"
    assert stats["by_fault"] == {fault: 1}
    assert (stats["answered"], stats["billed_prompt_tokens"]) == (0, 0)


async def _raw(caller: Caller, body: Any) -> bytes:
    """Send a request over a plain TCP connection and return all bytes until its end."""
    data = orjson.dumps(body)
    host, port = caller.root.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_reset_is_a_tcp_reset() -> None:
    async with faulty_endpoint("reset=1") as caller:
        with pytest.raises(ConnectionResetError):
            await _raw(caller, chat())
        stats = await caller.stats()
    assert stats["generated_not_delivered"] == 1
    assert stats["calls_per_status"] == {"none": 1}
    assert (stats["answered"], stats["billed_completion_tokens"]) == (0, 0)


async def test_a_truncated_answer_is_shorter_than_promised() -> None:
    async with faulty_endpoint("truncated=1") as caller:
        head, _, body = (await _raw(caller, chat())).partition(b"\r\n\r\n")
        with pytest.raises(aiohttp.ClientPayloadError):
            await caller.post(chat())
        stats = await caller.stats()
    promised = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    assert 0 < len(body) < promised
    assert (stats["generated_not_delivered"], stats["answered"]) == (2, 0)
    assert stats["by_fault"] == {"truncated": 2}


async def _disconnect_early(caller: Caller) -> Any:
    """Disconnect during a request and return the endpoint's counts once it has noticed."""
    call = asyncio.create_task(caller.post(chat()))
    while not (await caller.stats())["calls"]:
        await asyncio.sleep(0.01)
    assert not call.done()
    call.cancel()
    while not (stats := await caller.stats())["generated_not_delivered"]:
        await asyncio.sleep(0.01)
    return stats


async def test_a_stall_lasts_until_the_client_disconnects_or_it_is_over() -> None:
    async with faulty_endpoint("stall=1") as caller:
        stats = await _disconnect_early(caller)
    assert (stats["by_fault"], stats["calls_per_status"]) == ({"stall": 1}, {"none": 1})
    async with faulty_endpoint("stall=1", "stall_seconds=0.05") as caller:
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.post(chat())


async def test_a_client_that_disconnects_early_gets_no_answer() -> None:
    async with faulty_endpoint("latency=fixed:600") as caller:
        stats = await _disconnect_early(caller)
    assert (stats["answered"], stats["by_fault"]) == (0, {})


async def test_garbage_is_not_json_and_is_billed() -> None:
    async with faulty_endpoint("garbage=1") as caller:
        reply = await caller.post(chat())
        stats = await caller.stats()
    assert reply.status == 200
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(reply.body)
    assert stats["answered"] == 0
    assert stats["billed_prompt_tokens"] > 0


async def test_invalid_json_affects_only_structured_answers() -> None:
    async with faulty_endpoint("invalid_json=1") as caller:
        structured = await caller.post(chat(response_format=STRUCTURED))
        plain = await caller.post(chat())
        stats = await caller.stats()
    assert structured.choice["finish_reason"] == "stop"
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(structured.choice["message"]["content"])
    assert plain.choice["message"]["content"].endswith(".")
    assert (stats["answered"], stats["by_fault"]) == (1, {"invalid_json": 1})


async def test_cut_and_empty_answers_are_sent_as_such() -> None:
    async with faulty_endpoint() as caller:
        whole = (await caller.post(chat())).choice["message"]["content"]
    async with faulty_endpoint("cut=1") as caller:
        cut = await caller.post(chat())
    async with faulty_endpoint("empty=1") as caller:
        empty = await caller.post(chat())
        stats = await caller.stats()
    assert cut.choice["finish_reason"] == "length"
    assert whole.startswith(cut.choice["message"]["content"])
    assert len(cut.choice["message"]["content"]) < len(whole)
    assert empty.choice["message"]["content"] == ""
    assert (stats["answered"], stats["calls_per_status"]) == (0, {"200": 1})


async def test_the_content_filter_has_two_shapes() -> None:
    async with faulty_endpoint("content_filter=1") as caller:
        replies = [await caller.post(chat()) for _ in range(20)]
        stats = await caller.stats()
    rejected = [reply for reply in replies if reply.status == 400]
    withheld = [reply for reply in replies if reply.status == 200]
    assert rejected
    assert withheld
    assert len(rejected) + len(withheld) == 20
    assert {reply.error["code"] for reply in rejected} == {"content_filter"}
    assert rejected[0].error["innererror"]["code"] == "ResponsibleAIPolicyViolation"
    assert {reply.choice["finish_reason"] for reply in withheld} == {"content_filter"}
    assert withheld[0].choice["message"]["content"] is None
    assert (stats["answered"], stats["by_fault"]) == (0, {"content_filter": 20})


async def test_poison_always_fails_and_nothing_else_does() -> None:
    async with faulty_endpoint("poison=XYZZY") as caller:
        poisoned = [await caller.post(chat(f"{n % 9} XYZZY {ARTICLE}")) for n in range(18)]
        healthy = await caller.post(chat())
        stats = await caller.stats()
    shapes = [reply.status for reply in poisoned]
    assert set(shapes) == {200, 400}
    assert shapes[:9] == shapes[9:]
    assert all(
        reply.status == 400 or reply.choice["finish_reason"] == "content_filter"
        for reply in poisoned
    )
    assert healthy.choice["finish_reason"] == "stop"
    assert stats["by_fault"] == {"poison": 18}


async def test_a_prompt_that_is_too_long_is_rejected() -> None:
    async with faulty_endpoint("too_long=200") as caller:
        short = await caller.post(chat())
        long = await caller.post(chat(ARTICLE * 4))
    assert short.status == 200
    assert (long.status, long.error["code"]) == (400, "context_length_exceeded")


async def test_the_account_runs_out_of_credit_after_quota_after_answers() -> None:
    async with faulty_endpoint("quota_after=3") as caller:
        replies = [await caller.post(chat()) for _ in range(5)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429, 429]
    assert replies[-1].error["code"] == "insufficient_quota"
    assert "retry-after" not in replies[-1].headers


async def test_quotas_are_reported_and_enforced() -> None:
    async with faulty_endpoint("rpm=3", "tpm=100000") as caller:
        replies = [await caller.post(chat(max_tokens=1000)) for _ in range(4)]
        stats = await caller.stats()
    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    remaining = [reply.headers["x-ratelimit-remaining-requests"] for reply in replies]
    assert remaining == ["2", "1", "0", "0"]
    prompt = replies[0].json["usage"]["prompt_tokens"]
    left = int(replies[0].headers["x-ratelimit-remaining-tokens"])
    assert 100_000 - prompt - 1000 <= left < 100_000
    assert replies[3].headers["x-ratelimit-limit-tokens"] == "100000"
    assert replies[3].headers["x-ratelimit-reset-requests"].endswith("s")
    assert replies[3].error["code"] == "rate_limit_exceeded"
    assert 1 <= int(replies[3].headers["retry-after"]) <= 20
    assert stats["by_fault"] == {"rpm": 1}


async def test_concurrent_requests_are_limited() -> None:
    async with faulty_endpoint("max_concurrent=2", "latency=fixed:0.5") as caller:
        replies = await asyncio.gather(*(caller.post(chat()) for _ in range(5)))
        stats = await caller.stats()
    assert sorted(reply.status for reply in replies) == [200, 200, 429, 429, 429]
    assert stats["max_concurrent_seen"] == 3
    assert stats["by_fault"] == {"max_concurrent": 3}


async def test_two_endpoints_with_the_same_seed_misbehave_alike() -> None:
    options = ("http_500=0.2", "http_503=0.2", "content_filter=0.2", "cut=0.2")

    async def shapes(seed: int) -> list[tuple[int, str]]:
        async with faulty_endpoint(*options, seed=seed) as caller:
            replies = [await caller.post(chat()) for _ in range(40)]
        return [
            (reply.status, reply.choice["finish_reason"] if reply.status == 200 else "")
            for reply in replies
        ]

    first = await shapes(5)
    assert first == await shapes(5)
    assert first != await shapes(6)
    assert {(500, ""), (503, ""), (400, ""), (200, "length"), (200, "stop")} <= set(first)
