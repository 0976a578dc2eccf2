import json
from pathlib import Path

import pytest

import tasks.readers_jsonl
from tasks.errors import UserError
from tasks.places import LocalPlace
from tasks.readers_base import RecordChunk, Source
from tasks.readers_jsonl import read_jsonl


def read_all(path: Path, content: bytes, batch_rows: int = 1000) -> RecordChunk:
    path.write_bytes(content)
    everything = RecordChunk()
    for chunk in read_jsonl(Source(LocalPlace(path), path.name, "jsonl"), batch_rows):
        assert 0 < len(chunk) <= batch_rows
        everything.records += chunk.records
        everything.rows += chunk.rows
        everything.rejects += chunk.rejects
    return everything


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "articles.jsonl"


def test_bom_crlf_blank_lines_and_no_last_line_end(path: Path) -> None:
    chunk = read_all(path, b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"b": "\xc3\xa9"}')
    assert chunk.records == [{"a": 1}, {"b": "é"}]
    assert chunk.rows == [1, 4]
    assert chunk.rejects == []


def test_utf16_as_powershell_writes_it(path: Path) -> None:
    chunk = read_all(path, '{"body": "Zürich 你好"}\r\n{"body": "\u0a0d"}\r\n'.encode("utf-16"))
    assert chunk.records == [{"body": "Zürich 你好"}, {"body": "\u0a0d"}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"body": "cut', "not JSON: .*character 14"),
        (b'{"a": 1} {"a": 2}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": "\\ud800", "b": NaN}', "not JSON"),
        (b"[1, 2]", "an array, not an object"),
        (b"null", "null, not an object"),
        (b'"text"', "a string, not an object"),
        (b"17", "a number, not an object"),
        (b'{"body": "caf\xe9"}', "not UTF-8 at byte 14"),
        (b'{"a":' * 100_000, "not JSON"),
    ],
)
def test_a_broken_line_is_rejected_and_its_neighbours_are_kept(
    path: Path, line: bytes, reason: str
) -> None:
    chunk = read_all(path, b'{"n": 1}\n' + line + b'\n{"n": 3}\n')
    assert chunk.records == [{"n": 1}, {"n": 3}]
    assert chunk.rows == [1, 3]
    (reject,) = chunk.rejects
    assert reject.row == 2
    with pytest.raises(ValueError, match=reason):
        raise ValueError(reject.reason)
    assert len(reject.raw) <= 2000
    assert reject.raw.startswith(line[:8].decode())


def test_a_cut_last_line_is_said_to_be_cut(path: Path) -> None:
    chunk = read_all(path, b'{"n": 1}\n{"n": ')
    assert chunk.records == [{"n": 1}]
    assert "the file ends within this line" in chunk.rejects[0].reason


def test_a_line_without_end_is_skipped_unread(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        tasks.readers_jsonl,
        "bounded_lines",
        lambda readline, ends: tasks.readers_text.bounded_lines(readline, ends, limit=100),
    )
    long = b'{"body": "' + b"x" * 3_000_000 + b'"}'
    chunk = read_all(path, b'{"n": 1}\n' + long + b'\n{"n": 3}\n' + long)
    assert chunk.records == [{"n": 1}, {"n": 3}]
    assert [(each.row, each.reason) for each in chunk.rejects] == [
        (2, "the line is longer than 64 MiB"),
        (4, "the line is longer than 64 MiB"),
    ]


def test_lone_surrogates_and_large_integers_survive(path: Path) -> None:
    chunk = read_all(path, b'{"a": "x\\ud800y"}\n{"id": 12345678901234567890123}\n{"f": 1e300}\n')
    assert chunk.records == [{"a": "x\ud800y"}, {"id": 12345678901234567890123}, {"f": 1e300}]


def test_chunks_end_at_their_rows_and_at_their_bytes(path: Path) -> None:
    rows = [{"n": n, "body": "x" * 3_000_000} for n in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Source(LocalPlace(path), "articles.jsonl", "jsonl")
    assert [len(chunk) for chunk in read_jsonl(source, 1000)] == [3, 3]
    assert [len(chunk) for chunk in read_jsonl(source, 2)] == [2, 2, 2]


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_said_to_be_empty(path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match=r"^articles\.jsonl is empty"):
        read_all(path, content)


def test_a_file_that_is_gone_is_named(path: Path) -> None:
    with pytest.raises(UserError, match=r"^articles\.jsonl cannot be read: No such file"):
        list(read_jsonl(Source(LocalPlace(path), "articles.jsonl", "jsonl")))
