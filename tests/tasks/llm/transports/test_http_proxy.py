"""The pool through HTTP proxies: tunnels to https servers, absolute URLs for http ones."""

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from article_flows.tasks.llm.protocol.errors import EndpointUnavailable
from article_flows.tasks.llm.transports.http_response import HttpError
from tests.tasks.llm.gateway.gateway_support import error_of, over_http
from tests.tasks.llm.transports.http_support import (
    OK,
    SILENCED,
    event_loop_policy,
    pooled,
    raw_server,
    self_signed,
    serving,
    until,
)

# Importing the fixture overrides pytest-asyncio's own: each test runs on both event loops.
__all__ = ["event_loop_policy"]
pytestmark = SILENCED

KEY = {"Authorization": "Bearer k"}
PASSWORD = "s3cr3t"  # Not a real one.


@dataclass
class Proxy:
    """A proxy that opens tunnels to this machine, or sends another response."""

    answer: bytes
    port: int = 0
    heads: list[str] = field(default_factory=list)
    ended: int = 0

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._serve(reader, writer)
        finally:
            self.ended += 1
            writer.close()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        writer.write(self.answer)
        if not self.answer.startswith(b"HTTP/1.1 200"):
            if not self.answer:
                await reader.read()
            return
        port = int(head.split()[1].rpartition(":")[2])
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxying(
    answer: bytes = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Proxy]:
    proxy = Proxy(answer)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_requests_to_an_https_server_share_a_tunnel(scheme: str, tmp_path: Path) -> None:
    pem = self_signed(tmp_path)
    trusting = ssl.create_default_context(cafile=str(pem))
    async with (
        raw_server(OK, tls=serving(pem)) as server,
        proxying(tls=serving(pem) if scheme == "https" else None) as proxy,
        pooled(
            f"https://localhost:{server.port}/v1",
            headers=KEY,
            proxy=f"{scheme}://us%40er:{PASSWORD}@localhost:{proxy.port}",
            ssl_context=trusting,
        ) as pool,
    ):
        for _ in range(3):
            assert (await pool.request("POST", "/", b"x" * 100_000)).body == b"ok"
        assert proxy.heads == [
            f"CONNECT localhost:{server.port} HTTP/1.1\r\nHost: localhost:{server.port}\r\n"
            "Proxy-Authorization: Basic dXNAZXI6czNjcjN0\r\n\r\n"
        ]
        assert server.requests[0].startswith(b"POST /v1/ HTTP/1.1\r\n")
        assert b"Authorization: Bearer k" in server.requests[0]
        assert b"Proxy" not in server.requests[0]
        await pool.close()
        await until(lambda: (server.ended, proxy.ended) == (1, 1))


async def test_a_proxy_gets_the_absolute_url_of_an_http_server() -> None:
    async with (
        raw_server(OK) as proxy,
        pooled(
            "http://far.example:80/v1/", proxy=f"http://u:{PASSWORD}@127.0.0.1:{proxy.port}"
        ) as pool,
    ):
        await pool.request("GET", "/models", None)
    head = proxy.requests[0].decode()
    assert head.startswith("GET http://far.example/v1/models HTTP/1.1\r\nHost: far.example\r\n")
    assert "\r\nProxy-Authorization: Basic dTpzM2NyM3Q=\r\n" in head


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 Who are you\r\n\r\n", "the proxy answers 407 Who are you"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 1\r\n\r\nx", "answers 502 Bad Gateway"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no complete response"),
        (b"x" * 100_000, "no complete response"),
    ],
)
async def test_the_error_names_a_proxy_that_opens_no_tunnel_and_the_reason(
    answer: bytes, words: str
) -> None:
    async with (
        proxying(answer) as proxy,
        pooled(
            "https://far.example", headers=KEY, proxy=f"http://u:{PASSWORD}@127.0.0.1:{proxy.port}"
        ) as pool,
    ):
        with pytest.raises(HttpError, match=words) as caught:
            await pool.request("GET", "/", None)
        assert caught.value.fault == "connect"
        assert f"far.example:443 through the proxy 127.0.0.1:{proxy.port}" in caught.value.message
        assert PASSWORD not in caught.value.message
        assert "Bearer" not in proxy.heads[0]
        await until(lambda: proxy.ended == 1)


async def test_a_silent_proxy_times_out_and_its_connection_is_closed() -> None:
    async with (
        proxying(b"") as proxy,
        pooled(
            "https://far.example", proxy=f"http://127.0.0.1:{proxy.port}", connect_timeout_s=0.1
        ) as pool,
    ):
        with pytest.raises(HttpError, match=r"no connection within 0\.1 s"):
            await pool.request("GET", "/", None)
        await until(lambda: proxy.ended == 1)


async def test_a_server_behind_a_tunnel_must_have_a_trusted_certificate(tmp_path: Path) -> None:
    async with (
        raw_server(OK, tls=serving(self_signed(tmp_path))) as server,
        proxying() as proxy,
        pooled(f"https://localhost:{server.port}", proxy=f"http://127.0.0.1:{proxy.port}") as pool,
    ):
        with pytest.raises(HttpError, match="certificate"):
            await pool.request("GET", "/", None)
        assert not server.requests
        await until(lambda: proxy.ended == 1)


async def test_a_socks_proxy_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:1080")
    error = await error_of(over_http, "https://far.example/v1")
    assert isinstance(error, EndpointUnavailable)
    assert "https_proxy names a socks5 proxy" in error.message
