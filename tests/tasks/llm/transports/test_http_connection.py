"""Responses as servers send them: complete, broken, and split at any byte."""

import asyncio
import contextlib
import gzip
import zlib
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from article_flows.tasks.llm.transports.http_connection import HttpConnection
from article_flows.tasks.llm.transports.http_response import HttpError, Response
from tests.tasks.llm.transports.http_support import OK, Say, pooled, raw_server


class Wire(asyncio.Transport):
    """A transport that records what is written, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = True


async def ending(pieces: list[bytes], *, eof: bool = True) -> Response | HttpError:
    """Return how a request ends whose response arrives in these pieces, then the end of stream."""
    connection = HttpConnection(lambda _: None)
    connection.connection_made(Wire())
    waiter = connection.send(b"GET / HTTP/1.1\r\n\r\n")
    for piece in pieces:
        if piece and connection.busy:
            connection.data_received(piece)
    if eof:
        connection.eof_received()
        connection.connection_lost(None)
    assert waiter.done()
    error = waiter.exception()
    return cast(HttpError, error) if error else waiter.result()


def chunked(*parts: bytes) -> bytes:
    chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in (*parts,))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nA: b\r\n\r\n"


def compressed(body: bytes, encoding: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nCONTENT-ENCODING: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Encoding: br\r\n\r\n"
TEXT = b"The council approved the bridge. " * 50
BOMB = gzip.compress(bytes(17 << 20))


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        (OK, 200, b"ok"),
        (b"HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n", 500, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"\r\n" + OK, 200, b"ok"),
        (chunked(b"o", b"k"), 200, b"ok"),
        (chunked(TEXT, b"x" * 70_000), 200, TEXT + b"x" * 70_000),
        (EARLY + b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok"),
        (EARLY + chunked(b"o", b"k"), 200, b"ok"),
        (Say(b"HTTP/1.0 200 OK\r\n\r\nok", "close"), 200, b"ok"),
        (Say(b"HTTP/1.0 200 OK\r\n\r\n", "close"), 200, b""),
        (Say(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", "close"), 200, b"ok"),
        (Say(b"HTTP/1.1 200 OK\r\n\r\n" + TEXT, "close"), 200, TEXT),
        (
            b"HTTP/1.1 200 OK\r\nUpgrade: h2\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok",
            200,
            b"ok",
        ),
        (compressed(gzip.compress(TEXT), "gzip"), 200, TEXT),
        (compressed(gzip.compress(TEXT) * 2, "x-gzip"), 200, TEXT * 2),
        (compressed(zlib.compress(TEXT), "deflate"), 200, TEXT),
        (compressed(raw_deflate(TEXT), "Deflate"), 200, TEXT),
        (compressed(gzip.compress(zlib.compress(TEXT)), "deflate, gzip"), 200, TEXT),
        (compressed(b"ok", "identity"), 200, b"ok"),
        (compressed(b"", "gzip"), 200, b""),
        (b"HTTP/1.1 200 OK\r\nX-Content-Encoding: br\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    ],
)
async def test_a_complete_response_is_returned(sent: bytes | Say, status: int, body: bytes) -> None:
    async with raw_server(sent) as server, pooled(server.url) as pool:
        for _ in range(2):
            answer = await pool.request("GET", "/", None)
            assert (answer.status, answer.body) == (status, body)


LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "fault", "words"),
    [
        (Say(b"", "close"), "connection", "without a response"),
        (Say(b"", "reset"), "connection", "reset|Connection"),
        (Say(LONG + b"x", "reset"), "connection", "reset|Connection"),
        (Say(LONG + b"x", "close"), "truncated", "cut short"),
        (Say(b"HTTP/1.1 200 OK\r\nConte", "close"), "truncated", "cut short"),
        (Say(b"HTTP/1.1 100 Continue\r\n\r\n", "close"), "truncated", "cut short"),
        (Say(chunked(TEXT)[:-20], "close"), "truncated", "cut short"),
        (chunked(b"x").replace(b"1;", b"zz;"), "truncated", "malformed"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "connection", "not speak HTTP/1.1: SSH-2.0"),
        (b"HTTP/2 200 OK\r\n\r\n", "connection", "not speak HTTP/1.1"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "connection", "not speak HTTP/1.1"),
        (
            b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "connection",
            "not speak HTTP/1.1",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok",
            "connection",
            "not speak HTTP/1.1",
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (257 << 10), "connection", "headers are too long"),
        (b"HTTP/1.1 103 Hints\r\nX: " + b"x" * 9_000 + b"\r\n\r\n", "truncated", "cut short"),
        (LONG.replace(b"1000", b"17000000") + bytes(17_000_000), "too_large", "over 16 MiB"),
        (Say(b"HTTP/1.0 200 OK\r\n\r\n" + bytes(17_000_000), "close"), "too_large", "over 16 MiB"),
        (compressed(BOMB, "gzip"), "too_large", "over 16 MiB"),
        (compressed(gzip.compress(BOMB), "gzip, gzip"), "too_large", "over 16 MiB"),
        (compressed(gzip.compress(TEXT)[:-9], "gzip"), "truncated", "cut short"),
        (compressed(b"\x1f\x8b" + TEXT, "gzip"), "truncated", "malformed"),
        (compressed(TEXT, "br"), "connection", "compressed with br"),
    ],
)
async def test_a_broken_response_is_an_error(sent: bytes | Say, fault: str, words: str) -> None:
    say = sent if isinstance(sent, Say) or words != "cut short" else Say(sent, "close")
    async with raw_server(say, OK) as server, pooled(server.url) as pool:
        with pytest.raises(HttpError, match=words) as caught:
            await pool.request("GET", "/", None)
        assert caught.value.fault == fault
        assert (await pool.request("GET", "/", None)).body == b"ok"
        assert server.connections == 2


async def test_headers_are_found_in_any_case_and_only_in_the_head() -> None:
    early = b"\r\nHTTP/1.1 103 Hints\r\nX-Early: 1\r\n\r\n"
    sent = (
        b"HTTP/1.1 429 Slow\r\nX-RateLimit-Reset:  6m0s \r\nLOCATION: /A\r\nretry-after: 1\r\n"
        b"Retry-After: 2\r\nContent-Length: 14\r\nX-Odd: \xff\r\n\r\n\r\nX-Body: 1\r\n\r\n"
    )
    answer = await ending([early + sent])
    assert isinstance(answer, Response)
    assert answer.headers == {
        "x-ratelimit-reset": "6m0s",
        "location": "/A",
        "retry-after": "1",
        "content-length": "14",
        "x-odd": "\N{REPLACEMENT CHARACTER}",
    }
    assert answer.mentions(b"x-ratelimit-")
    assert not answer.mentions(b"x-body")
    assert not answer.mentions(b"x-early")
    after_a_blank_line = await ending([b"\r\n" + sent])
    assert isinstance(after_a_blank_line, Response)
    assert after_a_blank_line.headers == answer.headers


# ---- Split at any byte.


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(marks)]


HEADERS = st.lists(
    st.tuples(
        st.text("abcXYZ-", min_size=1, max_size=8).map(lambda name: f"x-{name}"),
        st.text("abc 019;=\t", max_size=8),
    ),
    max_size=4,
)


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, int, bytes, dict[str, str]]:
    """A valid response, and its status, body and headers."""
    status = draw(st.sampled_from([200, 400, 429, 500]))
    body = draw(st.binary(max_size=200))
    more = {name.lower(): value.strip() for name, value in reversed(draw(HEADERS))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in more.items())
    framing = draw(st.sampled_from(["length", "chunked", "end"]))
    wire = body
    if framing == "length":
        lines += f"Content-Length: {len(body)}\r\n"
    elif framing == "chunked":
        lines += "Transfer-Encoding: chunked\r\n"
        parts = [part for part in cut(body, draw(st.lists(st.integers(0, 200)))) if part]
        wire = b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", EARLY]))
    head = f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode()
    return interim + head + wire, status, body, more


@given(answers(), st.lists(st.integers(0, 2_000), max_size=12), st.booleans())
async def test_a_response_is_the_same_in_any_pieces(
    answer: tuple[bytes, int, bytes, dict[str, str]], places: list[int], by_byte: bool
) -> None:
    raw, status, body, headers = answer
    pieces = [raw[n : n + 1] for n in range(len(raw))] if by_byte else cut(raw, places)
    response = await ending(pieces)
    assert isinstance(response, Response)
    assert (response.status, response.body) == (status, body)
    assert headers.items() <= response.headers.items()
    assert set(response.headers) - set(headers) <= {"content-length", "transfer-encoding"}


@given(answers(), st.integers(0, 2_000))
async def test_a_truncated_response_is_never_taken_for_complete(
    answer: tuple[bytes, int, bytes, dict[str, str]], place: int
) -> None:
    raw, status, body, _ = answer
    short = raw[: place % len(raw)]
    response = await ending([short])
    if isinstance(response, Response):
        # Only if the end of the connection is the end of the body.
        assert not {"content-length", "transfer-encoding"} & response.headers.keys()
        assert body.startswith(response.body)
        assert response.status == status


@given(st.lists(st.binary(max_size=60) | st.sampled_from([OK, EARLY, b"HTTP/1.1 ", b"\r\n\r\n"])))
@example([b"HTTP/1.1 200 OK\r\nContent-Encoding\r\n\r\n"])
@example([b"HTTP/1.1 101 x\r\n\r\n", OK])
async def test_any_bytes_give_a_response_or_an_error(pieces: list[bytes]) -> None:
    assert isinstance(await ending(pieces), Response | HttpError)


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "gzip, deflate", "br", ","]))
def test_any_compressed_body_is_decompressed_or_an_error(body: bytes, encoding: str) -> None:
    with contextlib.suppress(HttpError):
        assert isinstance(Response(200, {b"content-encoding": encoding.encode()}, body).body, bytes)


async def test_a_connection_accepts_one_request_at_a_time_and_none_when_closed() -> None:
    lost: list[Any] = []
    connection = HttpConnection(lost.append)
    wire = Wire()
    connection.connection_made(wire)
    connection.send(b"one")
    with pytest.raises(HttpError, match="in use"):
        connection.send(b"two")
    connection.abort(HttpError("timeout", "late"))
    connection.connection_lost(None)
    with pytest.raises(HttpError, match="closed"):
        connection.send(b"three")
    assert (wire.written, wire.aborted, lost) == (b"one", True, [connection])
