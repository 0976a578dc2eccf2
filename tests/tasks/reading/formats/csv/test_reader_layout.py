"""The dialect and the header of a CSV file are inferred from its rows."""

import json
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.tasks.reading.formats.csv.csv_support import read_all, read_table

DEV = ROOT.parent / "shared" / "data" / "dev"
needs_dev = pytest.mark.skipif(not DEV.exists(), reason="needs the development data")
TEXT = "An article's text, with commas, and more; it is | long enough: to be one. "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "articles.csv"


@pytest.mark.parametrize("mark", [*",;\t|:^~ \x1f\x01\x1e¦"])
def test_any_delimiter_is_inferred(path: Path, mark: str) -> None:
    rows = [f'{n}{mark}"{TEXT}{n}"{mark}word{n}' for n in range(6)]
    table = read_all(path, "\n".join([f"id{mark}body{mark}note", *rows]))
    assert table.records == [
        {"id": f"{n}", "body": f"{TEXT}{n}", "note": f"word{n}"} for n in range(6)
    ]


def test_rows_decide_the_delimiter_if_the_header_does_not(path: Path) -> None:
    table = read_all(path, "name, first, last;text\n1;one, two\n2;a\n3;b, c, d, e\n")
    assert table.facts["delimiter"] == ";"
    assert table.records[0] == {"name, first, last": "1", "text": "one, two"}


def test_one_column_of_text_with_commas_stays_one_column(path: Path) -> None:
    table = read_all(path, "body\nHello, world; it is\nOne\nTwo, three, four\n")
    assert [record["body"] for record in table.records] == [
        "Hello, world; it is",
        "One",
        "Two, three, four",
    ]
    assert table.facts["delimiter"] == "none"


def test_single_quotes_are_detected(path: Path) -> None:
    table = read_all(path, "id,body\n1,'It''s, well,\nold'\n2,'b, c'\n3,'\"d\"'\n")
    assert [record["body"] for record in table.records] == ["It's, well,\nold", "b, c", '"d"']
    assert table.facts["quote"] == "'"


def test_apostrophes_are_not_quotes(path: Path) -> None:
    table = read_all(path, "id,body\n1,'Tis the season\n2,'Twas the night\n3,the boys'\n")
    assert table.records[0]["body"] == "'Tis the season"
    assert "quote" not in table.facts


def test_backslash_escapes_are_detected(path: Path) -> None:
    content = r"""id,body
1,"He said \"no\", and left"
2,"a path: C:\new\"
3,"ends with \\"
4,"doubled ""too"" \N"
""".replace('new\\"', 'new"')
    table = read_all(path, content)
    assert table.facts["escape"] == "\\"
    assert [record["body"] for record in table.records] == [
        'He said "no", and left',
        r"a path: C:\new",
        "ends with \\",
        r'doubled "too" \N',
    ]


def test_backslashes_that_escape_nothing_are_text(path: Path) -> None:
    table = read_all(path, 'id,body\n1,"C:\\new"\n2,"\\alpha, \\beta"\n3,"x\\"\n')
    assert [record["body"] for record in table.records] == ["C:\\new", "\\alpha, \\beta", "x\\"]
    assert "escape" not in table.facts


def test_comments_above_the_table_are_skipped(path: Path) -> None:
    table = read_all(path, "# exported, by x\n# 2020\n\nid,body,n\n1,a,x\n2,#b,y\n#3,c,z\n")
    assert [record["id"] for record in table.records] == ["1", "2", "#3"]
    assert table.rows == [5, 6, 7]


def test_a_header_that_starts_with_a_hash_is_not_a_comment(path: Path) -> None:
    assert read_all(path, "#id,body\n1,a\n2,b\n").records[0] == {"#id": "1", "body": "a"}


def test_hashes_in_one_column_are_text(path: Path) -> None:
    table = read_all(path, "# A heading\nA line\nAnother\n")
    assert table.records == [{"# A heading": "A line"}, {"# A heading": "Another"}]


@pytest.mark.parametrize(
    "rows",
    [
        [f"to title\t{TEXT * 3}{n}\tshort {n}" for n in range(5)],
        [f"category\tshort title {n}\tword {n}" for n in range(5)],
        [f"{n}\tword {n}\t2020-01-0{n + 1}" for n in range(5)],
        [f"https://example.org/{n}\tword {n}" for n in range(5)],
        [f"w{n}\t{TEXT[:60]}{n}" for n in range(5)],
        [f"a{n}\t{TEXT * 3}" for n in range(1)],
    ],
)
def test_a_file_without_a_header_gets_numbered_columns(path: Path, rows: list[str]) -> None:
    table = read_all(path, "\n".join(rows))
    assert table.facts["header"] == "none"
    assert [list(record.values()) for record in table.records] == [row.split("\t") for row in rows]
    assert list(table.records[0])[:2] == ["column_1", "column_2"]
    assert table.rows[0] == 1


@pytest.mark.parametrize(
    "rows",
    [
        ["id,body", f"1,{'x' * 200}", f"2,{'y' * 200}"],
        ["Wort,Zahl", "eins,1", "zwei,2", "drei,3"],
        ["story,kind", *(f"text {n},story" for n in range(4))],
        ["a,b", "c,d", "e,f"],
        ["2019,2020,total", "1,2,3", "4,5,6", "7,8,9"],
        ["url,what", *(f"https://example.org/{n},x" for n in range(4))],
    ],
)
def test_a_header_is_detected(path: Path, rows: list[str]) -> None:
    table = read_all(path, "\n".join(rows))
    assert "header" not in table.facts
    assert list(table.records[0]) == rows[0].split(",")
    assert len(table.records) == len(rows) - 1


def test_rejects_in_a_file_without_a_header_refer_to_the_first_rows(path: Path) -> None:
    rows = [f"https://example.org/{n},word {n}" for n in range(5)]
    table = read_all(path, "\n".join([*rows, "x"]))
    assert [(each.row, each.reason) for each in table.rejects] == [
        (6, "1 field where the first rows have 2")
    ]


@needs_dev
def test_a_real_file_without_a_header_is_read() -> None:
    table = read_table(DEV / "csl" / "ts_dev.tsv")
    assert (len(table.records), table.rejects) == (1000, [])
    assert list(table.records[0]) == ["column_1", "column_2", "column_3"]
    assert {record["column_1"] for record in table.records} == {"to title"}


@needs_dev
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "answer", sorted((DEV / "nasty/csv_spectrum/json").glob("*.json")), ids=lambda path: path.stem
)
def test_csv_spectrum_is_read_correctly(path: Path, answer: Path, line_end: str) -> None:
    content = (answer.parent.parent / "csvs" / f"{answer.stem}.csv").read_bytes().decode()
    table = read_all(path, content.replace("\r\n", "\n").replace("\n", line_end))
    # Our copies of `*_crlf.csv` lack the \r that the expected results contain.
    wanted = [
        {name: cell.replace("\r\n", "\n").replace("\n", line_end) for name, cell in row.items()}
        for row in json.loads(answer.read_text())
    ]
    assert table.records == wanted
    assert table.rejects == []


@needs_dev
@pytest.mark.parametrize("encoding", ["gb18030", "utf16_bom"])
def test_real_files_in_other_encodings_are_read(encoding: str) -> None:
    folder = DEV / "nasty" / "derived_from_real"
    wanted = read_table(folder / "gcdt_zh_utf8_bom.csv")
    assert (len(wanted.records), wanted.rejects) == (39, [])
    table = read_table(folder / f"gcdt_zh_{encoding}.csv")
    assert (table.records, table.rows) == (wanted.records, wanted.rows)
