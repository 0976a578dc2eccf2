import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import RecordChunk, Reject, Source
from article_flows.tasks.reading.formats.feed import (
    looks_like_feed,
    looks_like_json_feed,
    read_feed,
)
from article_flows.tasks.reading.formats.registry import format_of
from tests.support import ROOT

FEEDS = ROOT.parent / "shared" / "data" / "dev" / "nasty" / "feeds_feedparser"

RSS = """<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"
 xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>News &amp; Views</title>
<link>http://example.org/</link><language>de</language>
<item><title>&lt;b&gt;Brücke&lt;/b&gt; A &amp;amp; B</title><link>http://example.org/1</link>
<guid isPermaLink="false">id-1</guid><dc:creator>Ann Lee</dc:creator>
<pubDate>Mon, 04 May 2020 12:00:00 +0200</pubDate><category>Town</category>
<category>Roads</category><description>Short.</description><comments>http://example.org/1#c</comments>
<enclosure url="http://example.org/1.mp3" length="9" type="audio/mpeg"/>
<content:encoded>
<![CDATA[<p>The whole text.</p><script>alert(1)</script>]]></content:encoded></item>
<item><title>Only this</title></item>
<item><description>No title at all.</description></item>
<item/>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="fr" xml:base="http://example.org/x/">
<title>Fil</title><entry><id>urn:1</id><title>Pont</title><link href="pont"/>
<updated>2020-05-04T10:11:12.5Z</updated><author><name>Zoé</name></author>
<content type="html">&lt;p&gt;Le &lt;a href="y"&gt;pont&lt;/a&gt;&lt;/p&gt;</content>
</entry></feed>"""
JSON_FEED = {
    "version": "https://jsonfeed.org/version/1.1",
    "title": "Feed",
    "language": "en",
    "authors": [{"name": "Ann"}, {"name": "Bob"}],
    "items": [
        {"id": 1, "content_html": "<p>Whole text</p>", "content_text": "Whole text", "tags": ["a"]},
        {"id": "2", "content_html": "<p>Whole text</p>", "content_text": "Whole", "url": "u"},
        {"id": "3", "summary": "Sum", "date_published": "2020-05-04T12:00:00+02:00"},
        {"id": "4", "title": "Only", "author": {"name": "Cy"}},
        {"id": "5"},
        "odd",
    ],
}


def load(path: Path) -> tuple[list[dict[str, object]], list[Reject], Source]:
    source = Source(LocalFile(path), path.name, "feed")
    records: list[dict[str, object]] = []
    rejects: list[Reject] = []
    rows: list[int] = []
    for chunk in read_feed(source):
        assert isinstance(chunk, RecordChunk)
        records += chunk.records
        rejects += chunk.rejects
        rows += chunk.rows
    assert sorted(rows + [each.row for each in rejects]) == list(
        range(1, len(records) + len(rejects) + 1)
    )
    return records, rejects, source


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "feed.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_rss_entries_become_rows_with_their_longest_text(tmp_path: Path) -> None:
    records, rejects, source = load(written(tmp_path, RSS))
    assert records[0] == {
        "id": "id-1",
        "title": "Brücke A & B",
        "text": "<p>The whole text.</p>",
        "description": "Short.",
        "comments": "http://example.org/1#c",
        "enclosures": ["http://example.org/1.mp3"],
        "url": "http://example.org/1",
        "author": "Ann Lee",
        "date": datetime(2020, 5, 4, 10, tzinfo=UTC),
        "category": "Town, Roads",
        "language": "de",
        "feed_title": "News & Views",
    }
    assert records[1]["text"] == "No title at all."
    assert [(each.row, each.reason) for each in rejects] == [
        (2, "no text, only a title"),
        (4, "no text"),
    ]
    assert rejects[0].raw == "Only this"
    assert source.facts["feed"] == "rss20"


def test_a_summary_equal_to_the_content_is_not_a_description(tmp_path: Path) -> None:
    same = RSS.replace("Short.", "&lt;p&gt;The whole text.&lt;/p&gt;")
    (record, _), _, _ = load(written(tmp_path, same))
    assert "description" not in record
    only = RSS.replace("<description>Short.</description>", "")
    (record, _), _, _ = load(written(tmp_path, only))
    assert "description" not in record


def test_json_feeds_keep_summaries_and_attachments(tmp_path: Path) -> None:
    item: dict[str, object] = {"id": "1", "content_text": "The whole text.", "summary": "Short."}
    item |= {"attachments": [{"url": "http://example.org/1.mp3"}, {"url": 0.5}, {"url": []}, None]}
    feed = {"version": "https://jsonfeed.org/version/1.1", "items": [item, {"summary": "Only."}]}
    records, _, _ = load(written(tmp_path, json.dumps(feed)))
    assert (records[0]["text"], records[0]["description"]) == ("The whole text.", "Short.")
    assert records[0]["enclosures"] == ["http://example.org/1.mp3", "0.5"]
    assert records[1] == {"text": "Only."}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_atom_links_are_resolved_against_the_base_of_the_feed(
    tmp_path: Path, encoding: str
) -> None:
    path = written(tmp_path, ATOM.encode(encoding))
    (record,), _, _ = load(path)
    assert record["url"] == "http://example.org/x/pont"
    assert record["text"] == '<p>Le <a href="http://example.org/x/y">pont</a></p>'
    assert record["date"] == datetime(2020, 5, 4, 10, 11, 12, tzinfo=UTC)
    assert (record["author"], record["language"], record["feed_title"]) == ("Zoé", "fr", "Fil")
    assert format_of(LocalFile(path), "feed.xml") == "feed"


def test_json_feeds_of_both_versions_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(JSON_FEED, indent=1))
    records, rejects, source = load(path)
    assert records[0] == {
        "id": "1",
        "text": "Whole text",
        "author": "Ann, Bob",
        "category": "a",
        "language": "en",
        "feed_title": "Feed",
    }
    assert records[1]["text"] == "<p>Whole text</p>"
    assert records[2]["text"] == "Sum"
    assert records[2]["date"] == datetime(2020, 5, 4, 10, tzinfo=UTC)
    assert [each.reason for each in rejects] == [
        "no text, only a title",
        "no text",
        "not a JSON object",
    ]
    assert source.facts["feed"] == "JSON feed 1.1"
    assert format_of(LocalFile(path), "feed.xml") == "feed"


def test_a_malformed_feed_is_read_as_far_as_possible(tmp_path: Path) -> None:
    records, _, source = load(written(tmp_path, RSS.replace("</channel></rss>", "")))
    assert len(records) == 2
    assert "rss20, malformed (" in source.facts["feed"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<html><body>Not here</body></html>", "cannot be read as a feed"),
        ("", "cannot be read as a feed"),
        ('{"version": "https://jsonfeed.org/version/1", "items": [', "invalid JSON"),
        ('{"version": "https://jsonfeed.org/version/1", "items": 3}', "without a list of items"),
    ],
)
def test_a_file_that_is_not_a_feed_is_an_error(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load(written(tmp_path, content))


def test_a_feed_is_never_opened_as_a_path_or_url_and_entities_are_not_expanded(
    tmp_path: Path,
) -> None:
    (tmp_path / "secret").write_text("secret")
    for content in (str(tmp_path / "secret"), "http://127.0.0.1:9/"):
        with pytest.raises(UserError, match="cannot be read as a feed"):
            load(written(tmp_path, content))
    levels = "".join(f'<!ENTITY e{at} "{f"&e{at - 1};" * 10}">' for at in range(1, 12))
    laughs = (
        f'<!DOCTYPE rss [<!ENTITY e0 "ha">{levels}<!ENTITY f SYSTEM "file:{tmp_path}/secret">]>'
    )
    item = "<rss><channel><item><description>so &e11; &f;</description></item></channel></rss>"
    records, rejects, _ = load(written(tmp_path, laughs + item))
    assert len(str(records)) < 10_000
    assert "secret" not in str(records[0].get("text")).replace(str(tmp_path), "")
    assert len(records) + len(rejects) == 1


def test_feeds_are_detected() -> None:
    for content in (RSS, ATOM, '<x:rss xmlns:x="y"/>', "<!DOCTYPE rss [<!ENTITY a 'b>'>]><rss>"):
        assert looks_like_feed(content.encode())
        assert looks_like_feed(content.encode("utf-16"))
    assert looks_like_feed(b'<rdf:RDF xmlns="http://purl.org/rss/1.0/">')
    for other in (b"<rdf:RDF xmlns='http://xmlns.com/foaf/0.1/'>", b"<html>", b"rss", b"", b"{}"):
        assert not looks_like_feed(other)
    assert looks_like_json_feed(b'\xef\xbb\xbf{"version": "https:\\/\\/jsonfeed.org\\/version\\/1"')
    assert not looks_like_json_feed(b'{"version": "1"}')


@given(st.binary(max_size=300) | st.text(alphabet="<>/&;![]- \"'=rsfedchanlitm\0\n", max_size=300))
def test_detection_never_fails(data: bytes | str) -> None:
    head = data.encode() if isinstance(data, str) else data
    assert looks_like_feed(head) in (True, False)
    assert looks_like_feed(b"<!DOCTYPE " + head) in (True, False)


@pytest.mark.slow
@pytest.mark.skipif(not FEEDS.exists(), reason="needs the development data")
def test_feeds_of_the_feedparser_test_suite_are_read_or_rejected_with_a_reason() -> None:
    counts: Counter[str] = Counter()
    for path in sorted(FEEDS.rglob("*.*")):
        kind = path.relative_to(FEEDS).parts[0]
        try:
            records, rejects, source = load(path)
        except UserError:
            counts[f"{kind} rejected"] += 1
            continue
        assert source.facts["feed"]
        assert all(record["text"] for record in records)
        assert all(each.reason for each in rejects)
        counts[f"{kind} rows"] += len(records)
        counts[f"{kind} rejects"] += len(rejects)
        if kind == "wellformed":
            assert looks_like_feed(path.read_bytes()), path
    # 704 entries have a text. Seven channels contain only a title or a date.
    assert counts["wellformed rows"] > 690
    assert counts["wellformed rejected"] == 7
    assert counts["json rows"] == 2
