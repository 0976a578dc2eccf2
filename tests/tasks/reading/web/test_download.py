import asyncio
import gzip
import io
import socket
import zlib
from pathlib import Path

import pytest
from aiohttp import web

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.web import download as download_module
from article_flows.tasks.reading.web.download import download
from tests.tasks.reading.web.web_support import Site, body, redirect, status

DATA = bytes(range(256)) * 4_000


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "BASE_DELAY_S", 0.01)


def fetch(site: Site, path: str, max_bytes: int = 1 << 30) -> bytes:
    into = io.BytesIO()
    download(site.url(path), into, allow_hosts=[site.host], max_bytes=max_bytes)
    return into.getvalue()


def error_of(site: Site, path: str, allow: bool = True, max_bytes: int = 1 << 30) -> str:
    with pytest.raises(UserError) as raised:
        download(
            site.url(path),
            io.BytesIO(),
            allow_hosts=[site.host] if allow else [],
            max_bytes=max_bytes,
        )
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)
    return str(raised.value)


def test_a_file_is_written_from_the_current_position(tmp_path: Path) -> None:
    with Site({"/a.csv": body(DATA, "text/csv; charset=gb18030")}) as site:
        with (tmp_path / "a").open("w+b") as into:
            into.write(b"before")
            download(site.url("/a.csv"), into, allow_hosts=[site.host])
        assert (tmp_path / "a").read_bytes() == b"before" + DATA
        assert "article-flows/" in site.requests[0].headers["User-Agent"]


async def test_a_download_works_in_a_thread_with_a_running_event_loop() -> None:
    with Site({"/a": body(DATA)}) as site:
        assert fetch(site, "/a") == DATA


def test_redirects_are_followed() -> None:
    with Site({"/a": redirect("b?x=1"), "/b": redirect("/c"), "/c": body(DATA)}) as site:
        assert fetch(site, "/a") == DATA
        assert site.counts == {"/a": 1, "/b": 1, "/c": 1}


def test_circular_endless_and_invalid_redirects_are_rejected() -> None:
    handlers = {f"/{hop}": redirect(f"/{hop + 1}") for hop in range(20)}
    circle = {"/x": redirect("/y"), "/y": redirect("/x"), "/f": redirect("file:///etc/passwd")}
    with Site({**handlers, **circle}) as site:
        assert "more than 10 times" in error_of(site, "/0?token=secret")
        assert "in a circle" in error_of(site, "/x")
        assert "redirects to a location that is not an http or https URL (file:)" in error_of(
            site, "/f"
        )
        assert site.counts["/x"] == 1


def test_a_private_address_is_rejected_before_connecting() -> None:
    with Site({"/a": body(DATA)}) as site:
        words = error_of(site, "/a?token=secret", allow=False)
        assert "leads to the private address 127.0.0.1" in words
        assert "--allow-host 127.0.0.1" in words
        assert not site.counts


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
def test_a_redirect_to_a_private_address_is_rejected(host: str) -> None:
    with Site({"/a": body(DATA)}) as inner:
        port = inner.host.partition(":")[2]
        with Site({"/": redirect(f"http://{host}:{port}/a")}) as outer:
            assert "leads to the private address" in error_of(outer, "/")
        assert not inner.counts


def test_a_public_name_with_a_private_address_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def answer(host: str, *arguments: object, **named: object) -> object:
        known = "127.0.0.1" if host == "news.example.org" else host
        return real(known, *arguments, **named)  # type: ignore[arg-type]  # Passed on.

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with Site({"/a": body(DATA)}) as site:
        url = f"http://news.example.org:{site.host.partition(':')[2]}/a"
        with pytest.raises(UserError, match=r"127\.0\.0\.1; .*--allow-host news\.example\.org"):
            download(url, io.BytesIO())
        assert not site.counts
        into = io.BytesIO()
        download(url, into, allow_hosts=["news.example.org"])
        assert into.getvalue() == DATA


def test_the_environment_proxy_is_used_only_for_named_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Site({"/a": body(DATA)}) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.host}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        into = io.BytesIO()
        download("http://nowhere.invalid/a", into, allow_hosts=["nowhere.invalid"])
        assert into.getvalue() == DATA
        monkeypatch.setattr(download_module, "ATTEMPTS", 1)
        with pytest.raises(UserError, match=r"unknown host name; proxies .*--allow-host"):
            download("http://nowhere.invalid/a", io.BytesIO())
        assert proxy.counts.total() == 1


def test_temporary_failures_are_retried() -> None:
    with Site({"/a": status(503, 429, 500, then="here", Retry_After="0")}) as site:
        assert fetch(site, "/a") == b"here"
        assert site.counts["/a"] == 4


def test_permanent_failures_are_reported() -> None:
    with Site({"/e": status(*[502] * 9), "/g": status(410), "/p": status(401)}) as site:
        assert "server error (502) (5 attempts)" in error_of(site, "/e?k=secret")
        assert "does not exist (404)" in error_of(site, "/none")
        assert "is gone (410)" in error_of(site, "/g")
        assert "requires a password (401)" in error_of(site, "/p")
        assert site.counts["/none"] == 1


def breaking(
    breaks: int, etags: list[str] | None = None, ranges: bool = True
) -> "tuple[list[str], object]":
    """Send half of the requested range and break the connection, the first `breaks` times."""
    requested: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        requested.append(request.headers.get("Range", ""))
        etag = (etags or ['"1"'])[min(len(requested), len(etags or [1])) - 1]
        start = 0
        if ranges and requested[-1] and request.headers["If-Range"] == etag:
            start = int(requested[-1].removeprefix("bytes=").removesuffix("-"))
        response = web.StreamResponse(status=206 if start else 200, headers={"ETag": etag})
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        response.content_length = len(DATA) - start
        await response.prepare(request)
        if len(requested) <= breaks:
            await response.write(DATA[start : start + (len(DATA) - start) // 2])
            await asyncio.sleep(0.05)
            assert request.transport is not None
            request.transport.abort()
        else:
            await response.write(DATA[start:])
        return response

    return requested, handler


def test_an_interrupted_download_is_resumed() -> None:
    requested, handler = breaking(3)
    with Site({"/a": handler}) as site:  # type: ignore[dict-item]  # A handler it is.
        assert fetch(site, "/a") == DATA
    assert requested[0] == ""
    starts = [int(each.removeprefix("bytes=").removesuffix("-")) for each in requested[1:]]
    assert len(starts) == 3
    assert 0 < starts[0] < starts[1] < starts[2]


def test_a_file_that_changes_during_the_download_is_restarted() -> None:
    requested, handler = breaking(1, ['"1"', '"2"'])
    with Site({"/a": handler}) as site:  # type: ignore[dict-item]  # A handler it is.
        assert fetch(site, "/a") == DATA
    assert len(requested) == 2


def test_a_download_restarts_if_the_server_ignores_ranges() -> None:
    _, handler = breaking(1, ranges=False)
    with Site({"/a": handler}) as site:  # type: ignore[dict-item]  # A handler it is.
        assert fetch(site, "/a") == DATA


def test_the_size_limit_applies_to_declared_and_undeclared_sizes() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    with Site({"/declared": body(DATA), "/endless": endless}) as site:
        assert "more than 1,000 bytes" in error_of(site, "/declared", max_bytes=1_000)
        assert "more than 300,000 bytes" in error_of(site, "/endless", max_bytes=300_000)
        assert fetch(site, "/declared", max_bytes=len(DATA)) == DATA


def test_compressed_bodies_are_decompressed_within_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    raw = zlib.compressobj(wbits=-15)
    deflated = raw.compress(DATA) + raw.flush()
    handlers = {
        "/bomb": body(bomb, Content_Encoding="gzip"),
        "/gzip": body(gzip.compress(DATA) + gzip.compress(DATA), Content_Encoding="gzip"),
        "/zlib": body(zlib.compress(DATA), Content_Encoding="deflate"),
        "/raw": body(deflated, Content_Encoding="deflate"),
        "/cut": body(gzip.compress(DATA)[:-20], Content_Encoding="gzip"),
        "/bad": body(b"\x1f\x8b garbage", Content_Encoding="gzip"),
        "/odd": body(b"?", Content_Encoding="compress"),
        "/a.csv.gz": body(gzip.compress(DATA), Content_Encoding="gzip"),
    }
    with Site(dict(handlers)) as site:
        assert "more than 1,000,000 bytes" in error_of(site, "/bomb", max_bytes=1_000_000)
        assert len(fetch(site, "/bomb")) == 50_000_000
        assert fetch(site, "/gzip") == DATA * 2
        assert fetch(site, "/zlib") == fetch(site, "/raw") == DATA
        assert "ended in the middle of its compressed body" in error_of(site, "/cut")
        assert "corrupt compressed body" in error_of(site, "/bad")
        assert "encoded as compress" in error_of(site, "/odd")
        assert gzip.decompress(fetch(site, "/a.csv.gz")) == DATA


def test_a_refused_connection_is_reported() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UserError, match="cannot be connected to"):
            download(f"http://{host}/", io.BytesIO(), allow_hosts=[host])


def test_a_write_error_is_raised_without_a_retry() -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    with Site({"/a": body(DATA)}) as site:
        with pytest.raises(OSError, match="No space left"):
            download(site.url("/a"), Full(), allow_hosts=[site.host])
        assert site.counts["/a"] == 1
