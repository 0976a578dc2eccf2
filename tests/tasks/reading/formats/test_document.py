from pathlib import Path
from typing import Any

import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import RecordChunk, Source
from article_flows.tasks.reading.formats import document
from article_flows.tasks.reading.formats.registry import format_of, read
from tests.support import ROOT

WIKI = ROOT.parent / "shared" / "data" / "dev" / "klexikon" / "wiki"
SENTENCE = "Ein langer Satz über Dinge, die an einem Tag in einer Stadt passieren. "
MENU = '<nav><ul><li><a href="/">Start</a></li><li><a href="/b">Sport</a></li></ul></nav>'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def source_of(name: str, content: str | bytes, **more: Any) -> Source:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    file = LocalFile(Path(name))
    return Source(file, name, format_of(file, name), **more)


def chunk_of(source: Source) -> RecordChunk:
    (chunk,) = read(source)
    assert isinstance(chunk, RecordChunk)
    return chunk


def record_of(name: str, content: str | bytes, **more: Any) -> dict[str, Any]:
    chunk = chunk_of(source_of(name, content, **more))
    assert (chunk.rows, chunk.rejects) == ([1], [])
    return chunk.records[0]


def reason_of(name: str, content: str | bytes) -> str:
    chunk = chunk_of(source_of(name, content))
    (reject,) = chunk.rejects
    assert (chunk.records, reject.row) == ([], 1)
    return reject.reason


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Al Capone\n\n" + SENTENCE * 3, "Al Capone"),
        ("\n  Al Capone \r\n\r\n" + SENTENCE * 3, "Al Capone"),
        ("Al Capone\n=========\n" + SENTENCE * 3, "Al Capone"),
        ("Wer war Al Capone?\n\n" + SENTENCE * 3, "Wer war Al Capone?"),
        (SENTENCE + "\n\n" + SENTENCE * 3, "The File"),
        ("One line\nand the next\n\n" + SENTENCE, "The File"),
        ("Only one line", "The File"),
        ("A heading longer than its text\n\nText", "The File"),
    ],
)
def test_a_text_is_titled_by_a_clear_first_line_or_by_its_file_name(text: str, title: str) -> None:
    record = record_of("The_File.txt", text)
    assert (record["title"], record["text"]) == (title, text)
    assert record["file_name"] == "The_File.txt"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("Al_Capone.txt", "Al Capone"),
        ("al-capone-in-chicago.md", "al capone in chicago"),
        ("2020-01-31-al-capone-dies.md", "al capone dies"),
        ("E-Mail.txt", "E-Mail"),
        ("K%C3%B6ln.txt", "Köln"),
        ("_.txt", "_.txt"),
    ],
)
def test_file_names_become_titles(name: str, title: str) -> None:
    assert record_of(name, SENTENCE)["title"] == title


def test_old_encodings_are_detected_and_a_given_one_is_used() -> None:
    assert record_of("a.txt", SENTENCE.encode("utf-16"))["text"] == SENTENCE
    assert record_of("b.txt", (SENTENCE * 9).encode("cp1252"))["text"] == SENTENCE * 9
    source = source_of("c.txt", "Žižkov".encode("cp1250"), encoding="cp1250")
    assert chunk_of(source).records[0]["text"] == "Žižkov"
    assert source.facts["encoding"] == "cp1250"


def test_front_matter_becomes_columns() -> None:
    source = source_of(
        "post.md",
        "---\ntitle: 'Yes: we can'\ndate: 2020-01-31\nlang: no\nempty:\ntags: [a, b]\n"
        "author:\n  name: Ann\ntext: short\n---\n# Heading\n\nBody *stays* Markdown.\n",
    )
    assert chunk_of(source).records == [
        {
            "title": "Yes: we can",
            "date": "2020-01-31",
            "lang": "no",
            "tags": ["a", "b"],
            "author": {"name": "Ann"},
            "text_in_front": "short",
            "text": "# Heading\n\nBody *stays* Markdown.\n",
            "file_name": "post.md",
        }
    ]
    assert source.facts["front_matter"] == "YAML"


def test_toml_front_matter_of_hugo_becomes_columns() -> None:
    record = record_of("post.md", '+++\r\ntitle = "T"\r\ndraft = true\r\n+++\r\nBody.\r\n')
    assert (record["title"], record["draft"], record["text"]) == ("T", True, "Body.\n")


@pytest.mark.parametrize(
    "front",
    [
        "---\ntitle: [a\n---\n",
        "---\njust words\n---\n",
        "---\na: &a [x, x]\nb: [*a, *a]\n---\n",
        "---\n" + "[" * 1500 + "\n---\n",
        "+++\ntitle = \n+++\n",
        "---\ntitle: never closed\n",
    ],
)
def test_invalid_front_matter_stays_in_the_text(front: str) -> None:
    assert record_of("post.md", front + SENTENCE)["text"] == front + SENTENCE


def test_markdown_is_titled_by_its_first_heading_outside_of_code() -> None:
    text = "```sh\n# a comment\n```\n\n# The title #\n\nBody\n\n# Another"
    assert record_of("a.md", text)["title"] == "The title"
    assert record_of("b.md", "The title\n===\n\nBody")["title"] == "The title"
    assert record_of("c.md", "## A section\n\nBody")["title"] == "c"


def test_markdown_with_a_table_or_json_is_a_document() -> None:
    for text in (
        "a|b\n---|---\nc|d\n",
        '# JSON\n\n{"a": 1}\n',
        "| a | b |\n|---|---|\n| c | d |\n",
    ):
        assert record_of("a.md", text)["text"] == text
    assert record_of("a.txt", "Hello, world\nbye, all\n")["text"] == "Hello, world\nbye, all\n"


def page(body: str, head: str = "", attributes: str = "") -> str:
    return f"<!DOCTYPE html><html{attributes}><head>{head}</head><body>{body}</body></html>"


ARTICLE = f"{MENU}<article><h1>Der Titel</h1><p>{SENTENCE * 4}</p><p>{SENTENCE * 3}</p></article>"


def test_html_yields_its_main_text_and_metadata() -> None:
    head = (
        "<title>Der Titel - Zeitung</title><meta name=author content='Anna Muster'>"
        "<meta property='article:published_time' content='2020-02-03T10:11:12+01:00'>"
        "<link rel=canonical href='https://example.org/a/b'>"
    )
    footer = "<footer>Impressum und Datenschutz</footer>"
    record = record_of("a.html", page(ARTICLE + footer, head, " lang=de-CH"))
    assert record["text"].count(SENTENCE.strip()) == 7
    assert "Sport" not in record["text"]
    assert "Impressum" not in record["text"]
    columns = ("title", "author", "date", "url", "language")
    assert [record[name] for name in columns] == [
        "Der Titel",
        "Anna Muster",
        "2020-02-03T10:11:12+01:00",
        "https://example.org/a/b",
        "de-CH",
    ]


def test_the_home_page_of_a_site_is_not_the_url_of_an_article() -> None:
    head = "<link rel=canonical href='https://example.org/'>"
    assert "url" not in record_of("a.html", page(ARTICLE, head))


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("iso-8859-1", "cp1252"),
        ("UTF-8", "utf-8"),
        ("gb2312", "gb18030"),
        ("utf-16", "utf-8"),
        ("iso-8859-1", "utf-8"),
        ("no-such-thing", "utf-8"),
        ("utf-8", "utf-16"),
        ("shift_jis", "cp932"),
    ],
)
def test_the_declared_charset_is_used_unless_it_is_wrong(charset: str, encoding: str) -> None:
    body = ARTICLE if encoding not in ("gb18030", "cp932") else ARTICLE.replace("ü", "日本")
    text = page(body, f'<meta charset="{charset}">')
    record = record_of("a.html", text.encode(encoding))
    assert ("日本" in record["text"]) or ("über" in record["text"])


def test_one_invalid_byte_does_not_change_the_encoding_of_a_page() -> None:
    text = page(ARTICLE.replace("ü", "日本"), '<meta charset="shift_jis">').encode("cp932")
    record = record_of("a.html", text.replace(b"</article>", b"<p>x \xfd</p></article>"))
    assert "日本" in record["text"]


def test_pages_without_an_article_are_rejected() -> None:
    assert reason_of("a.html", page(MENU)) == "an HTML page without a main text"
    assert reason_of("b.html", page("<script>var x = 1;</script>")) == (
        "an HTML page without a main text"
    )
    assert reason_of("c.html", "<html></html>") == "an HTML page without a main text"


def test_html_that_breaks_parsers_yields_a_row_or_a_reject() -> None:
    deep = page("<div>" * 50_000 + f"<p>{SENTENCE}</p>")
    wild = page("<p>\x01\x02 &#0; &#xFFFFFFFF; <a <b><![CDATA[x]]> " + SENTENCE * 5)
    for text in (deep, wild):
        assert len(chunk_of(source_of("a.html", text))) == 1


def test_a_page_without_a_suffix_is_html_and_one_named_csv_is_an_error() -> None:
    assert record_of("article", page(ARTICLE))["title"] == "Der Titel"
    with pytest.raises(UserError, match=r"^a\.csv is an HTML page, not csv"):
        source_of("a.csv", page(ARTICLE))


def test_documents_that_are_too_large_or_empty_are_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(document, "MAX_DOCUMENT_BYTES", 2 << 20)
    monkeypatch.setattr(document, "MAX_HTML_BYTES", 1 << 20)
    assert reason_of("a.txt", "x" * (2 << 20) + "y") == "a document of over 2 MiB"
    assert reason_of("a.html", page("x" * (1 << 20))) == "a document of over 1 MiB"
    assert reason_of("b.txt", "\ufeff \n ") == "a document without text"


def test_the_reference_file_becomes_the_reference_summary(folder: Path) -> None:
    (folder / "summary").mkdir()
    (folder / "summary/a.txt").write_text("Kurz für Kinder.\n", "utf-8")
    record = record_of("a.txt", SENTENCE, references=LocalFile(folder / "summary/a.txt"))
    assert record["reference_summary"] == "Kurz für Kinder."


@pytest.mark.skipif(not WIKI.exists(), reason="needs the development data")
def test_articles_in_a_real_folder_keep_their_text() -> None:
    paths = sorted(WIKI.glob("*.txt"))
    assert len(paths) == 274
    for path in paths:
        file = LocalFile(path)
        source = Source(file, path.name, format_of(file, path.name))
        assert source.format == "document", path
        (record,) = chunk_of(source).records
        assert record["text"] == path.read_bytes().decode()
        assert record["title"] == path.stem.replace("_", " ")
