import asyncio
import gzip
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from time import monotonic

import pytest
from aiohttp import web

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.rows import Reject, Row
from article_flows.tasks.reading.web.fetch import FetchLimits, UrlEntry, fetch_articles
from tests.tasks.reading.web.web_support import QUICK, Handler, Site, body, page, redirect, status


def fetch(
    urls: Iterable[UrlEntry], *sites: Site, limits: FetchLimits = QUICK
) -> dict[int, Row | Reject]:
    found: dict[int, Row | Reject] = {}
    for each in fetch_articles(urls, allow_hosts=[site.host for site in sites], limits=limits):
        number = each.number if isinstance(each, Row) else each.row
        assert number not in found
        found[number] = each
    return found


def reason(found: Row | Reject) -> str:
    assert isinstance(found, Reject), found
    return found.reason


def record(found: Row | Reject) -> dict[str, object]:
    assert isinstance(found, Row), found
    return found.record


def numbered(site: Site, *paths: str) -> list[tuple[int, str]]:
    return [(number, site.url(path)) for number, path in enumerate(paths, start=1)]


def test_a_page_becomes_its_article() -> None:
    with Site({"/a": page("The bridge")}) as site:
        found = record(fetch(numbered(site, "/a#top"), site)[1])
        text = str(found.pop("text"))
        assert "On day 5 the council of The bridge met" in text
        assert "About us" not in text
        assert "rights reserved" not in text
        assert found == {
            "url": site.url("/a"),
            "title": "The bridge",
            "author": "Ann Lee",
            "date": "2020-05-04",
            "language": "en-GB",
        } | {name: found[name] for name in ("sitename",) if name in found}


def test_every_url_gives_exactly_one_result() -> None:
    handlers: dict[str, Handler | str] = {
        "/ok": page("One"),
        "/moved": redirect("/ok2"),
        "/ok2": page("Two"),
        "/pdf": body(b"%PDF", "application/pdf"),
        "/empty": "",
        "/bare": "<html><body></body></html>",
        "/binary": body(bytes(range(256)) * 40, "text/html"),
        "/large": body(b"x" * 300_000),
        "/bomb": body(gzip.compress(bytes(9_000_000)), Content_Encoding="gzip"),
        "/plain": body("Nur ein Wort für sich.".encode(), "text/plain"),
        "/loop": redirect("/loop"),
        "/deep": "<div>" * 50_000 + page("Deep"),
        "/many": "<html><body>" + "<p>x</p>" * 200_001,
    }
    paths = ["/ok", "/moved", "/none", *list(handlers)[3:], "/ok"]
    odd = ["", "no url", "ftp://x/y", "http://\ud800/", "http://[", "http://10.0.0.1/x"]
    with Site(handlers) as site:
        entries: list[UrlEntry] = [*numbered(site, *paths)]
        entries += [(100 + number, url) for number, url in enumerate(odd)]
        entries.append(Reject(200, "was none before", "raw"))
        found = fetch(entries, site, limits=replace(QUICK, page_bytes=2_000_000))
        assert sorted(found) == sorted([*range(1, len(paths) + 1), *range(100, 106), 200])
        by_path = dict(zip(paths[:-1], (found[at] for at in range(1, len(paths))), strict=True))
        assert record(by_path["/moved"])["title"] == "Two"
        assert record(by_path["/moved"])["url"] == site.url("/moved")
        assert record(by_path["/plain"])["text"] == "Nur ein Wort für sich."
        assert "does not exist (404)" in reason(by_path["/none"])
        assert "application/pdf" in reason(by_path["/pdf"])
        assert "empty page" in reason(by_path["/empty"])
        assert "no main text" in reason(by_path["/bare"])
        assert "not text" in reason(by_path["/binary"])
        assert "2,000,000 bytes" in reason(by_path["/bomb"])
        assert "in a circle" in reason(by_path["/loop"])
        assert "elements" in reason(by_path["/many"])
        assert reason(found[len(paths)]) == "is the same URL as in row 1"
        assert all("URL" in reason(found[100 + at]) for at in range(5))
        assert "private address 10.0.0.1" in reason(found[105])
        assert found[200] == Reject(200, "was none before", "raw")
        assert site.counts["/ok"] == 1


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("text/html; charset=gb18030", "gb18030"),
        ("text/html", "utf-8"),
        ("text/html; charset=iso-8859-1", "utf-8"),
        ("text/html; charset=none-such", "utf-16"),
        ("text/html; charset=gb2312", "gb18030"),
        ("text/html; charset=x-gbk", "gb18030"),
        ("text/html; charset=utf-8", "gb18030"),
    ],
)
def test_pages_are_decoded_by_header_mark_or_trial(kind: str, sent: str) -> None:
    words = "议会投票决定修建桥梁 café"
    with Site({"/a": body(page("桥", words).encode(sent), kind)}) as site:
        found = record(fetch(numbered(site, "/a"), site)[1])
    assert words in str(found["text"])
    assert found["title"] == "桥"


def test_a_page_is_decoded_by_its_meta_element() -> None:
    html = page("Мост", "совет решил").replace("utf-8", "windows-1251")
    with Site({"/a": body(html.encode("cp1251"), "text/html")}) as site:
        assert "совет решил" in str(record(fetch(numbered(site, "/a"), site)[1])["text"])


def test_temporary_failures_are_retried_and_permanent_ones_reported() -> None:
    handlers: dict[str, Handler | str] = {
        "/a": status(503, 429, then=page("A"), Retry_After="0"),
        "/b": status(*[500] * 9),
    }
    with Site(handlers) as site:
        found = fetch(numbered(site, "/a", "/b"), site)
        assert record(found[1])["title"] == "A"
        assert "(500) (3 attempts)" in reason(found[2])
        assert site.counts["/b"] == 3


def test_a_slow_page_times_out() -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        with suppress(ConnectionError):
            for _ in range(1_000):
                await response.write(b"<p>")
                await asyncio.sleep(0.05)
        return response

    with Site({"/slow": slow}) as site:
        limits = replace(QUICK, page_s=0.3, attempts=1)
        assert "did not respond in time" in reason(
            fetch(numbered(site, "/slow"), site, limits=limits)[1]
        )


def test_robots_txt_is_obeyed_for_redirects_too() -> None:
    rules = body(b"User-agent: *\nDisallow: /private\nDisallow: /*.cgi\n", "text/plain")
    with Site(
        {
            "/robots.txt": rules,
            "/a": page("A"),
            "/private/b": page("B"),
            "/c": redirect("/private/b"),
        }
    ) as site:
        found = fetch(numbered(site, "/a", "/private/b", "/c", "/x.cgi"), site)
        assert record(found[1])["title"] == "A"
        assert all("robots.txt" in reason(found[row]) for row in (2, 3, 4))
        assert site.counts == {"/robots.txt": 1, "/a": 1, "/c": 1}
        free = fetch(numbered(site, "/private/b"), site, limits=replace(QUICK, robots=False))
        assert record(free[1])["title"] == "B"


def test_robots_txt_rules_for_our_name_apply() -> None:
    rules = b"User-agent: article-flows\nDisallow: /\n\nUser-agent: *\nDisallow:\n"
    with Site({"/robots.txt": body(rules, "text/plain"), "/a": page("A")}) as site:
        assert "disallowed" in reason(fetch(numbered(site, "/a"), site)[1])


def test_an_unreachable_host_is_not_blamed_on_robots_txt() -> None:
    private, unknown = "http://127.0.0.1:1/a", "http://unknown.invalid/a"
    found = fetch([(1, private), (2, unknown)])
    assert reason(found[1]).startswith(
        "leads to the private address 127.0.0.1; if that is intended"
    )
    assert reason(found[2]).startswith("has an unknown host name")
    with Site({"/robots.txt": redirect("http://10.0.0.1/robots.txt"), "/a": page("A")}) as site:
        found = fetch(numbered(site, "/a"), site)
        assert "its site's robots.txt leads to the private address" in reason(found[1])


def test_fragments_are_neither_requested_nor_compared() -> None:
    with Site({"/a": page("A")}) as site:
        found = fetch(numbered(site, "/a#one", "/a", "/a#two"), site)
        (row,) = (each for each in found.values() if isinstance(each, Row))
        assert row.record["url"] == site.url("/a")
        rejects = [each.reason for each in found.values() if isinstance(each, Reject)]
        assert rejects == [f"is the same URL as in row {row.number}"] * 2
        assert site.counts["/a"] == 1


def test_nothing_is_fetched_if_robots_txt_fails() -> None:
    with Site({"/robots.txt": status(*[503] * 9, Retry_After="0"), "/a": page("A")}) as site:
        found = fetch(numbered(site, "/a", "/b"), site)
        assert "its site's robots.txt has a server error (503)" in reason(found[1])
        assert site.counts == {"/robots.txt": 2}


def test_the_crawl_delay_is_kept_between_requests() -> None:
    rules = body(b"User-agent: *\nCrawl-delay: 0.2\n", "text/plain")
    times: list[float] = []

    async def timed(_: web.Request) -> web.StreamResponse:
        times.append(monotonic())
        return web.Response(text=page("A"), content_type="text/html")

    with Site({"/robots.txt": rules, **{f"/{each}": timed for each in range(4)}}) as site:
        assert len(fetch(numbered(site, "/0", "/1", "/2", "/3"), site)) == 4
    assert all(later - first > 0.1 for first, later in pairwise(times))


def test_concurrent_requests_per_host_are_limited() -> None:
    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return web.Response(text=page("A"), content_type="text/html")

    paths = [f"/{each}" for each in range(24)]
    with Site(dict.fromkeys(paths, slow)) as one, Site(dict.fromkeys(paths, slow)) as two:
        entries = numbered(one, *paths) + [(n + 100, url) for n, url in numbered(two, *paths)]
        found = fetch(entries, one, two, limits=replace(QUICK, per_host=3))
        assert len(found) == 48
        assert one.most == two.most == 3


def test_urls_are_read_at_most_a_window_ahead() -> None:
    urls_read = 0

    def urls(site: Site) -> Iterator[UrlEntry]:
        nonlocal urls_read
        for number in range(1, 400):
            urls_read += 1
            yield number, site.url(f"/{number}")

    with Site() as site:
        limits = replace(QUICK, window=20, concurrent=8)
        rows = fetch_articles(urls(site), allow_hosts=[site.host], limits=limits)
        for taken in range(1, 100):
            next(rows)
            # The window, the results, and the one being read.
            assert urls_read <= taken + 20 + 8 + 2
        rows.close()


def test_an_error_of_the_urls_is_raised_after_the_results_before_it() -> None:
    def urls(site: Site) -> Iterator[UrlEntry]:
        yield from numbered(site, "/a", "/b")
        raise UserError("the list is cut")

    with Site({"/a": page("A"), "/b": page("B")}) as site:
        rows = fetch_articles(urls(site), allow_hosts=[site.host], limits=QUICK)
        titles = {record(next(rows))["title"], record(next(rows))["title"]}
        assert titles == {"A", "B"}
        with pytest.raises(UserError, match="the list is cut"):
            next(rows)


def test_closing_cancels_requests_that_hang() -> None:
    hanging = threading.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        hanging.set()
        await asyncio.sleep(60)
        return web.Response()

    with Site({"/a": page("A"), "/hang": hang}) as site:
        before = threading.active_count()
        rows = fetch_articles(
            numbered(site, "/a", "/hang"), allow_hosts=[site.host], limits=FetchLimits(workers=1)
        )
        next(rows)
        assert hanging.wait(10)
        rows.close()
        names = [each.name for each in threading.enumerate()]
        assert "fetching" not in names
        assert threading.active_count() <= before + 6, names


def test_a_worker_that_dies_or_hangs_only_loses_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from article_flows.tasks.reading.web import extract
    from article_flows.tasks.reading.web import fetch as fetch_module
    from article_flows.tasks.reading.web.extract import ExtractionPool

    class Impatient(ExtractionPool):
        def __init__(self, count: int) -> None:
            super().__init__(count, timeout_s=0.0001)

    with Site({"/a": page("A"), "/b": page("B")}) as site:
        monkeypatch.setattr(fetch_module, "ExtractionPool", Impatient)
        found = fetch(numbered(site, "/a", "/b"), site)
        assert all("not found in 0.0001 s" in reason(found[row]) for row in (1, 2))
        monkeypatch.undo()
        monkeypatch.setattr(extract, "_WORKER", "import sys; sys.exit(1)")
        found = fetch(numbered(site, "/a", "/b"), site)
        assert all("trafilatura crashes on" in reason(found[row]) for row in (1, 2))
