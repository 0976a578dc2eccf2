"""Malicious or broken sources are loaded safely or rejected, with a message of one line."""

import base64
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from article_flows.flows.cli.inspect_command import inspect
from article_flows.flows.cli.output import show_ingest
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.places import compressed
from article_flows.tasks.settings import IngestSettings
from tests.support import ROOT
from tests.tasks.ingest.hostile_support import CONTROLS, TEXT, loaded, rows_of, write_jsonl
from tests.tasks.reading.web.web_support import Site, page, redirect

ESCAPES = "\x1b[31mred\x1b[0m\x07\x9b2J\u202e"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder that contains the lake and the sources."""
    (tmp_path / "home" / "in").mkdir(parents=True)
    return tmp_path / "home"


def listing(folder: Path, but_not: Path) -> list[tuple[str, int]]:
    """Return all files below a folder with their sizes, except those of one subfolder."""
    return sorted(
        (str(path), path.stat().st_size if path.is_file() else 0)
        for path in folder.rglob("*")
        if path != but_not and but_not not in path.parents
    )


def bomb(path: Path, member_bytes: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", b"id,body\n" + b"1," + b"a" * member_bytes)


def test_a_zip_bomb_is_rejected_in_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the patch, only files of 1 GiB or more are checked.
    monkeypatch.setattr(compressed, "MIN_BOMB_BYTES", 1 << 20)
    bomb(home / "in" / "bomb.zip", 8 << 20)
    write_jsonl(home / "in" / "good.jsonl", {"body": TEXT})

    report = loaded(home)

    assert report.stored == 1
    (broken,) = report.broken
    assert str(broken.error).startswith(f"{home}/in/bomb.zip unpacks to more than 50 times")
    with pytest.raises(UserError, match=r"bomb\.zip unpacks to more than 50 times"):
        loaded(home, home / "in" / "bomb.zip")


def test_a_zip_bomb_with_a_false_size_is_stopped_while_unpacking(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "MIN_BOMB_BYTES", 1 << 20)
    path = home / "in" / "bomb.zip"
    bomb(path, 8 << 20)
    size = (8 << 20) + len("id,body\n1,")
    # Both headers claim a size of a hundred bytes.
    honest, lie = size.to_bytes(4, "little"), (100).to_bytes(4, "little")
    assert path.read_bytes().count(honest) == 2
    path.write_bytes(path.read_bytes().replace(honest, lie))
    write_jsonl(home / "in" / "good.jsonl", {"body": TEXT})

    report = loaded(home)

    assert report.stored == 1
    (broken,) = report.broken
    assert "bomb.zip" in str(broken.error)
    assert all(len(row["body"]) < 1_000 for row in rows_of(home))


def test_a_body_of_five_million_characters_is_rejected_with_its_length(home: Path) -> None:
    write_jsonl(
        home / "in" / "a.jsonl",
        {"id": 1, "body": TEXT},
        {"id": 2, "body": "word " * 1_000_000},
        {"id": 3, "body": f"{TEXT} Again."},
    )

    report = loaded(home)

    assert (report.stored, report.rejected) == (2, 1)
    (reject,) = rows_of(home, "rejects")
    assert reject["row"] == 2
    assert reject["reason"] == "4,999,999 characters; the maximum is 1,000,000 (--max-chars)"
    assert len(reject["raw"]) < 10_000
    assert loaded(home, max_chars=0).stored == 1


def test_names_with_path_traversal_write_nothing_outside_the_lake(home: Path) -> None:
    names = ["../../etc", "/etc/passwd", "..", "a/../../../b", "C:\\Windows", "nul\0byte", "~root"]
    rows = [
        {"id": name, "title": name, "url": f"file://{name}", "category": name, "body": TEXT + name}
        for name in names
    ]
    write_jsonl(home / "in" / "a.jsonl", *rows)
    with zipfile.ZipFile(home / "in" / "evil.zip", "w") as archive:
        archive.writestr("../../../escaped.jsonl", json.dumps({"body": f"{TEXT} Escaped."}))
        archive.writestr("/tmp/absolute.jsonl", json.dumps({"body": f"{TEXT} Absolute."}))
    before = listing(home.parent, home / "lake")

    report = loaded(home)

    assert listing(home.parent, home / "lake") == before
    assert (report.rows_in, report.stored, report.broken) == (9, 9, [])
    stored = {row["category"] for row in rows_of(home)} - {None}
    assert stored == {name.replace("\0", "") for name in names}
    below = [path.relative_to(home / "lake") for path in (home / "lake").rglob("*")]
    assert {path.parts[0] for path in below} <= {"articles", "_staging"}


def test_escape_sequences_do_not_reach_reports_or_terminals(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = home / "in"
    write_jsonl(folder / f"{ESCAPES}.jsonl", {"id": ESCAPES, "body": TEXT, ESCAPES: 1}, ESCAPES)
    write_jsonl(folder / "no_body.jsonl", {f"{ESCAPES}{number}": number for number in range(3)})
    (folder / f"broken{ESCAPES}.parquet").write_bytes(b"PAR1 nothing PAR1")
    (folder / f"LICENSE{ESCAPES}.md").write_text(f"{TEXT} {ESCAPES}")
    (folder / f"cut{ESCAPES}.jsonl.gz").write_bytes(b"\x1f\x8b\x08\0")
    (folder / "head.csv").write_text(f"{ESCAPES}one,{ESCAPES}two,n\n1,{TEXT},2\n2,{TEXT} 2,3\n")

    report = loaded(home)

    assert (report.stored, report.rejected) == (1, 1)
    assert len(report.broken) == 4
    for each in report.sources:
        assert not CONTROLS.search(f"{each.source} {each.error}")
    show_ingest(report, as_json=False)
    inspect(IngestSettings(sources=[str(folder)]), as_json=False)
    out, err = capsys.readouterr()
    assert TEXT[:10] in out
    assert "[31mred" in err
    assert not CONTROLS.search(out + err)
    show_ingest(report, as_json=True)
    inspect(IngestSettings(sources=[str(folder)]), as_json=True)
    for line in capsys.readouterr().out.splitlines():
        assert "\x1b" not in line
        assert json.loads(line)
    for row in rows_of(home) + rows_of(home, "rejects"):
        assert not CONTROLS.search(row["source"])


@pytest.fixture
def site() -> Iterator[Site]:
    with Site({"/a": page("A"), "/b": page("B", "refused to mend the road")}) as running:
        yield running


def test_urls_in_data_reach_loopback_only_if_allowed(home: Path, site: Site) -> None:
    path = home / "in" / "list.urls"
    path.write_text(f"{site.url('/a')}\n{site.url('/b')}\n")

    report = loaded(home)

    assert (report.stored, report.rejected, sum(site.counts.values())) == (0, 2, 0)
    for reject in rows_of(home, "rejects"):
        assert "private address 127.0.0.1" in reject["reason"]
        assert "--allow-host 127.0.0.1" in reject["reason"]
        assert "\n" not in reject["reason"]

    report = loaded(home, allow_hosts=[site.host])

    assert (report.stored, report.rejected) == (2, 0)
    assert {row["title"] for row in rows_of(home)} == {"A", "B"}


def test_redirects_reach_loopback_only_if_allowed(home: Path, site: Site) -> None:
    with Site({"/out": redirect(site.url("/a"))}) as outside:
        path = home / "in" / "list.urls"
        path.write_text(f"{outside.url('/out')}\n")

        report = loaded(home, allow_hosts=[outside.host])

        assert (report.stored, report.rejected, site.counts["/a"]) == (0, 1, 0)
        (reject,) = rows_of(home, "rejects")
        assert "--allow-host 127.0.0.1" in reject["reason"]
        with pytest.raises(UserError, match="--allow-host 127"):
            # A file given by the user may redirect as well.
            loaded(home, outside.url("/out"))
        assert site.counts["/a"] == 0

        report = loaded(home, allow_hosts=[outside.host, site.host])

    assert (report.stored, report.rejected) == (1, 0)


@pytest.mark.parametrize("after", [5, 3_000])
def test_an_unclosed_quote_loses_only_its_own_row(home: Path, after: int) -> None:
    lines = [f'{number},"{TEXT} {number}"' for number in range(1, 11)]
    lines[5] = lines[5][:-1]
    lines += [f'{number},"{TEXT} {number}"' for number in range(11, 11 + after)]
    (home / "in" / "a.csv").write_text("\n".join(["id,body", *lines, ""]))

    report = loaded(home)

    stored = {row["article_id"] for row in rows_of(home)}
    assert (report.stored, report.rejected) == (9 + after, 1)
    assert stored == {str(number) for number in range(1, 11 + after)} - {"6"}
    (reject,) = rows_of(home, "rejects")
    assert "6" in reject["raw"]


class _NoKms(pe.KmsClient):  # type: ignore[misc]  # pyarrow has no types
    """A key management client that does not encrypt keys."""

    def __init__(self, _config: object) -> None:
        super().__init__()

    def wrap_key(self, key_bytes: bytes, _master_key: str) -> bytes:
        return base64.b64encode(key_bytes)


@pytest.mark.parametrize("plaintext_footer", [False, True])
def test_encrypted_parquet_is_rejected_and_other_files_are_loaded(
    home: Path, plaintext_footer: bool
) -> None:
    properties = pe.CryptoFactory(_NoKms).file_encryption_properties(
        pe.KmsConnectionConfig(),
        pe.EncryptionConfiguration(
            footer_key="a", column_keys={"b": ["body"]}, plaintext_footer=plaintext_footer
        ),
    )
    table = pa.table({"id": ["1"], "body": [TEXT]})
    path = home / "in" / "encrypted.parquet"
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    write_jsonl(home / "in" / "good.jsonl", {"body": TEXT})

    # In a separate process, because pyarrow used to abort it.
    load = (
        "import sys; from pathlib import Path\n"
        "from tests.tasks.ingest.hostile_support import loaded\n"
        "report = loaded(Path(sys.argv[1]))\n"
        "print(report.stored, *(each.error for each in report.broken), sep='\\n')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", load, str(home)], cwd=ROOT, capture_output=True, text=True
    )

    assert ended.returncode == 0, ended.stderr
    stored, error = ended.stdout.splitlines()
    assert stored == "1"
    assert "encrypted.parquet is encrypted Parquet; decrypt it first" in error
