import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import UserError
from tasks.sources import find_sources

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


def test_a_folder_is_read_below_in_order_without_what_is_no_data() -> None:
    for name in ("d/b.jsonl", "d/a/z.csv", "d/a/y.NDJSON", "d/_tmp/x.jsonl", "d/.git/x.jsonl"):
        put(name, "a,b\n1,2\n" if name.endswith("csv") else LINE)
    for name in ("d/LICENSE", "d/README.md", "d/notes.txt", "d/_SUCCESS", "d/.hidden.jsonl"):
        put(name)
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
        ("d/notes.txt", "not a data file"),
    ]
    assert [(each.name, each.reason) for each in sources.broken] == [
        ("d/picture.jsonl", "d/picture.jsonl is a PNG image, not a table of articles"),
    ]


def test_names_are_as_the_user_gave_them(folder: Path) -> None:
    put("d/a.jsonl")
    assert found("./d//a.jsonl") == [("d/a.jsonl", "jsonl")]
    assert found(str(folder / "d")) == [(f"{folder}/d/a.jsonl", "jsonl")]


def test_globs() -> None:
    for name in ("d/1.jsonl", "d/2.jsonl", "d/e/3.jsonl", "d/_4.jsonl", "d/LICENSE"):
        put(name)
    assert found("d/*.jsonl") == [("d/1.jsonl", "jsonl"), ("d/2.jsonl", "jsonl")]
    everything = [("d/1.jsonl", "jsonl"), ("d/2.jsonl", "jsonl"), ("d/e/3.jsonl", "jsonl")]
    assert found("d/*") == everything
    assert found("d/**") == everything
    assert found("**/[23].jsonl") == everything[1:]
    put("odd[1].jsonl")
    assert found("odd[1].jsonl") == [("odd[1].jsonl", "jsonl")]


def test_a_file_named_twice_comes_once(folder: Path) -> None:
    put("d/a.jsonl")
    Path("d/b.jsonl").symlink_to(folder / "d/a.jsonl")
    assert found("d/a.jsonl", "d", str(folder / "d/a.jsonl"), "d/*") == [("d/a.jsonl", "jsonl")]


def test_demo() -> None:
    assert found("demo") == [("demo", "jsonl")]
    put("demo/mine.jsonl")
    assert found("demo") == [("demo/mine.jsonl", "jsonl")]


def test_the_content_decides_where_the_suffix_lies_or_does_not_tell() -> None:
    pq.write_table(pa.table({"body": ["x"]}), "table.jsonl")
    put("lines.csv", LINE * 2)
    put("table.txt", "a\tb\n1\t2\n")
    put("lines.json", LINE)
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
        ("x.jsonl", b"\x1f\x8b\x08\0", "x.jsonl is a compressed file; unpack it first (gunzip)"),
        ("x.xlsx", b"PK\x03\x04", "x.xlsx is a ZIP archive or an Office file"),
        ("x.json", '[\n  {"body": "x"},\n  {}\n]', "x.json is a JSON array; write one object"),
        ("x.csv", b"\0\1\2" * 100, "x.csv is not csv inside; these can be read: .parquet"),
        ("x.csv", "a,b\n1,2\n".encode("utf-16-le"), "x.csv is not csv inside"),
        ("x.csv", bytes(range(256)) * 9, "x.csv is not csv inside"),
        ("x.parquet", "nothing of the kind", "x.parquet is not parquet inside"),
        ("x.dat", "nothing of the kind", "x.dat is in a format that is not known"),
        ("x.jsonl", "", "x.jsonl is empty"),
    ],
)
def test_files_that_cannot_be_read(name: str, content: str | bytes, message: str) -> None:
    put(name, content)
    assert error_of(name).startswith(message)


def test_specs_that_lead_nowhere() -> None:
    assert error_of("missing.jsonl").startswith("missing.jsonl does not exist")
    assert error_of("*.jsonl").startswith("*.jsonl matches no file")
    assert error_of("s3://bucket/a.jsonl").startswith("s3://bucket/a.jsonl: URLs are not supported")
    assert error_of("https://example.org/a.jsonl").startswith("https://example.org/a.jsonl: URLs")
    assert "no source is given" in error_of()
    Path("empty").mkdir()
    assert error_of("empty").startswith("empty is an empty folder")
    put("docs/README.md")
    message = error_of("docs")
    assert message.startswith("docs holds no file that can be read")
    assert message.endswith("docs/README.md: not a data file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read() -> None:
    put("x.jsonl").chmod(0)
    assert error_of("x.jsonl") == "x.jsonl cannot be read: Permission denied"
