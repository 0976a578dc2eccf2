import gzip
from pathlib import Path

import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import RecordChunk, Reject, Source
from article_flows.tasks.reading.formats.registry import format_of, read
from article_flows.tasks.reading.formats.urls import (
    is_clearly_urls,
    looks_like_sitemap,
    looks_like_urls,
)
from tests.tasks.reading.web.web_support import Handler, Site, body, page, redirect

NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def load(path: Path, *sites: Site) -> tuple[dict[int, dict[str, object]], dict[int, Reject]]:
    file = LocalFile(path)
    source = Source(
        file,
        path.name,
        format_of(file, path.name),
        allow_hosts=tuple(site.host for site in sites),
    )
    rows: dict[int, dict[str, object]] = {}
    rejects: dict[int, Reject] = {}
    for chunk in read(source):
        assert isinstance(chunk, RecordChunk)
        rows.update(zip(chunk.rows, chunk.records, strict=True))
        rejects.update({each.row: each for each in chunk.rejects})
    assert not set(rows) & set(rejects)
    return rows, rejects


def urlset(*entries: tuple[str, str]) -> str:
    listed = "".join(
        f"<url><loc>{url}</loc>{f'<lastmod>{date}</lastmod>' if date else ''}"
        '<i:image xmlns:i="http://www.google.com/schemas/sitemap-image/1.1">'
        "<i:loc>http://10.0.0.1/image.png</i:loc></i:image></url>"
        for url, date in entries
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset {NAMESPACE}>{listed}</urlset>'


def index(*urls: str) -> str:
    listed = "".join(f"<sitemap><loc>{url}</loc></sitemap>" for url in urls)
    return f"<sitemapindex {NAMESPACE}>{listed}</sitemapindex>"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_of_urls_is_fetched(tmp_path: Path, encoding: str) -> None:
    with Site({"/a": page("A"), "/b": page("B")}) as site:
        lines = ["# my list", site.url("/a"), "", "  " + site.url("/b") + "\r", site.url("/none")]
        lines += [site.url("/a"), "http://x/" + "y" * 9_000]
        path = write(tmp_path, "list.txt", "\n".join(lines).encode(encoding))
        rows, rejects = load(path, site)
    assert {row: record["title"] for row, record in rows.items()} == {2: "A", 4: "B"}
    assert sorted(rejects) == [5, 6, 7]
    assert "row 2" in rejects[6].reason
    assert "8,192 characters" in rejects[7].reason


def test_lines_without_a_url_are_rejected(tmp_path: Path) -> None:
    lines = ["http://10.0.0.1/a"] * 1 + [f"http://10.0.0.{each}/" for each in range(2, 20)]
    path = write(tmp_path, "a.urls", "\n".join([*lines, "www.example.org/a"]))
    rows, rejects = load(path)
    assert not rows
    assert len(rejects) == 20
    assert "private address 10.0.0.7; if that is intended, allow it" in rejects[7].reason
    assert "not an http" in rejects[20].reason


def test_lists_of_urls_are_detected() -> None:
    assert looks_like_urls(b"https://a.org/x\n")
    assert looks_like_urls(b"# c\nurl\nhttps://a.org/x\nhttps://a.org/y\n")
    assert is_clearly_urls("https://a.org/x\r\nhttps://a.org/y".encode("utf-16"))
    assert not is_clearly_urls(b"https://a.org/x\n")
    for other in (b"", b"Read https://a.org\n", b"url,title\nhttps://a.org,A\nhttps://b.org,B\n"):
        assert not looks_like_urls(other)
    assert not looks_like_urls(b"Text.\nhttps://a.org/x\nMore text.\nEven more.\n")


def test_a_sitemap_yields_its_pages_with_their_dates(tmp_path: Path) -> None:
    with Site({"/a": page("A", date=""), "/b": page("B")}) as site:
        content = urlset((site.url("/a"), "2019-03-01"), (site.url("/b"), "2019-03-02"), ("", ""))
        rows, rejects = load(write(tmp_path, "sitemap.xml", content), site)
    assert rows[1]["date"] == "2019-03-01"
    assert rows[2]["date"] == "2020-05-04"
    assert rejects[3].reason == "an entry without a URL"
    assert len(rows) + len(rejects) == 3


def test_a_sitemap_index_yields_the_pages_of_all_its_sitemaps(tmp_path: Path) -> None:
    with Site() as site:
        pages = {f"/{each}": page(each) for each in "abcd"}
        doctype = '<!DOCTYPE urlset [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
        bomb = urlset(("&b;", "")).replace("<urlset", f"{doctype}<urlset", 1)
        inner: dict[str, Handler | str] = {
            "/1.xml": body(urlset((site.url("/a"), "")).encode(), "text/xml"),
            "/2.xml.gz": body(gzip.compress(urlset((site.url("/b"), "")).encode())),
            "/3.xml": body(index(site.url("/4.xml"), site.url("/1.xml")).encode()),
            "/4.xml": body(urlset((site.url("/c"), ""), (site.url("/d"), "")).encode()),
            "/bomb.xml": bomb,
            "/html.xml": "<html><body>Not here</body></html>",
            "/cut.xml": urlset((site.url("/a"), ""))[:-5],
            "/away.xml": redirect("http://127.0.0.2:9/"),
        }
        site.handlers.update(pages | inner)
        names = ["1.xml", "2.xml.gz", "3.xml", "bomb.xml", "html.xml", "cut.xml", "away.xml"]
        urls = [site.url(f"/{name}") for name in [*names, "none.xml"]]
        rows, rejects = load(write(tmp_path, "index.xml", index(*urls)), site)
    assert sorted(str(record["title"]) for record in rows.values()) == ["a", "b", "c", "d"]
    reasons = " | ".join(each.reason for each in rejects.values())
    for words in (
        "a sitemap that was listed before",
        "a sitemap that has a DOCTYPE",
        "a sitemap that is not a sitemap",
        "a sitemap that is not well-formed XML",
        "a sitemap that leads to the private address 127.0.0.2",
        "a sitemap that does not exist (404)",
    ):
        assert words in reasons, words
    # The page in the truncated sitemap repeats an earlier one; it is yielded before the error.
    assert len(rejects) == 7
    assert sorted({*rows, *rejects}) == list(range(1, 12))


def test_sitemaps_that_are_too_deep_too_long_or_too_large_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from article_flows.tasks.reading.web import sitemap as web_sitemap

    monkeypatch.setattr(web_sitemap, "MAX_FILE_URLS", 5)
    with Site() as site:
        for depth in range(9):
            site.handlers[f"/{depth}"] = index(site.url(f"/{depth + 1}"))
        _, rejects = load(write(tmp_path, "deep.xml", index(site.url("/0"))), site)
        assert [each.reason for each in rejects.values()] == ["a sitemap more than 3 levels deep"]
        many = urlset(*((f"http://10.0.0.1/{each}", "") for each in range(9)))
        _, rejects = load(write(tmp_path, "many.xml", many))
        assert len(rejects) == 6
        assert "the rest is not read" in rejects[6].reason
        monkeypatch.setattr(web_sitemap, "MAX_URLS", 3)
        with pytest.raises(UserError, match=r"many\.xml lists more than 3 URLs"):
            load(write(tmp_path, "many.xml", many))
        monkeypatch.setattr(web_sitemap, "MAX_FILE_BYTES", 100)
        with pytest.raises(UserError, match=r"many\.xml has more than 100 bytes"):
            load(tmp_path / "many.xml")


def test_a_truncated_sitemap_yields_the_pages_before_the_truncation(tmp_path: Path) -> None:
    with Site({"/a": page("A")}) as site:
        content = urlset((site.url("/a"), ""), (site.url("/b"), ""))[:-40]
        file = LocalFile(write(tmp_path, "cut.xml", content))
        source = Source(file, "cut.xml", "sitemap", allow_hosts=(site.host,))
        chunks = read(source)
        assert len(next(chunks)) >= 1
        with pytest.raises(UserError, match=r"cut\.xml is not well-formed XML"):
            next(chunks)


def test_sitemaps_are_detected() -> None:
    assert looks_like_sitemap(urlset().encode())
    assert looks_like_sitemap(b"\xef\xbb\xbf<!-- <rss> -->\n" + index().encode())
    assert looks_like_sitemap(urlset().encode("utf-16"))
    assert not looks_like_sitemap(b"<rss><urlset/></rss>")
    assert not looks_like_sitemap(b"urlset")
