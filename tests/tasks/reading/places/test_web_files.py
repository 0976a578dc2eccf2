"""Sources on the web are downloaded once, and secrets in their URLs are never shown."""

import gzip
import io
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.formats.registry import read
from article_flows.tasks.reading.places.web_files import WebFile
from article_flows.tasks.reading.sources.find import find_sources

LINE = b'{"body": "Some text"}\n'


class Site(ThreadingHTTPServer):
    """Serves some files, and counts the requests by path."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.requests: Counter[str] = Counter()
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requests[path] += 1
        if to := self.server.redirects.get(path):
            self.send_response(302)
            self.send_header("Location", to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = self.server.files.get(path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def bodies(*specs: str) -> list[str]:
    return [
        record["body"]
        for source in find_sources(list(specs))
        for chunk in read(source)
        for record in chunk.head(10**6)
    ]


def error_of(*specs: str) -> str:
    with pytest.raises(UserError) as error:
        find_sources(list(specs))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_is_downloaded_once_for_all_reads(site: Site) -> None:
    site.files["/a/b.jsonl"] = LINE * 3
    url = f"{site.url}/a/b.jsonl?signature=secret"
    (source,) = find_sources([url])
    assert (source.name, source.format) == (f"{site.url}/a/b.jsonl", "jsonl")
    assert bodies(url) == ["Some text"] * 3
    with source.file.open() as one, source.file.open_seekable() as other:
        assert one.read(5) == other.read(5) == LINE[:5]
        other.seek(-4, io.SEEK_END)
        assert other.read() == LINE[-4:]
        assert one.readline() == LINE[5:]
    assert site.requests["/a/b.jsonl"] == 1


def test_many_threads_download_it_once(site: Site) -> None:
    site.files["/a.jsonl"] = LINE * 1_000
    file = WebFile(f"{site.url}/a.jsonl")
    contents: list[bytes] = []

    def look() -> None:
        with file.open() as handle:
            contents.append(handle.read())

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents == [LINE * 1_000] * 8
    assert site.requests["/a.jsonl"] == 1


def test_compressed_files_and_archives_are_read(site: Site) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/a.jsonl", LINE)
        archive.writestr("x/b.csv", "id,body\n1,b\n")
    site.files |= {"/a.jsonl.gz": gzip.compress(LINE), "/export": file.getvalue()}
    assert bodies(f"{site.url}/a.jsonl.gz", f"{site.url}/export") == ["Some text", "Some text", "b"]
    names = [source.name for source in find_sources([f"{site.url}/export"])]
    assert names == [f"{site.url}/export/x/a.jsonl", f"{site.url}/export/x/b.csv"]


def test_urls_that_differ_in_their_query_are_two_sources(site: Site) -> None:
    site.files["/a.jsonl"] = LINE
    url = f"{site.url}/a.jsonl"
    names = [source.name for source in find_sources([f"{url}?page=1", f"{url}?page=2", url])]
    assert names == [url, f"{url} (2)", f"{url} (3)"]


def test_messages_contain_no_secret(site: Site) -> None:
    url = f"http://user:hidden@127.0.0.1:{site.server_port}/none.jsonl?signature=hidden"
    assert "hidden" not in (said := error_of(url))
    assert said.startswith(f"{site.url}/none.jsonl ")
    assert "404" in said
    assert "hidden" not in error_of("ftp://user:hidden@example.org/a?b=hidden")


def test_a_redirect_to_a_private_host_is_rejected_unless_allowed(site: Site) -> None:
    site.files["/a.jsonl"] = LINE
    site.redirects["/here"] = "/a.jsonl"
    assert bodies(f"{site.url}/here") == ["Some text"]
    with Site() as other:
        site.redirects["/there"] = f"{other.url}/a.jsonl"
        said = error_of(f"{site.url}/there")
        assert "private address 127.0.0.1" in said
        assert not other.requests


def test_an_unreachable_host_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("article_flows.tasks.reading.web.download.ATTEMPTS", 1)
    assert error_of("http://127.0.0.1:1/a.jsonl").startswith("http://127.0.0.1:1/a.jsonl ")
