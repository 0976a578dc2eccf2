import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.cleaning.text.html_text import html_suspects, html_to_line, html_to_text

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
    'Write <script src="x.js"> in the head. Everything after should stay.',
    "He used <style type='a'> and the rest of the article stays.",
    "a <!-- not html --> b <!-- x and so on",
    "x <![CDATA[ y ]]> z a[b[0]]>1",
    'Usage: prog <label> <input> <button> <select> <option value="x"> and more',
    "why does <div class='a'> not close?",
    "Why? I wrote:\n\n    <div class='a'>\n      <p>hi\n\nand it fails.",
    'use <video controls=""> & <canvas>',
    "5<b>3 </b>",
    "For x<y and y>z we have f(x)<g(y); p < 0.05, n>30; <0.001 and 5<b>3 </b>",
    "<b> hi\n<i> hello\n<b> how are you, <i>?\n</b> left",
    "<p> hi\n<p> hello\n<p> how are you?",
    "<code> hello\n<a> what?\n<code> nothing",
    "&lt;b&gt;bold&lt;/b&gt; in source",
    "The <p> tag and the </p> tag make a paragraph; <br> breaks a line.",
    "<div> is a box and <p> a paragraph",
    "<!doctype html> is the first line of a page",
    'say <a href="x>y"> and <img alt="a > b"> text remains?',
    "git checkout <branch> && cp <source> <target>; <title> and <summary>",
    '<?xml version="1.0"?><note id="1"><to>Tove</to></note> is an example.',
]


@pytest.mark.parametrize("text", NO_HTML)
def test_plain_text_is_not_converted(text: str) -> None:
    assert html_to_text(text) is None


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
    ('<a href="x">link</a> text', "link text"),
    ("line<br>line", "line\nline"),
    ("One sentence. <br> Another.", "One sentence.\nAnother."),
    ("<b>Title: </b> text", "Title: text"),
    ("<P> Some text </P> <P> more </P>", "Some text\n\nmore"),
    ('<div class="a">A text that was cut <b>of', "A text that was cut of"),
    ("First.\n<p>Second.\n<p>Third.", "First.\n\nSecond.\n\nThird."),
    ("<img src='a.png'/> The text", "The text"),
    ("<div></div>", ""),
    ("<span style='a: b'><b>A text that was cut", "A text that was cut"),
    ("<span></span>\n", ""),
    ("<![CDATA[<p>a</p>]]> b[c[0]]>1", "a\n\nb[c[0]]>1"),
    ("Hello&lt;br&gt;you,&lt;br&gt;and&lt;br /&gt;all", "Hello\nyou,\nand\nall"),
    ("It&#8217;s &lt;b&gt;bold&lt;/b&gt; in source", "It’s &lt;b&gt;bold&lt;/b&gt; in source"),
    ("<p>x</p><script type='a'>var a = {b: [1, 2]}; f(a);", "x"),
    ("<p>x</p><!-- a=1; b={}; c[0]=(d);", "x"),
    (
        "<p>One <script>var a=1; words follow, they are prose.</p>",
        "One var a=1; words follow, they are prose.",
    ),
    ("<p>x</p> <!-- never ends and words follow", "x\n\n<!-- never ends and words follow"),
    ("<p>x</p><style>and a word</style>", "x"),
    ("<o:p>Word</o:p><p>says</p>", "Word\n\nsays"),
]


@pytest.mark.parametrize(("html", "text"), HTML)
def test_html_is_converted_to_text_once(html: str, text: str) -> None:
    assert html_to_text(html) == text
    assert html_to_text(text) is None
    assert html_suspects(pa.array([html])).tolist() == [True]


def test_suspects_are_found_in_slices_and_not_in_nulls() -> None:
    bodies = pa.array(["<p>a", "plain", None, "a < b", "x &amp; y", "", "end <"])[1:]
    assert html_suspects(bodies).tolist() == [False, False, False, True, False, False]
    assert html_suspects(bodies.cast(pa.large_string())).tolist()[3]
    assert html_suspects(pa.array([], pa.string())).tolist() == []


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (
            "Use <label> and <input>, <b>not</b> a <select> tag",
            "Use <label> and <input>, not a <select> tag",
        ),
        ("$x<i>y$ <em>is</em> 5<b>3", "$x<i>y$ is 5<b>3"),
        (
            "Write <script> here, some words, then </script> there. <em>So</em> it is.",
            "Write <script> here, some words, then </script> there. So it is.",
        ),
        (
            "As a poem\nof lines\nthat\nhas <p>a pair</p>\nin it",
            "As a poem\nof lines\nthat\nhas\n\na pair\n\nin it",
        ),
    ],
)
def test_a_text_with_few_tags_keeps_mentioned_tags(text: str, plain: str) -> None:
    assert html_to_text(text) == plain
    assert html_to_text(plain) is None


WORDS = st.lists(st.from_regex(r"[a-zé中]{1,8}", fullmatch=True), min_size=1, max_size=6)
TAGS = st.sampled_from(["p", "div", "li", "td", "h2", "b", "em", "span", "blockquote"])


@given(st.lists(st.tuples(TAGS, WORDS), min_size=2, max_size=8), st.booleans())
def test_conversion_keeps_all_words_and_keeps_them_separate(
    parts: list[tuple[str, list[str]]], closed: bool
) -> None:
    end = "</{0}>" if closed else ""
    html = "<p>start</p>" + " ".join(
        f"<{tag} id='x'>{' '.join(words)}{end.format(tag)}" for tag, words in parts
    )
    text = html_to_text(html)
    assert text is not None
    assert text.split() == ["start", *(word for _, words in parts for word in words)]
    assert html_to_text(text) is None


PIECES = st.sampled_from(
    "<p>|</p>|<|>|<a href='|\"|'|<!--|-->|<script>|</script>|&amp;|&lt;b&gt;|&#0;|&#xD800;"
    "|&#x110000;|<pre>|\x00|word |\n|<br/>|]]>|<T>".split("|")
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=40))
def test_malformed_html_never_fails(pieces: list[str]) -> None:
    html_to_text("<p>x</p>" + "".join(pieces))


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
def test_a_large_malformed_page_takes_linear_time(piece: str) -> None:
    html = "<p>x</p>" + piece * (300_000 // len(piece))
    assert html_to_text(html) is not None


@pytest.mark.parametrize(
    "piece",
    [
        *("<!--", "<!-- a ", " <script> ", "<script>", "<script>{};()=", "<style a='", "<![CDATA["),
        *("<div a='b'> ", "x<i>y ", "<b> ", "<b>a\n\n", "<br> a ", "`<b>", "<a href=", "<p x=1 "),
    ],
)
def test_a_large_text_about_tags_takes_linear_time(piece: str) -> None:
    words = "about tags " + piece * (100_000 // len(piece))
    for text in (words, f"<em>so</em> {words} and prose </script> -->", f"{words} <p>x</p>"):
        assert "about tags" in (html_to_text(text) or text)


FRAGMENTS = st.sampled_from(
    "<label>|<input>|<b>|<i>|<script src='x'>|<style>|<!--|<![CDATA[|<div class='a'>|<canvas>"
    "|<option value='x'>|<select>|<code>|<title>|<video controls=''>|<!-- 9".split("|")
)


@given(st.lists(st.tuples(FRAGMENTS, WORDS), min_size=1, max_size=12))
def test_a_sentence_about_tags_is_unchanged(parts: list[tuple[str, list[str]]]) -> None:
    text = "Of tags: " + " ".join(f"{tag} {' '.join(words)}" for tag, words in parts)
    assert html_to_text(text) is None


@given(st.lists(st.tuples(FRAGMENTS, WORDS), min_size=1, max_size=12))
def test_unclosed_elements_lose_no_words(parts: list[tuple[str, list[str]]]) -> None:
    inside = " ".join(f"{tag} {' '.join(words)}" for tag, words in parts)
    plain = html_to_text(f"<p>start</p>{inside}<p>end</p>")
    assert plain is not None
    words = [word for _, words in parts for word in words]
    assert [w for w in plain.split() if w in words] == words
    assert plain.split()[-1] == "end"


def test_words_after_many_open_tags_are_kept() -> None:
    text = html_to_text("<div>" * 20_000 + "deep" + "</div>" * 20_000)
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
def test_one_entity_is_enough_in_a_title(title: str, plain: str) -> None:
    assert html_to_line(title) == plain
