import io
import random
import re
import string
import zipfile
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.worksheet.worksheet import Worksheet

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import RecordChunk, Source
from article_flows.tasks.reading.formats import excel_sheets
from article_flows.tasks.reading.formats.excel import CELL_LIMIT
from article_flows.tasks.reading.formats.registry import format_of, read

HEADER: list[Any] = ["id", "title", "text"]
ROWS: list[list[Any]] = [[1, "Eins", "Ein Text."], [2, "Zwei", "Noch ein Text."]]
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.xlsx"


def workbook(path: Path, **sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet: Worksheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def source_of(path: Path) -> Source:
    place = LocalFile(path)
    return Source(place, path.name, format_of(place, path.name))


def read_all(source: Source) -> list[tuple[int, dict[str, Any]]]:
    found: list[tuple[int, dict[str, Any]]] = []
    for chunk in read(source):
        assert isinstance(chunk, RecordChunk)
        found += zip(chunk.rows, chunk.records, strict=True)
    return found


def test_values_keep_their_types(path: Path) -> None:
    header = ["int", "float", "text", "moment", "day", "clock", "bool", "error", "none"]
    moment, day = datetime(2020, 1, 2, 3, 4, 5), date(2020, 1, 2)
    row = [7, 1.5, "x", moment, day, time(3, 4), True, "=1/0", None]
    ((number, record),) = read_all(source_of(workbook(path, News=[header, row])))
    assert number == 2
    assert type(record["int"]) is int
    assert record == dict(
        zip(header[:7], [7, 1.5, "x", moment, day, time(3, 4), True], strict=True),
        error=None,
        none=None,
    )


def test_a_header_below_titles_and_rows_between_empty_rows_are_found(path: Path) -> None:
    rows: list[list[Any]] = [
        ["Export of 2024"],
        [],
        ["made by", "someone"],
        HEADER,
        [],
        ROWS[0],
        [],
        ROWS[1],
        [],
    ]
    source = source_of(workbook(path, News=rows))
    assert [(number, record["title"]) for number, record in read_all(source)] == [
        (6, "Eins"),
        (8, "Zwei"),
    ]
    assert (source.facts["header_row"], source.facts["sheets"]) == ("4", "News")


def test_a_header_of_unknown_names_is_the_first_wide_row(path: Path) -> None:
    rows: list[list[Any]] = [
        ["Export"],
        ["fnord", "foo", "bar"],
        [1, "x", "A text of some length."],
    ]
    assert read_all(source_of(workbook(path, News=rows))) == [
        (3, {"fnord": 1, "foo": "x", "bar": "A text of some length."})
    ]


def test_a_table_that_does_not_start_in_the_corner_is_read(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    for row, cells in enumerate([HEADER, *ROWS], start=5):
        for column, cell in enumerate(cells, start=3):
            sheet.cell(row, column, cell)
    book.save(path)
    found = read_all(source_of(path))
    assert found == [
        (6, dict(zip(HEADER, ROWS[0], strict=True))),
        (7, dict(zip(HEADER, ROWS[1], strict=True))),
    ]


def test_missing_or_repeated_header_cells_hide_no_values(path: Path) -> None:
    rows: list[list[Any]] = [["text", None, "text"], ["a", "b", "c"], ["d", None, "f", "far"]]
    assert [record for _, record in read_all(source_of(workbook(path, News=rows)))] == [
        {"text": "a", "column_2": "b", "text_2": "c", "column_4": None},
        {"text": "d", "column_2": None, "text_2": "f", "column_4": "far"},
    ]


def test_without_a_header_all_rows_are_data(path: Path) -> None:
    rows: list[list[Any]] = [[1, "Ein Text. " * 20], [2, "Noch ein Text. " * 20]]
    source = source_of(workbook(path, News=rows))
    assert [(n, list(record)) for n, record in read_all(source)] == [
        (1, ["column_1", "column_2"]),
        (2, ["column_1", "column_2"]),
    ]
    assert source.facts["header_row"] == "none"


def test_sheets_with_the_same_columns_are_read_and_the_others_reported(path: Path) -> None:
    notes: list[list[Any]] = [["who", "what"], ["me", "made this"]]
    sheets = {"Notes": notes, "2019": [HEADER, *ROWS], "Empty": [], "2020": [HEADER, *ROWS]}
    workbook(path, **sheets, Secret=[HEADER, *ROWS])
    book = openpyxl.load_workbook(path)
    book["Secret"].sheet_state = "hidden"
    book.save(path)
    source = source_of(path)
    found = read_all(source)
    assert [(number, row["sheet"], row["id"]) for number, row in found] == [
        (2, "2019", 1),
        (3, "2019", 2),
        (5, "2020", 1),
        (6, "2020", 2),
    ]
    assert source.facts["sheets"] == "2019, 2020"
    skipped = "Empty (empty), Secret (hidden), Notes (other columns)"
    assert source.facts["sheets_passed_over"] == skipped


def test_cells_at_the_length_limit_of_excel_are_reported(path: Path) -> None:
    rows: list[list[Any]] = [HEADER, [1, "x", "y" * CELL_LIMIT], [2, "x", "y" * (CELL_LIMIT - 1)]]
    source = source_of(workbook(path, News=rows))
    assert len(read_all(source)[0][1]["text"]) == CELL_LIMIT
    assert source.facts["cut_cells"].startswith("1 of exactly 32,767 characters")


_TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1).filter(
    lambda text: text == text.strip() and not text.startswith("=")
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**9), _TEXT), min_size=1, max_size=20))
def test_every_row_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]]
) -> None:
    path = tmp_path_factory.mktemp("x") / "a.xlsx"
    workbook(path, News=[["id", "text"], *map(list, rows)])
    found = read_all(source_of(path))
    assert [(record["id"], record["text"]) for _, record in found] == rows


def error_of(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_all(Source(LocalFile(path), path.name, "excel"))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_workbook_without_a_table_is_an_error(path: Path) -> None:
    workbook(path, One=[], Two=[["only a header"]])
    assert error_of(path) == (
        "a.xlsx has no sheet with a header row and rows below it (One (empty), Two (empty))"
    )


def test_a_damaged_workbook_is_an_error(path: Path, tmp_path: Path) -> None:
    workbook(path, News=[HEADER, *ROWS])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert error_of(path).startswith("a.xlsx (workbook) cannot be read as Excel: ")
    old = tmp_path / "a.xls"
    old.write_bytes(OLE + bytes(2000))
    assert source_of(old).format == "excel"
    assert error_of(old).startswith("a.xls (workbook) cannot be read as Excel: ")


def test_a_password_is_reported(path: Path) -> None:
    path.write_bytes(OLE + bytes(1000) + "EncryptedPackage".encode("utf-16-le") + bytes(1000))
    assert source_of(path).format == "excel"
    assert error_of(path).startswith("a.xlsx is protected by a password; save it without one")


def test_a_libreoffice_sheet_is_read(tmp_path: Path) -> None:
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    rows = "".join(
        f"<table:table-row>{''.join(cell.format(each) for each in row)}</table:table-row>"
        for row in (["title", "text"], ["Eins", "Ein Text."])
    )
    office = "urn:oasis:names:tc:opendocument:xmlns"
    spaces = " ".join(f'xmlns:{x}="{office}:{x}:1.0"' for x in ("office", "table", "text"))
    content = (
        f'<?xml version="1.0"?><office:document-content {spaces}><office:body><office:spreadsheet>'
        f'<table:table table:name="News">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    path = tmp_path / "a.ods"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", content)
        archive.writestr("META-INF/manifest.xml", f'<manifest:manifest xmlns:manifest="{office}"/>')
    assert read_all(source_of(path)) == [(2, {"title": "Eins", "text": "Ein Text."})]


def test_damage_yields_rows_or_a_one_line_error(path: Path) -> None:
    workbook(path, News=[HEADER, *ROWS * 20])
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    rng = random.Random(5)
    for name in [each for each in members if each.startswith("xl/")] * 4:
        content = bytearray(members[name])
        for _ in range(4):
            content[rng.randrange(len(content))] = ord(rng.choice(string.printable))
        with zipfile.ZipFile(path, "w") as archive:
            for each, whole in members.items():
                archive.writestr(each, content if each == name else whole)
        read = rows_or_error(path)
        assert isinstance(read, int) or read.startswith("a.xlsx "), read


def rows_or_error(path: Path) -> int | str:
    try:
        return len(read_all(Source(LocalFile(path), path.name, "excel")))
    except UserError as error:
        return str(error)


def test_a_workbook_that_is_too_large_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workbook(path, News=[HEADER, *ROWS])
    monkeypatch.setattr(excel_sheets, "MAX_FILE", 1000)
    assert "may have at most 0 MiB; save it as CSV" in error_of(path)


def bomb(path: Path, declared: int | None = None) -> None:
    """Write a workbook with a member of 8 MiB that declares `declared` bytes."""
    workbook(path, News=[HEADER, *ROWS])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/bomb.xml", bytes(8 << 20))
    if declared is not None:
        real = (8 << 20).to_bytes(4, "little")
        path.write_bytes(path.read_bytes().replace(real, declared.to_bytes(4, "little")))


@pytest.mark.parametrize("declared", [None, 1000])
def test_a_decompression_bomb_is_rejected_whatever_size_it_declares(
    path: Path, monkeypatch: pytest.MonkeyPatch, declared: int | None
) -> None:
    bomb(path, declared)
    monkeypatch.setattr(excel_sheets, "MAX_UNPACKED", 4 << 20)
    assert error_of(path) == ("a.xlsx unpacks to over 4 MiB, too much for memory; save it as CSV")


def sparse(path: Path, far: str) -> Path:
    """Write a workbook with a table in columns A to C, one stray cell and no dimensions."""
    book = openpyxl.Workbook()
    for row in (HEADER, *ROWS):
        book.active.append(row)
    book.active[far] = "far"
    book.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, re.sub(rb"<dimension[^>]*>", b"", content))
    return path


def test_a_cell_far_from_the_table_is_an_error(path: Path) -> None:
    error = error_of(sparse(path, "XFD1048576"))
    assert "takes over 2048 MiB of memory" in error
    assert "delete stray cells far from the table" in error


def test_a_sheet_of_too_many_cells_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excel_sheets, "MAX_CELLS", 1000)
    assert "spans over 1,000 cells" in error_of(sparse(path, "Z100"))


def test_a_cell_in_the_last_column_loses_no_row(path: Path) -> None:
    assert [record["id"] for _, record in read_all(source_of(sparse(path, "XFD2")))] == [1, 2]


def test_other_zip_files_are_reported_by_kind(tmp_path: Path) -> None:
    for member, message in (("word/document.xml", "a Word file"), ("a.csv", "a ZIP archive")):
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as archive:
            archive.writestr(member, "x")
        path = tmp_path / "a.dat"
        path.write_bytes(sink.getvalue())
        with pytest.raises(UserError, match=rf"^a\.dat is {message}"):
            source_of(path)
