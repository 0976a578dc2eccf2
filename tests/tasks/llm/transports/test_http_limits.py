"""The pool over real sockets: timeouts, TLS and closing."""

import asyncio
import socket
import ssl
import threading
import time
from asyncio import StreamReader, StreamWriter
from pathlib import Path

import pytest

from article_flows.tasks.llm.transports.http_response import HttpError
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


async def never(reader: StreamReader, writer: StreamWriter) -> None:
    await reader.read()


async def drip(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(0.01)


# ---- Timeouts.


async def test_a_silent_server_times_out_and_its_connection_is_closed() -> None:
    async with raw_server(never, OK) as server, pooled(server.url, timeout_s=0.1) as pool:
        with pytest.raises(HttpError, match=r"no response within 0\.1 s") as caught:
            await pool.request("GET", "/", None)
        assert caught.value.fault == "timeout"
        await until(lambda: server.ended == 1)
        assert (await pool.request("GET", "/", None)).body == b"ok"


async def test_a_dripping_body_is_not_a_stall_but_must_end_in_time() -> None:
    async with raw_server(drip) as server, pooled(server.url, timeout_s=0.4) as pool:
        pool.stall_timeout_s = 0.2
        with pytest.raises(HttpError, match="no response within"):
            await pool.request("GET", "/", None)


async def test_the_stall_timeout_applies_to_requests_in_flight() -> None:
    async with raw_server(never) as server, pooled(server.url, timeout_s=60) as pool:
        call = asyncio.ensure_future(pool.request("GET", "/", None))
        await until(lambda: len(server.requests) == 1)
        pool.stall_timeout_s = 0.05
        with pytest.raises(HttpError, match=r"no data for 0\.05 s") as caught:
            await call
        assert caught.value.fault == "timeout"


async def test_silence_after_the_first_bytes_is_a_stall() -> None:
    async def fall_silent(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
        await reader.read()

    async with raw_server(fall_silent) as server, pooled(server.url, stall_timeout_s=0.05) as pool:
        with pytest.raises(HttpError, match="no data for"):
            await pool.request("GET", "/", None)


async def test_a_response_that_arrived_while_the_loop_was_blocked_is_read() -> None:
    def answer() -> None:
        served, _ = listener.accept()
        with served:
            served.recv(1000)
            blocked.wait()
            served.sendall(OK)
            served.recv(1000)

    def block() -> None:
        ours.recv(1)
        blocked.set()
        time.sleep(0.7)  # Longer than any timeout.

    blocked = threading.Event()
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listener:
        server = asyncio.get_running_loop().run_in_executor(None, answer)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with pooled(url, timeout_s=0.5, stall_timeout_s=0.4) as pool:
            call = asyncio.ensure_future(pool.request("GET", "/", None))
            await asyncio.sleep(0.1)
            # In a socket callback: uvloop runs its timers next, and reads other sockets only then.
            asyncio.get_running_loop().add_reader(ours, block)
            theirs.send(b"x")
            assert (await call).body == b"ok"
            asyncio.get_running_loop().remove_reader(ours)
        await server


# ---- TLS.


async def test_requests_over_tls_share_a_connection(tmp_path: Path) -> None:
    pem = self_signed(tmp_path)
    trusting = ssl.create_default_context(cafile=str(pem))
    async with raw_server(OK, tls=serving(pem)) as server:
        for host in ("localhost", "127.0.0.1"):
            async with pooled(f"https://{host}:{server.port}", ssl_context=trusting) as pool:
                for _ in range(3):
                    assert (await pool.request("POST", "/", b"x" * 100_000)).body == b"ok"
        assert server.connections == 2


async def test_the_default_context_uses_the_environment_and_negotiates_http_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = self_signed(tmp_path)
    async with raw_server(OK, tls=serving(pem)) as server:
        async with pooled(f"https://localhost:{server.port}") as pool:
            with pytest.raises(HttpError, match=r"localhost:\d+ \(.*certificate") as caught:
                await pool.request("GET", "/", None)
            assert caught.value.fault == "connect"
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        async with pooled(f"https://localhost:{server.port}") as pool:
            assert (await pool.request("GET", "/", None)).body == b"ok"
        assert server.alpn == ["http/1.1"]


async def test_a_tls_server_may_close_the_connection_at_any_time(tmp_path: Path) -> None:
    async def hang_up(reader: StreamReader, writer: StreamWriter) -> None:
        writer.close()

    async def cut_short(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(OK[:-1])
        await writer.drain()
        writer.close()

    pem = self_signed(tmp_path)
    trusting = ssl.create_default_context(cafile=str(pem))
    async with (
        raw_server(hang_up, cut_short, OK, tls=serving(pem)) as server,
        pooled(f"https://localhost:{server.port}", ssl_context=trusting) as pool,
    ):
        for fault in ("connection", "truncated"):
            with pytest.raises(HttpError) as caught:
                await pool.request("GET", "/", None)
            assert caught.value.fault == fault
        await pool.request("GET", "/", None)
        server.writers[-1].close()
        await until(lambda: server.ended == 3)
        await asyncio.sleep(0.05)
        assert (await pool.request("GET", "/", None)).body == b"ok"


async def test_an_endless_tls_handshake_is_a_connect_timeout() -> None:
    async with raw_server(never) as server:
        url = f"https://localhost:{server.port}"
        async with pooled(url, connect_timeout_s=0.1) as pool:
            with pytest.raises(HttpError, match=r"no connection within 0\.1 s") as caught:
                await pool.request("GET", "/", None)
            assert caught.value.fault == "connection"


# ---- Closing.


async def test_closing_ends_requests_in_flight_and_all_later_ones() -> None:
    async with raw_server(OK, never) as server, pooled(server.url) as pool:
        await pool.request("GET", "/", None)
        calls = [asyncio.ensure_future(pool.request("GET", "/", None)) for _ in range(3)]
        await until(lambda: len(server.requests) == 4)
        await pool.close()
        assert not pool._open  # Each has reported that its socket is closed.
        for call in calls:
            with pytest.raises(HttpError, match="was closed"):
                await call
        await until(lambda: server.ended == 3)
        await pool.close()
        with pytest.raises(HttpError, match="was closed"):
            await pool.request("GET", "/", None)
