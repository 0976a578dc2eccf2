import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.formats.registry import read
from article_flows.tasks.reading.sources.documents import NOTE_REASON
from article_flows.tasks.reading.sources.files import HIDDEN_REASON
from article_flows.tasks.reading.sources.find import SourceOptions, find_sources
from tests.support import ROOT

DEV = ROOT.parent / "shared" / "data" / "dev"
LINE = '{"body": "Some text"}\n'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(name: str, content: str | bytes = LINE) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def found(*specs: str) -> list[tuple[str, str]]:
    return [(source.name, source.format) for source in find_sources(list(specs))]


def error_of(*specs: str) -> str:
    with pytest.raises(UserError) as error:
        find_sources(list(specs))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_is_searched_recursively_and_other_files_are_skipped() -> None:
    for name in ("d/b.jsonl", "d/a/z.csv", "d/a/y.NDJSON", "d/_tmp/x.jsonl", "d/.git/x.jsonl"):
        put(name, "a,b\n1,2\n" if name.endswith("csv") else LINE)
    for name in ("d/LICENSE", "d/README.md", "d/_SUCCESS", "d/.hidden.jsonl", "d/datapackage.json"):
        put(name)
    put("d/notes.txt", "What these files are, and who made them.")
    put("d/.b.jsonl.crc", b"crc\0")
    put("d/b.jsonl.crc", b"crc\0")
    Path("d/gone.jsonl").symlink_to("nowhere")
    put("d/picture.jsonl", PNG)
    sources = find_sources(["d"])
    assert [(each.name, each.format) for each in sources] == [
        ("d/b.jsonl", "jsonl"),
        ("d/a/y.NDJSON", "jsonl"),
        ("d/a/z.csv", "csv"),
    ]
    assert [(each.name, each.reason) for each in sources.skipped] == [
        ("d/LICENSE", "not a data file"),
        ("d/README.md", "not a data file"),
        ("d/datapackage.json", "not a data file"),
        ("d/notes.txt", NOTE_REASON),
        *((name, HIDDEN_REASON) for name in ("d/.b.jsonl.crc", "d/.git/", "d/.hidden.jsonl")),
        *((name, HIDDEN_REASON) for name in ("d/_SUCCESS", "d/b.jsonl.crc", "d/_tmp/x.jsonl")),
    ]
    assert [(each.name, each.reason) for each in sources.broken] == [
        ("d/gone.jsonl", "d/gone.jsonl cannot be read: No such file or directory"),
        ("d/picture.jsonl", "d/picture.jsonl is a PNG image, not a table of articles"),
    ]


def test_blank_and_empty_files_in_a_folder_are_skipped() -> None:
    for name, content in (("d/a.jsonl", LINE), ("d/b.jsonl", ""), ("d/c.jsonl", " \n\n")):
        put(name, content)
    sources = find_sources(["d"])
    assert [each.name for each in sources] == ["d/a.jsonl"]
    assert [each.name for each in sources.skipped] == ["d/b.jsonl", "d/c.jsonl"]
    assert not sources.broken


def test_names_start_as_the_user_typed_them(folder: Path) -> None:
    put("d/a.jsonl")
    assert found("./d//a.jsonl") == [("d/a.jsonl", "jsonl")]
    assert found(str(folder / "d")) == [(f"{folder}/d/a.jsonl", "jsonl")]


def test_globs_match_files_and_folders() -> None:
    for name in ("d/1.jsonl", "d/2.jsonl", "d/e/3.jsonl", "d/_4.jsonl", "d/LICENSE"):
        put(name)
    assert found("d/*.jsonl") == [("d/1.jsonl", "jsonl"), ("d/2.jsonl", "jsonl")]
    everything = [("d/1.jsonl", "jsonl"), ("d/2.jsonl", "jsonl"), ("d/e/3.jsonl", "jsonl")]
    assert found("d/*") == everything
    assert found("d/**") == everything
    assert found("**/[23].jsonl") == everything[1:]
    put("odd[1].jsonl")
    assert found("odd[1].jsonl") == [("odd[1].jsonl", "jsonl")]


def test_hidden_files_are_read_if_they_are_named() -> None:
    for name in ("d/_4.jsonl", "d/.5.jsonl", "d/_x/6.jsonl", "d/1.jsonl"):
        put(name)
    assert found("d/_4.jsonl", "d/.5.jsonl", "d/_x") == [
        ("d/_4.jsonl", "jsonl"),
        ("d/.5.jsonl", "jsonl"),
        ("d/_x/6.jsonl", "jsonl"),
    ]
    assert found("d/_*.jsonl") == [("d/_4.jsonl", "jsonl")]
    assert found("*/_x/*") == [("d/_x/6.jsonl", "jsonl")]
    assert found("d/**/*.jsonl") == [("d/1.jsonl", "jsonl")]


def test_jekyll_posts_are_articles() -> None:
    put("site/_posts/2021-05-06-one.md", "# One\n\nSome prose, which goes on.")
    put("site/_layouts/post.html", "<!doctype html><html><p>{{ content }}</p></html>")
    put("site/_config.yml", "title: A site")
    sources = find_sources(["site"])
    assert [each.name for each in sources] == ["site/_posts/2021-05-06-one.md"]
    assert [(each.name, each.reason) for each in sources.skipped] == [
        ("site/_config.yml", HIDDEN_REASON),
        ("site/_layouts/post.html", HIDDEN_REASON),
    ]


def test_code_beside_data_is_skipped_unless_it_is_named() -> None:
    put("d/a.jsonl")
    code = {
        "load.py": "import a, b\nfrom c import d, e\n\nx, y = 1, 2\n",
        "requirements.txt": "pandas==2.0\nnumpy>=1.26\n",
        "requirements-dev.txt": "pytest\n",
        "explore.ipynb": '{"cells": [{"source": "some text"}], "nbformat": 4}',
        "Makefile": "all:\n\techo\n",
        "LICENSE": "Do what you like.",
        "package.json": '{"name": "x"}',
        "run.sh": "a,b\n1,2\n",
        "settings.yaml": "a: b\n",
    }
    for name, content in code.items():
        put(f"d/{name}", content)
    sources = find_sources(["d"])
    assert [each.name for each in sources] == ["d/a.jsonl"]
    reasons = {each.name.removeprefix("d/"): each.reason for each in sources.skipped}
    assert reasons.keys() == code.keys()
    assert reasons["load.py"] == "part of a program, not data"
    assert found("d/package.json", "d/requirements.txt") == [
        ("d/package.json", "json"),
        ("d/requirements.txt", "document"),
    ]


def test_a_file_named_twice_is_read_once(folder: Path) -> None:
    put("d/a.jsonl")
    Path("d/b.jsonl").symlink_to(folder / "d/a.jsonl")
    assert found("d/a.jsonl", "d", str(folder / "d/a.jsonl"), "d/*") == [("d/a.jsonl", "jsonl")]


def test_demo_is_the_included_data_unless_it_is_a_folder() -> None:
    assert found("demo") == [("demo", "jsonl")]
    put("demo/mine.jsonl")
    assert found("demo") == [("demo/mine.jsonl", "jsonl")]


def test_content_decides_if_the_suffix_is_wrong_or_ambiguous() -> None:
    pq.write_table(pa.table({"body": ["x"]}), "table.jsonl")
    put("lines.csv", LINE * 2)
    put("table.txt", "a\tb\n1\t2\n")
    put("lines.json", LINE * 2)
    put("rows.jsonl", "id,body\n1,x\n")
    put("cut.jsonl", '{"body": "cut\n')
    put("nul.csv", "id,body\n1,some text with a \0 in it é\n")
    assert found("nul.csv") == [("nul.csv", "csv")]
    put("utf16.csv", "a;b\n1;2\n".encode("utf-16"))
    assert found("table.jsonl", "lines.csv", "table.txt", "lines.json", "rows.jsonl") == [
        ("table.jsonl", "parquet"),
        ("lines.csv", "jsonl"),
        ("table.txt", "csv"),
        ("lines.json", "jsonl"),
        ("rows.jsonl", "csv"),
    ]
    assert found("cut.jsonl", "utf16.csv") == [("cut.jsonl", "jsonl"), ("utf16.csv", "csv")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", PNG, "x.jsonl is a PNG image"),
        ("x.jsonl", b"\x1f\x8b\x08\0", "x.jsonl ends in the middle of its compressed data"),
        (
            "x.jsonl.gz",
            gzip.compress(gzip.compress(b"x", mtime=0), mtime=0),
            "x.jsonl.gz is compressed twice (gzip, gzip)",
        ),
        ("x.xlsx", b"PK\x03\x04", "x.xlsx is a ZIP archive or an Office file"),
        ("x.csv", b"\0\1\2" * 100, "x.csv does not contain csv data; these can be read: .parquet"),
        ("x.csv", bytes(range(256)) * 9, "x.csv does not contain csv data"),
        ("x.parquet", "nothing of the kind", "x.parquet does not contain parquet data"),
        ("x.dat", "nothing of the kind", "x.dat has an unknown format"),
        ("x.jsonl", "", "x.jsonl is empty"),
    ],
)
def test_unreadable_files_are_reported(name: str, content: str | bytes, message: str) -> None:
    put(name, content)
    assert error_of(name).startswith(message)


def test_specs_without_a_file_are_reported() -> None:
    assert error_of("missing.jsonl").startswith("missing.jsonl does not exist")
    assert error_of("*.jsonl").startswith("*.jsonl matches no file")
    assert error_of("hdfs://host/a.jsonl").startswith("hdfs://host/a.jsonl: hdfs:// is not supp")
    assert error_of("file://host/a.jsonl") == (
        "file://host/a.jsonl contains a host; use file:/// and the path"
    )
    for url in ("http://[::1/a", "http://host:99999/a", "https:///a", "http://user:hidden@/a"):
        assert "hidden" not in error_of(url)
    assert error_of("s3://[bucket/a").startswith("source: the address is not a URI")
    assert error_of("x" * 5_000).endswith("cannot be read: File name too long")
    assert "no source is given" in error_of()
    Path("empty").mkdir()
    assert error_of("empty").startswith("empty is an empty folder")
    put("docs/README.md")
    message = error_of("docs")
    assert message.startswith("docs contains no file that can be read")
    assert message.endswith("docs/README.md: not a data file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_a_file_without_read_permission_is_reported() -> None:
    put("x.jsonl").chmod(0)
    assert error_of("x.jsonl") == "x.jsonl cannot be read: Permission denied"


def test_options_apply_to_each_source() -> None:
    put("d/a.jsonl")
    put("d/b.dat", "nothing of a known format")
    options = SourceOptions(encoding="latin-1", allow_hosts=("intranet",), format="csv")
    for source in find_sources(["d"], options):
        assert (source.encoding, source.allow_hosts, source.format) == (
            "latin-1",
            ("intranet",),
            "csv",
        )
    with pytest.raises(UserError, match="doc is not a supported format"):
        find_sources(["d"], SourceOptions(format="doc"))


def test_compressed_files_are_detected_by_content() -> None:
    packed = gzip.compress(LINE.encode() * 2)
    for name in ("d/a.jsonl.gz", "d/b.gz", "d/c.dat", "d/README.md.gz"):
        put(name, packed)
    put("d/cut.csv.gz", packed[:11])
    assert found("d/c.dat") == [("d/c.dat", "jsonl")]
    sources = find_sources(["d"])
    assert [(each.name, each.format) for each in sources] == [
        ("d/a.jsonl.gz", "jsonl"),
        ("d/b.gz", "jsonl"),
        ("d/c.dat", "jsonl"),
    ]
    assert [record for chunk in read(sources[0]) for record in chunk.head(9)] == [
        {"body": "Some text"},
        {"body": "Some text"},
    ]
    assert [source.facts["compression"] for source in sources] == ["gzip"] * 3
    assert [each.name for each in sources.broken] == ["d/cut.csv.gz"]
    put("e.csv.gz", gzip.compress(b"id,body\n1,x\n" * 99, mtime=0)[:-9])
    (source,) = find_sources(["e.csv.gz"])
    with pytest.raises(UserError, match=r"^e.csv.gz ends in the middle"):
        list(read(source))


def test_partition_folders_become_constant_columns() -> None:
    put("p=0/lang=de/q%2Fr=a%20b/year=__HIVE_DEFAULT_PARTITION__/x.jsonl")
    expected = (("lang", "de"), ("q/r", "a b"))
    assert find_sources(["p=0"])[0].constants == expected
    assert find_sources(["p=0/*/*/*/x.jsonl"])[0].constants == expected
    assert find_sources(["p=*/lang=de/**/*.jsonl"])[0].constants == (("p", "0"), *expected)
    assert find_sources(["p=*"])[0].constants == (("p", "0"), *expected)
    assert find_sources([str(Path("p=0").resolve())])[0].constants == expected
    assert find_sources(["p=0/lang=de/q%2Fr=a%20b"])[0].constants == ()


def test_file_urls_are_paths(folder: Path) -> None:
    put("a b.jsonl")
    uri = (folder / "a b.jsonl").as_uri()
    assert "%20" in uri
    assert found(uri, "a b.jsonl") == [(f"{folder}/a b.jsonl", "jsonl")]


def test_a_folder_of_texts_contains_articles() -> None:
    put("d/One.txt", "Some prose, which goes on.\n\nAnd on.")
    put("d/Two.md", "# Two\n\nSome prose, which goes on.")
    put("d/Three.html", "<!doctype html><html><body><p>Some prose.</p></body></html>")
    put("d/README.md", "# About it")
    put("d/tables/notes.txt", "Some prose, which goes on.")
    put("d/tables/a.csv", "id,body\n1,x\n")
    sources = find_sources(["d"])
    assert [(each.name, each.format) for each in sources] == [
        ("d/One.txt", "document"),
        ("d/Three.html", "document"),
        ("d/Two.md", "document"),
        ("d/tables/a.csv", "csv"),
    ]
    assert [(each.name, each.reason) for each in sources.skipped] == [
        ("d/README.md", "not a data file"),
        ("d/tables/notes.txt", NOTE_REASON),
    ]
    assert found("d/README.md", "d/tables/notes.txt") == [
        ("d/README.md", "document"),
        ("d/tables/notes.txt", "document"),
    ]


def test_many_texts_beside_a_table_are_articles_not_notes() -> None:
    put("d/index.csv", "id,title\n1,x\n")
    put("few/links.txt", "https://example.org/a\nhttps://example.org/b\n")
    for number in range(11):
        put(f"d/{number}.txt", "Some prose, which goes on.")
    put("few/a.txt", "Some prose, which goes on.")
    assert len(found("d")) == 12
    assert ("few/a.txt", "document") in found("few")


def test_references_are_matched_by_name() -> None:
    for number in range(9):
        put(f"d/long/{number}.txt", f"Some prose, which goes on. {number}\n\n" * 50)
        put(f"d/short/{number}.html", "<!doctype html><html><p>Short.</p></html>")
    put("d/long/only.txt", "Some prose, which goes on.")
    options = SourceOptions(references="d/short")
    for spec in ("d", "d/long"):
        sources = find_sources([spec], options)
        named = {each.name: each.references and each.references.file_name for each in sources}
        assert named == {
            **{f"d/long/{number}.txt": f"{number}.html" for number in range(9)},
            "d/long/only.txt": None,
        }
    put("e/other.txt", "Some prose, which goes on.")
    with pytest.raises(UserError, match="none of its files has the name of a source"):
        find_sources(["e"], options)
    with pytest.raises(UserError, match="nowhere does not exist"):
        find_sources(["e"], SourceOptions(references="nowhere"))


def test_the_user_is_asked_if_one_of_two_folders_looks_like_summaries() -> None:
    for number in range(9):
        put(f"d/a/{number}.txt", f"Some prose, which goes on. {number}\n\n" * 50)
        put(f"d/b/{number}.txt", f"Short {number}.")
        put(f"years/2020/{number}.txt", "Some prose, which goes on." * (number + 1))
        put(f"years/2021/{number}.txt", "Some prose, which goes on." * (10 - number))
    assert error_of("d") == (
        "d: 9 files of d/b have the names of longer ones of d/a; if they are their summaries, "
        "load d/a --references d/b; if all are articles, name both folders"
    )
    assert len(found("d/a", "d/b")) == 18
    assert len(found("years")) == 18


def put_texts(folder: str, times: int, count: int = 6) -> None:
    for number in range(1, count + 1):
        put(f"{folder}/{number:03}.txt", f"Some prose of {folder}, which goes on.\n\n" * times)


def categories(*specs: str) -> dict[str, str | None]:
    sources = find_sources(list(specs))
    return {each.name: dict(each.constants).get("folder_category") for each in sources}


NINE = "arts business food health politics science sport tech travel".split()


def test_folder_names_are_categories() -> None:
    for number, name in enumerate(NINE):
        put_texts(f"d/{name}", times=20 if number % 2 else 2)
    found = categories("d")
    assert len(found) == 9 * 6
    assert found["d/sport/003.txt"] == "sport"
    assert set(found.values()) == set(NINE)
    assert set(categories("d/*/*.txt").values()) == set(NINE)
    assert set(categories("d/sport").values()) == {None}


def test_a_folder_named_summaries_contains_those_of_the_articles_beside_it() -> None:
    for name in ("business", "sport"):
        put_texts(f"d/News Articles/{name}", times=20)
        put_texts(f"d/Summaries/{name}", times=7)
    sources = find_sources(["d"])
    assert [each.name for each in sources] == [
        f"d/News Articles/{name}/{number:03}.txt"
        for name in ("business", "sport")
        for number in range(1, 7)
    ]
    for source in sources:
        assert source.references
        (row,) = [row for chunk in read(source) for row in chunk.head(9)]
        folder = row["folder_category"]
        assert row["reference_summary"].startswith(f"Some prose of d/Summaries/{folder},")
    assert len(sources.skipped) == 12
    assert {each.reason for each in sources.skipped} == {
        "a summary, by its folder's name; name the folder to load it as articles"
    }
    assert len(find_sources(["d/News Articles", "d/Summaries"])) == 24
    put("d/News Articles/business/only.txt", "Some prose, which goes on.")
    put("d/News Articles/sport/only.txt", "Some prose, which goes on. " * 9)
    put("d/Summaries/sport/only.txt", "Some prose.")
    named = {each.name: each.references for each in find_sources(["d"])}
    assert named["d/News Articles/sport/only.txt"]
    assert named["d/News Articles/business/only.txt"] is None
    given = SourceOptions(references="d/Summaries")
    assert all(each.references for each in find_sources(["d/News Articles"], given))
    assert all(each.references for each in find_sources(["d"], given))


def test_folders_named_like_summaries_are_categories_if_not_shorter() -> None:
    for name in ("abstracts", "essays", "letters"):
        put_texts(f"d/{name}", times=20)
    assert set(categories("d").values()) == {"abstracts", "essays", "letters"}


@pytest.mark.parametrize(
    "names",
    [
        ("2020", "2021"),
        ("part1", "part2"),
        ("train", "test"),
        ("de", "en", "fr"),
        ("lang=de", "lang=en"),
    ],
)
def test_numbers_splits_and_language_codes_are_not_categories(names: tuple[str, ...]) -> None:
    for name in names:
        put_texts(f"d/{name}", times=2)
    assert set(categories("d").values()) == {None}


def test_the_nearest_suitable_folder_is_the_category() -> None:
    for year in ("2020", "2021"):
        for name in ("体育", "财经", "科技"):
            put_texts(f"d/{name}/{year}", times=2)
            put_texts(f"e/{year}/{name}", times=2)
    assert categories("d")["d/体育/2020/001.txt"] == "体育"
    assert categories("e")["e/2021/财经/001.txt"] == "财经"
    put("f/my-first-post/index.html", "<!doctype html><html><p>Some prose.</p></html>")
    put("f/my-second-post/index.html", "<!doctype html><html><p>Some prose.</p></html>")
    assert set(categories("f").values()) == {None}


@pytest.mark.skipif(not DEV.exists(), reason="needs the development data")
def test_klexikon_needs_its_references_named() -> None:
    klexikon = str(DEV / "klexikon")
    articles = find_sources([f"{klexikon}/wiki"])
    assert {source.format for source in articles} == {"document"}
    assert len(articles) == 274
    assert f"load {klexikon}/wiki --references {klexikon}/klexikon" in error_of(klexikon)
    paired = find_sources([f"{klexikon}/wiki"], SourceOptions(references=f"{klexikon}/klexikon"))
    assert all(source.references for source in paired)
    assert len(paired) == 274
