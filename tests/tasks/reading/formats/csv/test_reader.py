import csv
import io
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import Source
from article_flows.tasks.reading.formats.csv import rows as csv_rows
from article_flows.tasks.reading.formats.csv import sniff as csv_sniff
from article_flows.tasks.reading.formats.csv.reader import read_csv
from tests.tasks.reading.formats.csv.csv_support import read_all, read_table

CHINESE = "疫情期间主流媒体的传播策略研究,以人民日报抖音号为例。"


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "articles.csv"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_the_delimiter_is_inferred_from_the_header(
    path: Path, delimiter: str, line_end: str
) -> None:
    lines = [["id", "body"], ["1", '"a, b; c"'], ["2", '"two\nlines ""quoted"""'], [""], ["3", "d"]]
    chunk = read_all(path, line_end.join(delimiter.join(line) for line in lines))
    assert chunk.records == [
        {"id": "1", "body": "a, b; c"},
        {"id": "2", "body": 'two\nlines "quoted"'},
        {"id": "3", "body": "d"},
    ]
    assert chunk.rows == [2, 3, 6]
    assert chunk.rejects == []


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030", "big5", "utf-16-be"]
)
def test_encodings_are_detected(path: Path, encoding: str) -> None:
    chinese = (
        CHINESE if encoding != "big5" else "我們今天在臺灣的圖書館裡閱讀關於歷史與文化的文章。"
    )
    text = "id,body\r\n" + "".join(f'{n},"{chinese * 20}"\r\n' for n in range(20))
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    chunk = read_all(path, mark + text.encode(encoding))
    assert chunk.records == [{"id": str(n), "body": chinese * 20} for n in range(20)]


def test_an_encoding_is_detected_from_characters_far_into_the_file(path: Path) -> None:
    text = "id,body\n" + "".join(f"{n},{'plain ' * 1000}\n" for n in range(300))
    chunk = read_all(path, text.encode() + (f"x,{CHINESE * 30}".replace(",以", "以")).encode("gbk"))
    assert chunk.records[-1]["body"].startswith("疫情期间")
    assert len(chunk.records) == 301


def test_invalid_bytes_reject_their_row_only(path: Path) -> None:
    rows = [f"{n},Zürich {CHINESE[:5]}".encode() for n in range(9)]
    rows[4] = b"4,caf\xe9"
    chunk = read_all(path, b"\n".join([b"id,body", *rows]))
    assert [record["id"] for record in chunk.records] == list("01235678")
    (reject,) = chunk.rejects
    assert (reject.row, reject.reason) == (6, "bytes that are not UTF-8")
    assert reject.raw == "4,caf\ufffd\n"


def test_a_wrong_number_of_fields_rejects_the_row_only(path: Path) -> None:
    chunk = read_all(path, "a,b,c\n1,2,3\n4,5\n6,7,8,9\n10,11,12,,\n13,14,15\n")
    assert [record["a"] for record in chunk.records] == ["1", "10", "13"]
    assert [(each.row, each.reason, each.raw) for each in chunk.rejects] == [
        (3, "2 fields where the header has 3", "4,5\n"),
        (4, "4 fields where the header has 3", "6,7,8,9\n"),
    ]


def test_an_unclosed_quote_does_not_swallow_the_rows_after_it(path: Path) -> None:
    chunk = read_all(path, 'a,b,c\n1,2,3\n4,"open,6\n7,8,9\n10,11,12\n')
    assert [record["a"] for record in chunk.records] == ["1", "7", "10"]
    (reject,) = chunk.rejects
    assert (reject.row, reject.raw) == (3, '4,"open,6\n')
    assert reject.reason == "broken quotes: a quote is not closed"


def test_a_quote_closed_by_a_later_row_rejects_one_row(path: Path) -> None:
    chunk = read_all(path, 'a,b,c\n4,"open,6\n7,"eight, or so",9\n10,"two\nlines",12\n')
    assert [record["a"] for record in chunk.records] == ["7", "10"]
    assert [reject.row for reject in chunk.rejects] == [2]


def test_all_lines_of_a_broken_row_are_one_reject(path: Path) -> None:
    chunk = read_all(path, 'a,b,c\n1,"he said "x" and\nleft\nthe room",3\n4,5,6\n')
    assert [record["a"] for record in chunk.records] == ["4"]
    (reject,) = chunk.rejects
    assert reject.row == 2
    assert reject.reason.startswith("broken quotes (lines 2 to 4)")


def test_stray_quotes_stay_in_the_text(path: Path) -> None:
    chunk = read_all(path, 'a,b\n1,5" disk\n2,"x" y\n3,say ""hi""\n')
    assert [record["b"] for record in chunk.records] == ['5" disk', "x y", 'say ""hi""']


def test_quotes_in_a_tsv_are_part_of_the_text(path: Path) -> None:
    chunk = read_all(path, 'a\tb\n1\t"open\n2\t"To be" or not\n3\t"a ""b""\tc"\n')
    assert [record["b"] for record in chunk.records] == ['"open', '"To be" or not', 'a "b"\tc']


def test_an_unclosed_quote_stops_at_the_field_limit(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "MAX_FIELD_CHARS", 1000)
    chunk = read_all(path, 'a,b\n1,"open\n' + "2,x\n" * 1000)
    assert len(chunk.records) == 1000
    assert chunk.rejects[0].row == 2


def test_a_line_over_the_limit_is_rejected(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "MAX_LINE_CHARS", 1000)
    chunk = read_all(path, "a,b\n1,2\n3," + "x" * 5000 + "\n4,5\n")
    assert [record["a"] for record in chunk.records] == ["1", "4"]
    assert [(each.row, each.reason) for each in chunk.rejects] == [
        (3, "the line is longer than 16 MiB")
    ]


def test_headers_are_read_and_their_names_made_unique(path: Path) -> None:
    assert read_all(path, "sep=;\na;b\n1;2").records == [{"a": "1", "b": "2"}]
    assert read_all(path, "\n\na,a,,\n1,2,3,4").records == [
        {"a": "1", "a_2": "2", "column_3": "3", "column_4": "4"}
    ]
    assert read_all(path, "body\nx\n\ny").records == [{"body": "x"}, {"body": "y"}]
    assert read_all(path, 'a, "b c"\n1, "2, 3"').records == [{"a": "1", "b c": "2, 3"}]
    assert read_all(path, "a,b\n").records == []


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_file_is_an_error(path: Path, content: str) -> None:
    with pytest.raises(UserError, match=r"^articles\.csv is empty"):
        read_all(path, content)


@pytest.mark.parametrize("end", [b'"9","x","\x1b$B\x01"\r\n"10","y","good"\r\n', b'"9","\x1b$'])
def test_a_damaged_iso_2022_sequence_rejects_no_row_before_it(path: Path, end: bytes) -> None:
    rows = "".join(f"{n},題{n},橋の建設が決まりました。\r\n" for n in range(9_000))
    content = f"id,title,body\r\n{rows}".encode("iso2022_jp")
    chunk = read_all(path, content + end)
    assert [record["title"] for record in chunk.records[:9_000]] == [f"題{n}" for n in range(9_000)]


@settings(deadline=None)
@given(rows=st.lists(st.tuples(st.text("abc", min_size=1), CELLS, CELLS)))
@example(rows=[("a", "", "\x1b$")])
@example(rows=[("a", "\x1b\x80", "\x1b$")])
def test_rows_written_by_the_csv_module_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("id", "title", "body"), *rows])
    chunk = read_all(tmp_path_factory.mktemp("csv") / "articles.csv", text.getvalue())
    assert [tuple(record.values()) for record in chunk.records] == rows
    assert chunk.rejects == []


@pytest.mark.parametrize("last", ['the end",9', "no end\n"])
def test_a_huge_field_rejects_one_row(
    path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    monkeypatch.setattr(csv_rows, "MAX_FIELD_CHARS", 1000)
    huge = '"' + "words; of a text that has, commas, and more\n" * 100 + last
    chunk = read_all(path, f'id,n\n1,2\n{huge}\n3,4\n5,"6\n7"\n')
    assert [record["id"] for record in chunk.records] == ["1", "3", "5"]
    (reject,) = chunk.rejects
    assert reject.row == 3
    assert reject.reason.startswith("broken quotes (lines 3 to 10")
    assert len(reject.raw) <= 2000


def test_a_row_of_too_many_lines_rejects_one_row(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "MAX_ROW_LINES", 10)
    chunk = read_all(path, 'id,n\n1,2\n2,"' + "\n" * 11 + '"\n3,4\n')
    assert [record["id"] for record in chunk.records] == ["1", "3"]
    assert [(each.row, each.reason) for each in chunk.rejects] == [
        (3, "broken quotes (lines 3 to 14): a quoted field is longer than 10 lines")
    ]


def test_rows_around_a_quoted_line_over_the_limit_are_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "MAX_LINE_CHARS", 1000)
    chunk = read_all(path, 'id,n\n1,2\n2,"' + "x" * 5000 + '"\n3,"4\n' + "y" * 2000 + '"\r\n5,6\n')
    assert [record["id"] for record in chunk.records] == ["1", "5"]
    assert [(each.row, each.reason) for each in chunk.rejects] == [
        (3, "the line is longer than 16 MiB"),
        (4, "broken quotes (lines 4 to 5): the line is longer than 16 MiB"),
    ]


def test_a_header_with_unbalanced_quotes_is_an_error(path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^articles\.csv has a header that cannot be read \(line 2"
    ):
        read_all(path, '\n"a" b,c\n1,2\n')


def test_a_first_row_longer_than_the_sample_is_read(path: Path) -> None:
    body = "A long text, with commas.\n" * 20_000
    chunk = read_all(path, f'1,"{body}"\n2,"{body}"\n3,"{body}"\n')
    assert [record["column_2"] for record in chunk.records] == [body] * 3


def test_each_row_with_broken_quotes_is_rejected_separately(path: Path) -> None:
    junk = [f'{n},t,"The council, it is said, met. " x"y' for n in range(20)]
    unclosed = [f'{n},t,"The council met' for n in range(20, 30)]
    chunk = read_all(path, "\n".join(["id,title,body", "a,b,c", *junk, *unclosed, 'd,e,"f"\n']))
    assert [each.row for each in chunk.rejects] == list(range(3, 33))
    assert [record["id"] for record in chunk.records] == ["a", "d"]
    assert not any("lines" in each.reason for each in chunk.rejects)


def test_continuation_lines_of_a_broken_row_stay_in_its_reject(path: Path) -> None:
    text = 'id,title,body\n1,t,"a" b"c\nand, so "on" it, goes, on\nto the end"\n2,t,c\n'
    chunk = read_all(path, text)
    assert [each.row for each in chunk.rejects] == [2]
    assert chunk.records == [{"id": "2", "title": "t", "body": "c"}]


def test_a_header_longer_than_the_sample_is_read_completely(path: Path) -> None:
    names = [f"a column with a long name, {n:05}" for n in range(15_000)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, ["x"] * len(names)])
    assert path.stat().st_size > csv_sniff.SAMPLE_CHARS
    assert read_table(path).records == [dict.fromkeys(names, "x")]


def test_too_many_columns_are_an_error(path: Path) -> None:
    names = ",".join(f"c{n}" for n in range(100_000))
    path.write_text(f"{names}\n{names}\n")
    with pytest.raises(UserError, match="has 100,000 columns, but tables may have at most 16,384"):
        read_table(path)


ROWS = b'a,"two\nlines"\r\n', b'b,"a ""quoted"" word"\n', "c,疫\n".encode()


def test_good_rows_are_read_after_broken_ones(path: Path) -> None:
    broken = b'x,"open\ny,5" disk\nz\nw,caf\xe9\n'
    table = read_all(path, b"id,body\n" + b"".join(ROWS) * 100 + broken + ROWS[1] * 500)
    assert [reject.row for reject in table.rejects] == [402, 404, 405]
    assert len(table.records) + len(table.rejects) == 300 + 4 + 500
    assert table.rows[:4] == [2, 4, 5, 6]


def test_every_encoding_yields_the_same_rows(path: Path) -> None:
    text = "id,body\r\n"
    text += '1,"疫情期间主流媒体的传播\r\n策略研究"\r\n2,以人民日报抖音号为例\r\n' * 30
    expected = read_all(path, text)
    assert len(expected.records) == 60
    for encoding in ("gb18030", "utf-16", "utf-8-sig", "utf-32"):
        table = read_all(path, text.encode(encoding), encoding)
        assert (table.records, table.rows) == (expected.records, expected.rows)
        assert table.facts["encoding"] == encoding


def test_invalid_bytes_in_any_encoding_reject_one_row(path: Path) -> None:
    row = "1,疫情期间主流媒体的传播策略研究\n".encode("gb18030")
    content = b"id,body\n" + row * 30 + b"2,\xff\xff\n" + row * 3
    table = read_all(path, content, "gb18030")
    assert [(reject.row, reject.reason) for reject in table.rejects] == [
        (32, "bytes that are not GB18030")
    ]
    assert len(table.records) == 33


@settings(max_examples=200, deadline=None)
@given(pieces=st.lists(st.sampled_from([b"a", b",", b'"', b"\n", b"\r", b"x,y\n", b"\xff", b"\0"])))
def test_every_line_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "articles.csv"
    content = b"id,body\n" + b"".join(pieces) + b"\n1,2\n3,4\n"
    table = read_all(path, content, "utf-8")
    numbers = sorted(table.rows + [reject.row for reject in table.rejects])
    assert len(set(numbers)) == len(numbers)
    assert table.rows == sorted(table.rows)
    assert {"id": "3", "body": "4"} in table.records


def test_a_long_file_is_streamed_and_closed_when_reading_stops(path: Path) -> None:
    path.write_bytes(b"id,body\n" + ROWS[0] * 10_000)
    opened: list[BinaryIO] = []

    class WatchedFile(LocalFile):
        def open(self) -> BinaryIO:
            opened.append(super().open())
            return opened[-1]

    chunks = read_csv(Source(WatchedFile(path), "a.csv", "csv"), 10)
    assert len(next(chunks)) == 10
    assert opened[0].tell() < path.stat().st_size
    assert isinstance(chunks, Generator)
    chunks.close()
    assert [file.closed for file in opened] == [True]
