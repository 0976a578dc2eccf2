"""The fast way through a CSV file gives what the row reader gives."""

import threading
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, ClassVar
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.reading import csv_bytes, csv_dialect, csv_rows
from tasks.reading.csv_ahead import THREAD
from tasks.reading.places import LocalPlace
from tasks.reading.readers_base import Source
from tasks.reading.readers_csv import read_csv
from tests.tasks.csv_support import read_all, read_by_rows, read_table

PIECES = [
    *(b"a", b"b,", b"1", b",", b",,", b'"', b'""', b'",', b',"', b'"\n', b'\n"', b"\n", b"\r\n"),
    *(b"\r", b'"\r\n', b'"\r', b" ", b"\0", "\ufeff".encode(), "\u2028é疫".encode(), b"\xe7\x96"),
    *(b"\xff", b"\n\n", b"x,y\n", b'1,"x"\n', b'"a ""b"" \n c",d\n', b"\\", b"'", b'3,"4\r5"\r\n'),
]
ROWS = b'a,"two\nlines"\r\n', b'b,"a ""quoted"" word"\n', "c,疫\n".encode()


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=40),
    block=st.integers(1, 40),
    batch_rows=st.integers(1, 4),
)
@example(pieces=[b"x,y\n", "\ufeff".encode(), b'1,"x"\n'], block=5, batch_rows=1)
@example(pieces=[b'1,"x"\r'], block=7, batch_rows=1)
def test_both_ways_read_the_same(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], block: int, batch_rows: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "articles.csv"
    path.write_bytes(b"id,body\n" + b"".join(pieces))
    with mock.patch.object(csv_bytes, "BLOCK", block):
        assert read_table(path, batch_rows, "utf-8") == read_by_rows(path, "utf-8")


@settings(max_examples=200, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=30), limit=st.integers(4, 30))
@example(pieces=[b'"\n', b"\n", b"\n", b'",'], limit=6)
def test_both_ways_have_the_same_limits(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], limit: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "articles.csv"
    path.write_bytes(b"id,body\n" + b"".join(pieces))
    with (
        mock.patch.object(csv_bytes, "BLOCK", 8),
        mock.patch.object(csv_dialect, "MAX_FIELD", limit),
        mock.patch.object(csv_rows, "MAX_LINES", 3),
        mock.patch.object(csv_bytes, "MAX_LINE", 2 * limit),
    ):
        assert read_table(path, encoding="utf-8") == read_by_rows(path, "utf-8")


@pytest.mark.parametrize("block", [1, 7, 64, 4096])
def test_good_rows_come_as_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(csv_bytes, "BLOCK", block)
    table = read_all(tmp_path / "a.csv", b"id,body\r\n" + b"\n".join(ROWS * 50))
    assert table.by_block == 150
    assert [record["body"] for record in table.records[:3]] == [
        "two\nlines",
        'a "quoted" word',
        "疫",
    ]
    assert table.rows[:4] == [2, 5, 7, 9]
    assert table.rejects == []


def test_the_fast_way_goes_on_after_odd_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_bytes, "BLOCK", 1000)
    odd = b'x,"open\ny,5" disk\nz\nw,caf\xe9\n'
    table = read_all(tmp_path / "a.csv", b"id,body\n" + b"".join(ROWS) * 100 + odd + ROWS[1] * 500)
    assert [reject.row for reject in table.rejects] == [402, 404, 405]
    assert len(table.records) + len(table.rejects) == 300 + 4 + 500
    assert table.by_block > 700


def test_every_encoding_comes_as_columns(tmp_path: Path) -> None:
    text = "id,body\r\n"
    text += '1,"疫情期间主流媒体的传播\r\n策略研究"\r\n2,以人民日报抖音号为例\r\n' * 30
    wanted = read_all(tmp_path / "utf8.csv", text)
    assert wanted.by_block == 60
    for encoding in ("gb18030", "utf-16", "utf-8-sig", "utf-32"):
        table = read_all(tmp_path / "a.csv", text.encode(encoding), encoding)
        assert (table.records, table.rows) == (wanted.records, wanted.rows)
        assert (table.by_block, table.facts["encoding"]) == (60, encoding)


def test_bytes_that_are_wrong_in_their_encoding_spoil_one_row(tmp_path: Path) -> None:
    row = "1,疫情期间主流媒体的传播策略研究\n".encode("gb18030")
    content = b"id,body\n" + row * 30 + b"2,\xff\xff\n" + row * 3
    table = read_all(tmp_path / "a.csv", content, "gb18030")
    assert [(reject.row, reject.reason) for reject in table.rejects] == [
        (32, "bytes that are not GB18030")
    ]
    assert len(table.records) == 33


class _WatchedPlace(LocalPlace):
    """Remembers what it has opened."""

    opened: ClassVar[list[BinaryIO]] = []

    def open(self) -> BinaryIO:
        self.opened.append(super().open())
        return self.opened[-1]


def test_what_is_left_unread_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_bytes, "BLOCK", 100)
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,body\n" + ROWS[0] * 10_000)
    chunks = read_csv(Source(_WatchedPlace(path), "a.csv", "csv"), 10)
    assert len(next(chunks)) > 0
    assert isinstance(chunks, Generator)
    chunks.close()
    assert [file.closed for file in _WatchedPlace.opened] == [True]
    assert not [each for each in threading.enumerate() if each.name == THREAD]
