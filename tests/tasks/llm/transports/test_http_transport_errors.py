"""Errors are the same over all transports, and none contains the key."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from article_flows.tasks.llm.protocol.chat import NO_USAGE, Usage
from article_flows.tasks.llm.protocol.errors import (
    EndpointUnavailable,
    LLMError,
    RateLimited,
    RejectedInput,
    Transient,
)
from article_flows.tasks.mock_endpoint.faults import Faults
from article_flows.tasks.mock_endpoint.server import reset, truncate
from tests.tasks.llm.gateway.gateway_support import (
    EVERY,
    KEY,
    TEMPLATE,
    Make,
    completion_body,
    error_of,
    opened,
    over_http,
    scripted,
)
from tests.tasks.llm.transports.http_support import raw_server, self_signed, serving
from tests.tasks.mock_endpoint.mock_support import running_endpoint

every = pytest.mark.parametrize("make", EVERY)


@every
@pytest.mark.parametrize(
    ("body", "kind", "error_class", "usage"),
    [
        (b"", Transient, "bad_response", NO_USAGE),
        (b"<html>It works!</html>", Transient, "bad_response", NO_USAGE),
        (b'{"id": "chatcm', Transient, "bad_response", NO_USAGE),
        (completion_body(choices=[]), Transient, "bad_response", Usage(100, 0, 10)),
        (completion_body({"summary": "x"}), Transient, "bad_response", Usage(100, 0, 10)),
        (
            {"error": {"code": 429, "message": "slow down"}},
            RateLimited,
            "rate_limited",
            NO_USAGE,
        ),
        (
            {"choices": None, "error": {"code": 502, "message": "upstream"}},
            Transient,
            "server_error",
            NO_USAGE,
        ),
        (
            {"error": {"code": "insufficient_quota", "message": KEY}},
            EndpointUnavailable,
            "out_of_quota",
            NO_USAGE,
        ),
        (
            completion_body(choices=[{"message": {"content": "Fi"}, "finish_reason": "error"}]),
            Transient,
            "server_error",
            Usage(100, 0, 10),
        ),
        (
            completion_body(choices=[{"message": {}, "finish_reason": "content_filter"}]),
            RejectedInput,
            "content_filter",
            Usage(100, 0, 10),
        ),
        (
            completion_body(choices=[{"message": {"refusal": f"No,\n{KEY}" + "!" * 999}}]),
            RejectedInput,
            "content_filter",
            Usage(100, 0, 10),
        ),
    ],
)
async def test_a_200_without_a_completion_is_an_error(
    make: Make, body: Any, kind: type[LLMError], error_class: str, usage: Usage
) -> None:
    async with scripted((200, body)) as script:
        error = await error_of(make, script.base_url)
    assert (type(error), error.error_class, error.usage) == (kind, error_class, usage)


@every
@pytest.mark.parametrize(
    ("status", "body", "error_class", "message"),
    [
        (401, {"error": {"message": f"Incorrect API key: {KEY}"}}, "bad_key", "key: ***"),
        (403, {"detail": f"Bearer {KEY} may not"}, "bad_key", "Bearer *** may not"),
        (404, {"error": {"code": "model_not_found", "message": "no"}}, "no_such_model", "--model"),
        (404, b"<html><title>404 Not Found</title>", "no_such_url", "404 Not Found; check --base"),
        (422, {"detail": [{"loc": ["body"], "msg": "odd"}]}, "bad_request", "body: odd"),
        (502, b"<html><title>502 Bad Gateway</title>", "server_error", "HTTP 502: 502 Bad Gateway"),
        (500, bytes(range(256)) * 4000, "server_error", "HTTP 500: "),
        (500, b"", "server_error", "HTTP 500"),
    ],
)
async def test_an_error_status_is_classified(
    make: Make, status: int, body: Any, error_class: str, message: str
) -> None:
    async with scripted((status, body)) as script:
        error = await error_of(make, script.base_url)
    assert error.error_class == error_class
    assert message in error.message


@every
async def test_retry_after_is_part_of_the_error(make: Make) -> None:
    async with scripted((429, {}, {"Retry-After": "7"})) as script:
        assert (await error_of(make, script.base_url)).retry_after == 7.0


@every
@pytest.mark.parametrize(
    ("faults", "error_class"),
    [
        (Faults(http_500=1.0), "server_error"),
        (Faults(http_503=1.0), "server_error"),
        (Faults(http_429=1.0), "rate_limited"),
        (Faults(insufficient_quota=1.0), "out_of_quota"),
        (Faults(reset=1.0), "connection"),
        (Faults(truncated=1.0), "truncated"),
        (Faults(garbage=1.0), "bad_response"),
        (Faults(content_filter=1.0), "content_filter"),
        (Faults(too_long=5), "too_long"),
        (Faults(tpm=100), "too_long"),
    ],
)
async def test_a_fault_has_the_same_class_over_all_transports(
    make: Make, faults: Faults, error_class: str
) -> None:
    async with running_endpoint(faults) as url:
        assert (await error_of(make, url)).error_class == error_class


@every
async def test_a_stall_is_a_timeout(make: Make) -> None:
    async with running_endpoint(Faults(stall=1.0)) as url:
        error = await error_of(make, url, timeout_s=0.1)
    assert (type(error), error.error_class) == (Transient, "timeout")


@every
async def test_a_stalled_request_ends_before_its_timeout(make: Make) -> None:
    async with (
        running_endpoint(Faults(stall=1.0)) as url,
        opened(make(url, timeout_s=60.0)) as transport,
    ):
        transport.stall_timeout_s = 0.1
        with pytest.raises(Transient, match=r"timeout: no data for 0\.1 s"):
            await transport.complete(TEMPLATE, "x")


@every
async def test_a_body_that_drips_is_a_timeout(make: Make) -> None:
    async def drip(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"choices"')
        await asyncio.sleep(60)
        return response

    async with scripted(drip) as script:
        assert (await error_of(make, script.base_url, timeout_s=0.1)).error_class == "timeout"


@every
async def test_an_incomplete_body_is_truncated(make: Make) -> None:
    async def break_off(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b'{"choices"')
        assert request.transport is not None
        request.transport.close()
        return response

    async def fall_short(request: web.BaseRequest) -> web.StreamResponse:
        return await truncate(request, b"x" * 100, {})

    for handler in (break_off, fall_short):
        async with scripted(handler) as script:
            assert (await error_of(make, script.base_url)).error_class == "truncated"


@every
async def test_a_server_that_hangs_up_is_transient(make: Make) -> None:
    async def hang_up(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def break_it(request: web.BaseRequest) -> web.StreamResponse:
        return reset(request)

    for handler in (hang_up, break_it):
        async with scripted(handler) as script:
            error = await error_of(make, script.base_url)
        assert (type(error), error.error_class) == (Transient, "connection")


@every
async def test_a_key_echoed_by_a_server_that_does_not_speak_http_is_masked(make: Make) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"Bearer {KEY}\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await error_of(make, f"http://127.0.0.1:{port}/v1")
    assert (type(error), error.error_class) == (Transient, "connection")
    assert "***" in error.message


@every
async def test_a_closed_port_is_a_connection_error(make: Make) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await error_of(make, f"http://127.0.0.1:{port}/v1")
    assert (type(error), error.error_class) == (Transient, "connection")


async def test_the_error_names_an_unreachable_endpoint_and_the_reason() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await error_of(over_http, f"http://127.0.0.1:{port}/v1")
    assert f"127.0.0.1:{port} (Connection refused)" in error.message
    for url in (f"http://localhost:{port}/v1", f"http://no.such.host.invalid:{port}/v1"):
        error = await error_of(over_http, url)
        assert error.error_class == "connection"
        assert "None" not in error.message


async def test_a_connect_timeout_is_distinct_from_a_slow_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("article_flows.tasks.llm.transports.http_pool.CONNECT_TIMEOUT_S", 0.2)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(address)
        error = await error_of(over_http, f"http://127.0.0.1:{address[1]}/v1")
        for client in waiting:
            client.close()
    assert error.error_class == "connection"
    assert "no connection within 0.2 s" in error.message


@pytest.mark.parametrize("url", ["nonsense", "http:///v1", "http://[::1/v1", "ftp://h/v1"])
async def test_an_invalid_url_is_an_error(url: str) -> None:
    assert (await error_of(over_http, url)).error_class in ("no_such_url", "connection")


async def test_the_error_mentions_tls_if_the_server_speaks_plain_http() -> None:
    async with scripted((200, completion_body())) as script:
        error = await error_of(over_http, script.base_url.replace("http:", "https:"))
    assert error.error_class == "connection"
    assert "not permitted" not in error.message
    assert "SSL" in error.message or "record" in error.message


async def test_the_error_names_a_self_signed_certificate_as_the_reason(tmp_path: Path) -> None:
    async with raw_server(b"", tls=serving(self_signed(tmp_path))) as server:
        error = await error_of(over_http, f"https://localhost:{server.port}/v1")
    assert "certificate verify failed" in error.message.lower()
