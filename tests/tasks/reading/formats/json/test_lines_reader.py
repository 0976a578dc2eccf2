import json
from pathlib import Path

import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import RecordChunk, Source
from article_flows.tasks.reading.formats.json import lines_reader
from article_flows.tasks.reading.formats.json.lines_reader import read_jsonl
from tests.support import DEMO, ROOT

REAL = ROOT.parent / "shared" / "data" / "dev" / "nasty" / "derived_from_real"


def read_all(path: Path, content: bytes, batch_rows: int = 1000) -> RecordChunk:
    path.write_bytes(content)
    everything = RecordChunk()
    for chunk in read_jsonl(Source(LocalFile(path), path.name, "jsonl"), batch_rows):
        assert 0 < len(chunk) <= batch_rows
        everything.records += chunk.records
        everything.rows += chunk.rows
        everything.rejects += chunk.rejects
    return everything


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "articles.jsonl"


def test_bom_crlf_blank_lines_and_a_missing_last_newline_are_accepted(path: Path) -> None:
    chunk = read_all(path, b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"b": "\xc3\xa9"}')
    assert chunk.records == [{"a": 1}, {"b": "é"}]
    assert chunk.rows == [1, 4]
    assert chunk.rejects == []


def test_utf16_as_written_by_powershell_is_read(path: Path) -> None:
    chunk = read_all(path, '{"body": "Zürich 你好"}\r\n{"body": "\u0a0d"}\r\n'.encode("utf-16"))
    assert chunk.records == [{"body": "Zürich 你好"}, {"body": "\u0a0d"}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"body": "cut', "not JSON: .*character 14"),
        (b'{"a": 1} {"a": 2}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": NaN}', "NaN is not a JSON value"),
        (b'{"a": "\\ud800", "b": NaN}', "not JSON"),
        (b"[1, 2]", "an array, not an object"),
        (b"null", "null, not an object"),
        (b'"text"', "a string, not an object"),
        (b"17", "a number, not an object"),
        (b'{"body": "caf\xe9"}', "not UTF-8 at byte 14"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_a_broken_line_is_rejected_alone(path: Path, line: bytes, reason: str) -> None:
    chunk = read_all(path, '{"n": "é"}\n'.encode() + line + b'\n{"n": 3}\n')
    assert chunk.records == [{"n": "é"}, {"n": 3}]
    assert chunk.rows == [1, 3]
    (reject,) = chunk.rejects
    assert reject.row == 2
    with pytest.raises(ValueError, match=reason):
        raise ValueError(reject.reason)
    assert len(reject.raw) <= 2000
    assert reject.raw.startswith(line[:8].decode())


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("utf-16-le", "Zürich"),
        ("utf-32-be", "你好"),
        ("gb18030", "疫情期间，以信息技术为支撑的公共卫生信息系统。"),
        ("cp932", "政府は新しい道路建設計画を発表した。"),
        ("cp1252", "Le café où l’été déjà…"),
    ],
)
def test_other_encodings_without_a_byte_order_mark_are_detected(
    path: Path, encoding: str, body: str
) -> None:
    lines = [json.dumps({"n": n, "body": body if n > 200 else "x"}) for n in range(205)]
    lines = [
        line if n <= 200 else f'{{"n": {n}, "body": "{body}"}}' for n, line in enumerate(lines)
    ]
    chunk = read_all(path, "\n".join(lines).encode(encoding))
    assert chunk.rejects == []
    assert [each["body"] for each in chunk.records[-4:]] == [body] * 4


def test_a_json_text_sequence_is_numbered_by_record(path: Path) -> None:
    chunk = read_all(path, b'\x1e{"a": 1}\n\x1e{"a":\n2}\n\x1e{"a": \n\x1e{"a": 4}\n')
    assert chunk.records == [{"a": 1}, {"a": 2}, {"a": 4}]
    assert chunk.rows == [1, 2, 4]
    assert [each.row for each in chunk.rejects] == [3]


def test_a_truncated_last_line_is_reported_as_truncated(path: Path) -> None:
    chunk = read_all(path, b'{"n": 1}\n{"n": ')
    assert chunk.records == [{"n": 1}]
    assert "the file ends within this line" in chunk.rejects[0].reason


def test_a_line_over_the_limit_is_skipped_in_bounded_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_reader, "MAX_ELEMENT", 100)
    long = b'{"body": "' + b"x" * 3_000_000 + b'"}'
    chunk = read_all(path, b'{"n": 1}\n' + long + b'\n{"n": 3}\n' + long)
    assert chunk.records == [{"n": 1}, {"n": 3}]
    assert [(each.row, each.reason) for each in chunk.rejects] == [
        (2, "the line is longer than 0 MiB"),
        (4, "the line is longer than 0 MiB"),
    ]


def test_lone_surrogates_and_large_integers_are_kept(path: Path) -> None:
    chunk = read_all(path, b'{"a": "x\\ud800y"}\n{"id": 12345678901234567890123}\n{"f": 1e300}\n')
    assert chunk.records == [{"a": "x\ud800y"}, {"id": 12345678901234567890123}, {"f": 1e300}]


def test_chunks_have_limited_rows_and_bytes(path: Path) -> None:
    rows = [{"n": n, "body": "x" * 3_000_000} for n in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Source(LocalFile(path), "articles.jsonl", "jsonl")
    assert [len(chunk) for chunk in read_jsonl(source, 1000)] == [3, 3]
    assert [len(chunk) for chunk in read_jsonl(source, 2)] == [2, 2, 2]


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_error(path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match=r"^articles\.jsonl is empty"):
        read_all(path, content)


def test_a_missing_file_is_an_error(path: Path) -> None:
    with pytest.raises(UserError, match=r"^articles\.jsonl cannot be read: No such file"):
        list(read_jsonl(Source(LocalFile(path), "articles.jsonl", "jsonl")))


@pytest.mark.skipif(not REAL.exists(), reason="needs the development data")
@pytest.mark.parametrize("kind", ["bom_crlf", "broken_lines", "truncated_last_line"])
def test_corrupted_real_articles_are_rejected_one_by_one(path: Path, kind: str) -> None:
    rows = [json.loads(line) for line in DEMO.read_bytes().splitlines()]
    originals = {row["id"]: row["body"] for row in rows}
    spoilt = (REAL / f"gum_{kind}.jsonl").read_bytes()
    chunk = read_all(path, spoilt)
    lines = [line for line in spoilt.splitlines() if line.strip()]
    assert len(chunk) == len(lines)
    known = [row for row in chunk.records if row["id"] in originals]
    assert known
    assert [row["body"] for row in known] == [originals[row["id"]] for row in known]
    assert bool(chunk.rejects) == (kind != "bom_crlf")
    if kind == "truncated_last_line":
        (reject,) = chunk.rejects
        assert "the file ends within this line" in reject.reason


def test_a_line_of_millions_of_values_is_rejected(path: Path) -> None:
    chunk = read_all(path, b'{"n": 1}\n{"n": [' + b"[]," * 1_500_000 + b'0]}\n{"n": 3}\n')
    assert chunk.records == [{"n": 1}, {"n": 3}]
    assert [each.reason for each in chunk.rejects] == ["it has more than 2,000,000 values"]


def test_long_lines_within_one_block_are_rejected(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_reader, "MAX_ELEMENT", 100)
    chunk = read_all(path, b'{"n": 1}\n{"n": "%s"}\n{"n": 3}\n' % (b"x" * 200))
    assert chunk.rows == [1, 3]
    assert [each.row for each in chunk.rejects] == [2]
