import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.cleaning.html_text import html_suspects, line_of_html, text_of_html

NO_HTML = [
    "",
    "a < b and c > d",
    "I <3 you, x<y and y>z",
    "Vec<T> is not Map<K, V>; write to <john@example.com> or <https://example.com>",
    "AT&T and R&D & more; /search?a=1&copy=2",
    "The <b> tag and the <br> tag are old.",
    "#include <map>\n#include <time>\nx = &sum; y = &int;",
    "In Markdown, `<p>text</p>` and\n```html\n<div>x</div>\n<br>\n```\nare code.",
    "write &amp; for an ampersand",
    "if (i <b && c> 3) return",
]


@pytest.mark.parametrize("text", NO_HTML)
def test_text_that_is_no_html_is_left_alone(text: str) -> None:
    assert text_of_html(text) is None


HTML = [
    (
        "<p>Hello <b>wor</b>ld &amp; you</p><p>Second<br/>line</p>",
        "Hello world & you\n\nSecond\nline",
    ),
    ("First.<br>Second.", "First.\nSecond."),
    ("It&#8217;s fine", "It’s fine"),
    ("caf&eacute; and&nbsp;bar", "café and\xa0bar"),
    ("&lt;p&gt;Hello&lt;/p&gt;&lt;p&gt;You&lt;/p&gt;", "Hello\n\nYou"),
    ("<div>&lt;p&gt;Tom &amp;amp; you&lt;/p&gt;</div>", "Tom & you"),
    ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", "a\tb\nc\td"),
    ("<ul>\n <li>one</li>\n <li>two</li>\n</ul>after", "one\ntwo\n\nafter"),
    ("<p>Vec<T>, a < b, <john@x.com>, R&D</p>", "Vec<T>, a < b, <john@x.com>, R&D"),
    ("<pre>def f():\n    return 1</pre>", "def f():\n    return 1"),
    ("<script>var a='<p>';</script><p>x</p><!-- no --><style>p{}", "x"),
    ("<p>Use the &lt;p&gt; tag</p>", "Use the <p> tag"),
    ("one\n\ntwo <em>three</em>\nfour", "one\n\ntwo three\nfour"),
    (
        '<?xml version="1.0"?><!DOCTYPE html><body><h1>H</h1>a <a href="x>y">b</a>.</body>',
        "H\n\na b.",
    ),
    ("<P CLASS='a'>unclosed <b>x", "unclosed x"),
    ("a<br><br>b<p>&nbsp;</p>c", "a\n\nb\n\nc"),
    ("<p>wrapped\n  by its\n  editor</p>", "wrapped by its editor"),
    ("<o:p>Word</o:p><p>says</p>", "Word\n\nsays"),
]


@pytest.mark.parametrize(("html", "text"), HTML)
def test_html_becomes_its_text_and_stays_so(html: str, text: str) -> None:
    assert text_of_html(html) == text
    assert text_of_html(text) is None
    assert html_suspects(pa.array([html])).tolist() == [True]


def test_suspects_are_found_in_slices_and_not_in_nulls() -> None:
    bodies = pa.array(["<p>a", "plain", None, "a < b", "x &amp; y", "", "end <"])[1:]
    assert html_suspects(bodies).tolist() == [False, False, False, True, False, False]
    assert html_suspects(bodies.cast(pa.large_string())).tolist()[3]
    assert html_suspects(pa.array([], pa.string())).tolist() == []


WORDS = st.lists(st.from_regex(r"[a-zé中]{1,8}", fullmatch=True), min_size=1, max_size=6)
TAGS = st.sampled_from(["p", "div", "li", "td", "h2", "b", "em", "span", "blockquote"])


@given(st.lists(st.tuples(TAGS, WORDS), min_size=2, max_size=8), st.booleans())
def test_no_word_is_lost_or_glued(parts: list[tuple[str, list[str]]], closed: bool) -> None:
    end = "</{0}>" if closed else ""
    html = "<p>start</p>" + " ".join(
        f"<{tag} id='x'>{' '.join(words)}{end.format(tag)}" for tag, words in parts
    )
    text = text_of_html(html)
    assert text is not None
    assert text.split() == ["start", *(word for _, words in parts for word in words)]
    assert text_of_html(text) is None


PIECES = st.sampled_from(
    "<p>|</p>|<|>|<a href='|\"|'|<!--|-->|<script>|</script>|&amp;|&lt;b&gt;|&#0;|&#xD800;"
    "|&#x110000;|<pre>|\x00|word |\n|<br/>|]]>|<T>".split("|")
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=40))
def test_malformed_html_never_fails(pieces: list[str]) -> None:
    text_of_html("<p>x</p>" + "".join(pieces))


@pytest.mark.parametrize(
    "piece",
    [
        "<a ",
        '<a "',
        "<a '\"",
        '<p x="',
        "<!--",
        "<script>",
        "<div>",
        "&#",
        '""<a ',
        " ",
        "\xa0",
        "\n ",
        "\t ",
        "<p ",
        "<br> ",
    ],
)
def test_a_large_malformed_page_takes_one_pass(piece: str) -> None:
    html = "<p>x</p>" + piece * (300_000 // len(piece))
    assert text_of_html(html) is not None


def test_words_after_many_open_tags_are_kept() -> None:
    text = text_of_html("<div>" * 20_000 + "deep" + "</div>" * 20_000)
    assert re.fullmatch("deep", text or "")


@pytest.mark.parametrize(
    ("title", "plain"),
    [
        ("Fish &amp; chips", "Fish & chips"),
        ("&#8220;Hi&#8221; from Caf&eacute;", "“Hi” from Café"),
        ("<b>Big</b>\n news", "Big news"),
        *((same, same) for same in ("AT&T", "a < b", "Vec<T> in Rust", "R&D; more", "a && b;")),
    ],
)
def test_a_title_needs_one_entity_to_be_html(title: str, plain: str) -> None:
    assert line_of_html(title) == plain
