"""The pool over real sockets: requests, and which connection they use."""

import asyncio
import gc
import socket
import time
from asyncio import StreamReader, StreamWriter
from typing import Any

import pytest

from article_flows.tasks.llm.transports.http_dialer import Dialer
from article_flows.tasks.llm.transports.http_pool import HttpPool
from article_flows.tasks.llm.transports.http_response import HttpError
from tests.tasks.llm.transports.http_support import (
    OK,
    SILENCED,
    Say,
    connections_alive,
    event_loop_policy,
    pooled,
    raw_server,
    until,
)

# Importing the fixture overrides pytest-asyncio's own: each test runs on both event loops.
__all__ = ["event_loop_policy"]
pytestmark = SILENCED


async def never(reader: StreamReader, writer: StreamWriter) -> None:
    await reader.read()


# ---- Requests.


async def test_a_request_is_encoded_as_expected() -> None:
    async with (
        raw_server(OK) as server,
        pooled(f"{server.url}/v1/", headers={"Authorization": "Bearer k"}) as pool,
    ):
        await pool.request("POST", "/chat/completions", b'{"a": 1}')
        await pool.request("GET", "/models", None)
    fixed = (
        f"Host: 127.0.0.1:{server.port}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
        "User-Agent: article-flows\r\nAuthorization: Bearer k\r\n"
    )
    assert [request.decode() for request in server.requests] == [
        f'POST /v1/chat/completions HTTP/1.1\r\n{fixed}Content-Length: 8\r\n\r\n{{"a": 1}}',
        f"GET /v1/models HTTP/1.1\r\n{fixed}\r\n",
    ]


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("http://h.example/v1", "h.example"),
        ("http://h.example:80/v1", "h.example"),
        ("https://h.example:443", "h.example"),
        ("https://h.example:80", "h.example:80"),
        ("http://H.Example.:8000", "h.example:8000"),
        ("http://[2001:DB8::1]/v1", "[2001:db8::1]"),
        ("http://[2001:db8::1]:8000", "[2001:db8::1]:8000"),
        ("http://bücher.example", "xn--bcher-kva.example"),
    ],
)
async def test_the_host_header_omits_the_default_port(
    base_url: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw_server(OK) as server:

        async def here(_: Dialer) -> Any:
            address = ("127.0.0.1", server.port)
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]

        monkeypatch.setattr(Dialer, "_look_up", here)
        async with pooled(base_url.replace("https:", "http:")) as pool:
            if base_url.startswith("http:"):
                await pool.request("GET", "/", None)
                assert f"\r\nHost: {host}\r\n".encode() in server.requests[0]
        async with pooled(base_url) as pool:
            assert f"\r\nHost: {host}\r\n".encode() in pool._encode_head("GET", "/")


async def test_a_literal_ipv6_address_is_connected_to() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with raw_server(OK, host="::1") as server, pooled(f"http://[::1]:{server.port}") as pool:
        assert (await pool.request("GET", "/", None)).body == b"ok"


@pytest.mark.parametrize(
    ("base_url", "headers"),
    [
        ("nonsense", {}),
        ("ftp://h", {}),
        ("http:///v1", {}),
        ("http://h", {"X": "a\r\nY: b"}),
        ("http://h", {"X:": "a"}),
        ("http://h", {"X": "ü"}),
    ],
)
async def test_invalid_urls_and_headers_are_rejected(
    base_url: str, headers: dict[str, str]
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # The pool's and yarl's messages differ.
        HttpPool(base_url, headers, timeout_s=1)


async def test_a_path_that_would_smuggle_a_request_is_rejected() -> None:
    async with raw_server(OK) as server, pooled(server.url) as pool:
        with pytest.raises(ValueError, match="cannot be sent"):
            await pool.request("GET", "/ HTTP/1.1\r\n\r\nGET /", None)
        assert not server.requests


# ---- Connections.


async def test_sequential_requests_share_a_connection_and_leak_no_objects() -> None:
    async with raw_server(OK) as server, pooled(server.url) as pool:
        for _ in range(20):
            await pool.request("POST", "/", b"x" * 10_000)
        server.requests.clear()
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(300):
            await pool.request("POST", "/", b"x" * 10_000)
            server.requests.clear()
        gc.collect()
        assert len(gc.get_objects()) - before < 50
        assert server.connections == 1


async def test_concurrent_requests_take_one_connection_each_and_share_a_dns_lookup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up = 0
    real = Dialer._look_up

    async def counted(dialer: Dialer) -> Any:
        nonlocal looked_up
        looked_up += 1
        return await real(dialer)

    monkeypatch.setattr(Dialer, "_look_up", counted)
    async with raw_server(OK) as server, pooled(f"http://localhost:{server.port}") as pool:
        given_up = asyncio.ensure_future(pool.request("GET", "/", None))
        await asyncio.sleep(0)
        given_up.cancel()
        answers = await asyncio.gather(*(pool.request("GET", "/", None) for _ in range(30)))
        assert given_up.cancelled()
        assert [answer.body for answer in answers] == [b"ok"] * 30
        assert server.connections == 30
        await asyncio.gather(*(pool.request("GET", "/", None) for _ in range(30)))
        assert server.connections == 30
    assert looked_up == 1


CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    "first",
    [
        CLOSING,
        Say(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        OK + b"HTT",
        OK + OK,
        CLOSING + b"more",
        Say(b"HTTP/1.1 200 OK\r\n\r\nok", "close"),
        Say(OK, "close"),
        Say(OK, "reset"),
    ],
)
async def test_a_closing_connection_or_one_with_unsolicited_data_is_not_reused(
    first: bytes | Say,
) -> None:
    async with raw_server(first, OK) as server, pooled(server.url) as pool:
        assert (await pool.request("GET", "/", None)).body == b"ok"
        if isinstance(first, Say):
            await until(lambda: server.ended == 1 or first.then == "keep")
            await asyncio.sleep(0.01)
        assert (await pool.request("GET", "/", None)).body == b"ok"
        assert server.connections == 2
        await until(lambda: server.ended == 1)


async def test_unsolicited_data_ends_the_connection() -> None:
    async with raw_server(OK) as server, pooled(server.url) as pool:
        await pool.request("GET", "/", None)
        server.writers[0].write(OK)
        await until(lambda: server.ended == 1)
        await pool.request("GET", "/", None)
        assert server.connections == 2


async def test_an_idle_connection_is_closed_and_freed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("article_flows.tasks.llm.transports.http_pool.KEEPALIVE_S", 0.05)
    gc.collect()
    gc.disable()
    try:
        async with raw_server(OK) as server, pooled(server.url) as pool:
            await pool.request("GET", "/", None)
            await until(lambda: server.ended == 1)
            await until(lambda: not connections_alive())
            await pool.request("GET", "/", None)
            assert server.connections == 2
            # While the loop is blocked nothing is closed, but the connection has expired.
            time.sleep(0.1)  # noqa: ASYNC251
            await pool.request("GET", "/", None)
            assert server.connections == 3
    finally:
        gc.enable()


async def test_a_cancelled_request_leaves_no_response_for_the_next() -> None:
    async with raw_server(never, OK) as server, pooled(server.url) as pool:
        call = asyncio.ensure_future(pool.request("GET", "/", None))
        await until(lambda: len(server.requests) == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: server.ended == 1)
        assert (await pool.request("GET", "/", None)).body == b"ok"


async def test_a_response_before_the_request_is_fully_written_is_read() -> None:
    async def refuse(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await asyncio.sleep(60)

    async with raw_server(refuse, OK) as server, pooled(server.url) as pool:
        answer = await pool.request("POST", "/", b"x" * (32 << 20))
        assert (answer.status, answer.body) == (413, b"big")
        assert (await pool.request("GET", "/", None)).body == b"ok"
        assert server.connections == 2


async def test_an_end_of_stream_before_the_request_is_fully_written_is_noticed() -> None:
    async def end(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nb")
        writer.write_eof()
        await asyncio.sleep(60)

    async with raw_server(end) as server, pooled(server.url) as pool:
        with pytest.raises(HttpError, match="cut short"):
            await pool.request("POST", "/", b"x" * (32 << 20))


async def test_a_large_request_arrives_complete() -> None:
    body = bytes(range(256)) * (8 << 12)
    async with raw_server(OK) as server, pooled(server.url) as pool:
        await pool.request("POST", "/", body)
        assert server.requests[0].endswith(b"\r\n\r\n" + body)
