from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import Source
from article_flows.tasks.reading.formats.registry import (
    FORMATS,
    format_named,
    format_of,
    format_of_suffix,
    read,
)

LINE = b'{"body": "Some text"}\n'
ARRAY = b'[{"body": "Some text"}, {"body": "More"}]'
TABLE = b"id,title,body\n1,x,y\n2,a,b\n"
PAGE = b"<!-- saved --><!DOCTYPE html>\n<html><body><p>Some text</p></body></html>"
PROSE = "Berlin, die Hauptstadt, liegt im Osten.\nHamburg, die Hafenstadt, im Norden.\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kind(name: str, content: bytes | str) -> str:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return format_of(LocalFile(Path(name)), name)


def test_constants_become_columns_unless_the_row_has_that_column() -> None:
    constants = (("lang", "en"), ("year", "2020"))
    Path("a.jsonl").write_bytes(b'{"body": "x", "year": 1999}\n\n{"body": "y"}\n')
    source = Source(LocalFile(Path("a.jsonl")), "a.jsonl", "jsonl", constants=constants)
    (records,) = read(source)
    assert records.records == [
        {"body": "x", "year": 1999, "lang": "en"},
        {"body": "y", "lang": "en", "year": "2020"},
    ]
    pq.write_table(pa.table({"body": ["x", "y"], "year": [1999, None]}), "a.parquet")
    source = Source(LocalFile(Path("a.parquet")), "a.parquet", "parquet", constants=constants)
    (columns,) = read(source)
    assert columns.head(2) == [
        {"body": "x", "year": 1999, "lang": "en"},
        {"body": "y", "year": None, "lang": "en"},
    ]


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl", "a.json", "a.dat", "a.html"])
def test_content_overrides_a_wrong_suffix(name: str) -> None:
    pq.write_table(pa.table({"body": ["x"]}), "table")
    assert kind(name, Path("table").read_bytes()) == "parquet"
    assert kind(name, LINE * 2) == "jsonl"
    assert kind(name, ARRAY) == "json"
    assert kind(name, TABLE) == "csv"
    assert kind(name, TABLE.replace(b",", b"\t").decode().encode("utf-16")) == "csv"


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "Hello, world\nbye, all\n",
        "[1] A note on sources\n[2] Another\n",
        "[link](http://x.org)\n\n{braces}\n",
        '# JSON\n\n```\n{"a": 1}\n```\n',
        "RIFF is a format.\n",
        "ORC, an article\n",
        "a|b\n---|---\nc|d\n",
        "One line",
        "See https://example.org/a\nand https://example.org/b\n",
        "<b>bold</b> words, and more\n",
    ],
)
def test_text_files_are_documents(name: str, text: str) -> None:
    assert kind(name, text) == "document"
    assert kind(name, text.encode("utf-16-le")) == "document"


@pytest.mark.parametrize("name", ["article", "a.php", "a.html", "a.txt"])
def test_an_html_page_is_a_document(name: str) -> None:
    assert kind(name, PAGE) == "document"
    assert kind(name, b"\xef\xbb\xbf" + PAGE) == "document"
    assert kind(name, b'<?xml version="1.0"?>\n<html xmlns="x"><p>t</p></html>') == "document"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", PAGE, "a.csv is an HTML page, not csv"),
        ("a.xlsx", PAGE, "a.xlsx is an HTML page, not excel"),
        ("a.txt", b"%PDF-1.7\n", "a.txt is a PDF"),
        ("a.pdf", b"%PDF-1.7\n", "a.pdf is a PDF"),
        ("a.txt", b"{\\rtf1 text}", "a.txt is RTF"),
        ("a.doc", b"\xd0\xcf\x11\xe0" + "WordDocument".encode("utf-16-le"), "a.doc is an old Word"),
        ("a.md", b"\x89PNG\r\n\x1a\n" + bytes(50), "a.md is a PNG image"),
        ("a.parquet", b"PARE" + bytes(50), "a.parquet is encrypted Parquet; decrypt it first"),
        ("a.orc", b"ORC\x08\0\xff", "a.orc is ORC; convert it to Parquet"),
        ("a.txt", bytes(range(256)) * 9, "a.txt does not contain document data"),
        ("a.feather", b"nothing of the kind", "a.feather does not contain arrow data"),
        ("a.dat", b"Just words.", "a.dat has an unknown format; these can be read: .pa"),
        ("a.txt", b" \n", "a.txt is empty"),
    ],
)
def test_unsupported_files_are_reported_by_kind(name: str, content: bytes, message: str) -> None:
    with pytest.raises(UserError) as error:
        kind(name, content)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_formats_are_found_by_suffix_and_name() -> None:
    suffixes = [suffix for each in FORMATS.values() for suffix in each.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    named = {name: format_of_suffix(name) for name in ("A.CSV", "x.tar.parquet", "a", "a.xyz")}
    assert {name: each and each.name for name, each in named.items()} == {
        "A.CSV": "csv",
        "x.tar.parquet": "parquet",
        "a": None,
        "a.xyz": None,
    }
    assert format_named("csv") == "csv"
    with pytest.raises(UserError, match=r"^word is not a supported format; use one of parq"):
        format_named("word")
