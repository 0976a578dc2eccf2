"""Files in archives are sources; damaged, hostile and unreadable archives are reported."""

import bz2
import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.formats.registry import read
from article_flows.tasks.reading.sources.files import HIDDEN_REASON
from article_flows.tasks.reading.sources.find import Sources, find_sources

LINE = '{"body": "Some text"}\n'
ROWS = "".join(f'{{"id": "{number}", "body": "text {number}"}}\n' for number in range(9_000))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def zipped(
    files: dict[str, str | bytes], name: str = "x.zip", method: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(name, "w", method) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return Path(name)


def bodies(sources: Sources) -> dict[str, list[str]]:
    return {
        source.name: [record["body"] for chunk in read(source) for record in chunk.head(10**6)]
        for source in sources
    }


def error_of(spec: str) -> str:
    with pytest.raises(UserError) as error:
        bodies(find_sources([spec]))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_each_file_of_a_zip_is_a_source(method: int) -> None:
    zipped(
        {
            "2020/a.jsonl": ROWS,
            "2020/b.csv": "id,body\n1,x\n",
            "c.jsonl.gz": gzip.compress(LINE.encode()),
            "README.md": "about it",
            "__MACOSX/2020/._a.jsonl": b"\0\5\x16\7",
            ".hidden.jsonl": LINE,
            "_SUCCESS": "",
            "empty.dat": "",
            "folder/": "",
        },
        method=method,
    )
    sources = find_sources(["x.zip"])
    texts = bodies(sources)
    assert list(texts) == ["x.zip/2020/a.jsonl", "x.zip/2020/b.csv", "x.zip/c.jsonl.gz"]
    assert texts["x.zip/2020/a.jsonl"] == [f"text {number}" for number in range(9_000)]
    assert [texts["x.zip/2020/b.csv"], texts["x.zip/c.jsonl.gz"]] == [["x"], ["Some text"]]
    assert [(each.name, each.reason) for each in sources.skipped] == [
        ("x.zip/README.md", "not a data file"),
        ("x.zip/empty.dat", "is empty: it contains no articles"),
        ("x.zip/__MACOSX/2020/._a.jsonl", HIDDEN_REASON),
        ("x.zip/.hidden.jsonl", HIDDEN_REASON),
        ("x.zip/_SUCCESS", HIDDEN_REASON),
    ]
    assert sources.broken == []


def test_files_that_are_not_data_are_skipped_in_an_archive() -> None:
    png, pdf = b"\x89PNG\r\n\x1a\n" + bytes(50), b"%PDF-1.7\n\xe2\xe3\xcf\xd3\n"
    office = Path("office.docx")
    zipped({"[Content_Types].xml": "<x/>", "word/document.xml": "<x/>"}, str(office))
    word = office.read_bytes()
    zipped({"a.jsonl": LINE, "p.png": png, "b.pdf": pdf, "c.docx": word, "d.csv": png}, "mixed.zip")
    sources = find_sources(["mixed.zip"])
    assert [each.name for each in sources] == ["mixed.zip/a.jsonl"]
    skipped = [each.name for each in sources.skipped]
    assert skipped == ["mixed.zip/p.png", "mixed.zip/b.pdf", "mixed.zip/c.docx"]
    assert [each.name for each in sources.broken] == ["mixed.zip/d.csv"]
    zipped({"p.png": png}, "none.zip")
    assert error_of("none.zip").startswith("none.zip contains no file that can be read")


def test_paths_in_archives_are_never_written_to(tmp_path: Path) -> None:
    outside = tmp_path.parent / "passwd.jsonl"
    zipped({"../passwd.jsonl": LINE, "/etc/cron.d/x.jsonl": LINE, "C:\\x\n\x1b[31m.jsonl": LINE})
    before = sorted(tmp_path.rglob("*"))
    sources = find_sources(["x.zip"])
    assert [len(texts) for texts in bodies(sources).values()] == [1, 1, 1]
    assert all(source.name.isprintable() for source in sources)
    assert sources[0].name == "x.zip/../passwd.jsonl"
    assert sorted(tmp_path.rglob("*")) == before
    assert not outside.exists()


def test_a_zip_is_detected_by_content_and_inherits_partitions() -> None:
    Path("d/lang=en").mkdir(parents=True)
    zipped({"year=2020/a.jsonl": LINE}, "d/lang=en/x.dat")
    (source,) = find_sources(["d"])
    assert source.name == "d/lang=en/x.dat/year=2020/a.jsonl"
    assert source.constants == (("lang", "en"), ("year", "2020"))


def test_office_files_are_not_archives() -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["title", "body"])
    book.active.append(["a", "some text"])
    book.save("x.xlsx")
    assert [(each.name, each.format) for each in find_sources(["x.xlsx"])] == [("x.xlsx", "excel")]
    Path("x.xlsx").rename("x.zip")
    assert [(each.name, each.format) for each in find_sources(["x.zip"])] == [("x.zip", "excel")]


def set_flag(path: Path, flag: int) -> None:
    """Set a flag of the first file, in its header and the directory."""
    data = bytearray(path.read_bytes())
    data[6] |= flag
    data[data.index(b"PK\1\2") + 8] |= flag
    path.write_bytes(data)


def test_unreadable_members_are_reported_and_others_are_read() -> None:
    set_flag(zipped({"secret.jsonl": LINE, "b.jsonl": LINE, "in.zip": b"PK\3\4" + bytes(600)}), 1)
    sources = find_sources(["x.zip"])
    assert [source.name for source in sources] == ["x.zip/b.jsonl"]
    assert [each.reason for each in sources.broken] == [
        "x.zip/secret.jsonl is encrypted; unpack the archive with its password (unzip -P)",
        "x.zip/in.zip is an archive in x.zip; unpack it",
    ]
    data = bytearray(zipped({"a.jsonl": LINE}).read_bytes())
    data[data.index(b"PK\1\2") + 10] = 9
    Path("x.zip").write_bytes(data)
    assert "compressed with an unsupported method (Deflate64)" in error_of("x.zip")


def test_damaged_zips_are_reported() -> None:
    data = zipped({"a.jsonl": ROWS}).read_bytes()
    Path("x.zip").write_bytes(data[: len(data) // 2])
    assert error_of("x.zip").startswith("x.zip is a damaged ZIP archive (File is not a zip file)")
    broken = bytearray(data)
    broken[len(data) // 2 : len(data) // 2 + 500] = b"\xff" * 500
    Path("x.zip").write_bytes(broken)
    assert error_of("x.zip").startswith("x.zip/a.jsonl is damaged: ")
    Path("x.zip").write_bytes(b"PK\5\6" + bytes(18))
    assert "is an archive without files" in error_of("x.zip")


def change_directory(path: Path, field: int, value: int) -> None:
    """Overwrite a field of the first file's entry: 16 checksum, 20 packed size, 24 size."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\1\2") + field, value)
    path.write_bytes(data)


def test_wrong_sizes_and_checksums_are_detected() -> None:
    change_directory(zipped({"a.jsonl": ROWS}), 24, 5_000)
    assert "it has more than the 5,000 bytes its archive declares" in error_of("x.zip")
    change_directory(zipped({"a.jsonl": ROWS}), 24, 900_000_000)
    assert "x.zip/a.jsonl ends in the middle" in error_of("x.zip")
    change_directory(zipped({"a.jsonl": ROWS}), 16, 1)
    assert "x.zip/a.jsonl is damaged: its checksum is wrong" in error_of("x.zip")


def test_bombs_are_rejected_before_anything_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("article_flows.tasks.reading.places.compressed.MIN_BOMB_BYTES", 1 << 20)
    zipped({f"{number}.csv": bytes(1 << 19) for number in range(9)})
    assert error_of("x.zip").startswith("x.zip unpacks to more than 50 times its size (")
    # One that declares a small size.
    change_directory(zipped({"a.csv": b"a,b\n" + b"1,2\n" * (1 << 20)}), 24, 1 << 20)
    assert "more than" in error_of("x.zip")


def test_overlapping_files_are_rejected() -> None:
    """David Fifield's bomb: thousands of files that share one content."""
    data = zipped({"a.jsonl": ROWS, "b.jsonl": ROWS}).read_bytes()
    second = data.rindex(b"PK\1\2")
    broken = bytearray(data)
    struct.pack_into("<I", broken, second + 42, 0)
    Path("x.zip").write_bytes(broken)
    assert "x.zip is not read: " in error_of("x.zip")
    assert "overlaps with" in error_of("x.zip")


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("x.tar", bytes),
        ("x.tar.gz", gzip.compress),
        ("x.tgz", gzip.compress),
        ("x.tar.bz2", bz2.compress),
        ("x.dat", gzip.compress),
    ],
)
def test_each_file_of_a_tar_is_a_source(name: str, pack: Callable[[bytes], bytes]) -> None:
    with tarfile.open("plain", "w") as archive:
        for path in ("./d/a.jsonl", "d/._a.jsonl", "../b.jsonl"):
            info = tarfile.TarInfo(path)
            info.size = len(ROWS)
            archive.addfile(info, io.BytesIO(ROWS.encode()))
        link = tarfile.TarInfo("link.jsonl")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    Path(name).write_bytes(pack(Path("plain").read_bytes()))
    sources = find_sources([name])
    assert {key: len(texts) for key, texts in bodies(sources).items()} == {
        f"{name}/./d/a.jsonl": 9_000,
        f"{name}/../b.jsonl": 9_000,
    }
    assert [each.reason for each in sources.broken] == [f"{name}/link.jsonl is a link"]


def test_a_truncated_tar_gives_the_files_before_its_end() -> None:
    with tarfile.open("x.tar", "w") as archive:
        for path in ("a.jsonl", "b.jsonl"):
            info = tarfile.TarInfo(path)
            info.size = len(ROWS)
            archive.addfile(info, io.BytesIO(ROWS.encode()))
    data = Path("x.tar").read_bytes()
    Path("x.tar").write_bytes(data[: len(ROWS) * 3 // 2])
    sources = find_sources(["x.tar"])
    assert [source.name for source in sources] == ["x.tar/a.jsonl"]
    assert "ends before it" in sources.broken[0].reason
    Path("y.tar.gz").write_bytes(gzip.compress(data)[:5_000])
    assert "y.tar.gz ends in the middle of its compressed data" in error_of("y.tar.gz")
