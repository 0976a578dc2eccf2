"""A scripted server that sends exact bytes and records what it receives."""

import asyncio
import gc
import socket
import ssl
import struct
from asyncio import AbstractEventLoopPolicy
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from article_flows.tasks.llm.transports.http_connection import HttpConnection
from article_flows.tasks.llm.transports.http_pool import HttpPool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

# pytest-asyncio's newer hook for this cannot be limited to one file.
SILENCED = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy")

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(
    params=[asyncio.DefaultEventLoopPolicy(), uvloop.EventLoopPolicy()], ids=["asyncio", "uvloop"]
)
def event_loop_policy(request: pytest.FixtureRequest) -> AbstractEventLoopPolicy:
    policy: AbstractEventLoopPolicy = request.param
    return policy


@dataclass(frozen=True)
class Say:
    """Bytes to send, and what happens to the connection afterwards."""

    data: bytes
    then: Literal["keep", "close", "reset"] = "keep"


@dataclass
class RawServer:
    """Sends its replies in turn, repeating the last; a handler takes over the connection."""

    replies: list[Say | bytes | Handler]
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    ended: int = 0
    alpn: list[str | None] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        secured = writer.get_extra_info("ssl_object")
        self.alpn.append(secured.selected_alpn_protocol() if secured else None)
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.ended += 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        reply = self.replies[min(len(self.requests), len(self.replies) - 1)]
        self.requests.append(head)
        if callable(reply):
            await reply(reader, writer)
            return False
        _, found, length = head.partition(b"Content-Length: ")
        if found:
            self.requests[-1] += await reader.readexactly(int(length.split(b"\r\n")[0]))
        say = Say(reply) if isinstance(reply, bytes) else reply
        writer.write(say.data)
        await writer.drain()
        if say.then == "reset":
            # Once the client has read the data.
            await asyncio.sleep(0.02)
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return say.then == "keep"


@asynccontextmanager
async def raw_server(
    *replies: Say | bytes | Handler,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[RawServer]:
    raw = RawServer(list(replies))
    server = await asyncio.start_server(raw.serve, host, 0, ssl=tls, limit=2**20)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        for writer in raw.writers:
            writer.transport.abort()


@asynccontextmanager
async def pooled(
    base_url: str,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 5.0,
    **more: Any,
) -> AsyncIterator[HttpPool]:
    pool = HttpPool(base_url, headers or {}, timeout_s=timeout_s, **more)
    try:
        yield pool
    finally:
        await pool.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait up to 5 s for a condition."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def connections_alive() -> int:
    """Return how many connection objects have not been freed."""
    return sum(isinstance(one, HttpConnection) for one in gc.get_objects())


def self_signed(folder: Path) -> Path:
    """Write a PEM file with a key and a self-signed certificate for this machine."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "self_signed.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    return pem


def serving(pem: Path) -> ssl.SSLContext:
    """Return a server's TLS context with that certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
