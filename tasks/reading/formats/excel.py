"""Read workbooks (.xlsx .xlsm .xlsb .xls .ods): finds the sheets with articles and the header."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

from article_flows.tasks.common.column_names import is_known
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.rows import (
    BATCH_ROWS,
    Record,
    RecordChunk,
    Reject,
    Row,
    Source,
    in_chunks,
    open_source_seekable,
    unique_names,
)
from article_flows.tasks.reading.formats.excel_sheets import (
    PROTECTED,
    Cells,
    Sheet,
    Sheets,
    check_size,
    sheets_of,
)
from article_flows.tasks.reading.formats.sniff import OLE_MAGIC

EXCEL_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
CELL_LIMIT = 32_767
"""Most characters in an Excel cell; programs that write a workbook truncate longer text.

https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3
"""
HEADER_SEARCH_ROWS = 30
_MAX_NAME_CHARS = 100
# Stream name in the OLE container around an encrypted .xlsx.
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


def read_excel(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read the sheet with the most text, and all sheets with the same columns.

    Rows have their number in the sheet; numbering continues across sheets, whose rows then get a
    column ``sheet``. Dates become date or datetime, whole numbers int; empty rows are skipped.

    Raises:
        UserError: The workbook is damaged, encrypted, too large for memory, or has no table.
    """
    return in_chunks(_rows(source), batch_rows)


@dataclass(frozen=True)
class _Table:
    """The table in a sheet.

    Attributes:
        header_row: Its 1-based number.
        names: The column index and name of each header cell.
        characters: The amount of text below the header.
    """

    sheet: Sheet
    header_row: int
    names: tuple[tuple[int, str], ...]
    characters: int

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(name.casefold() for _, name in self.names)


def _rows(source: Source) -> Iterator[Row | Reject]:
    with open_source_seekable(source) as file:
        check_size(file, source.name)
        _check_password(file, source.name)
        with sheets_of(file, source.name) as sheets:
            yield from _sheet_rows(sheets, source)


def _sheet_rows(sheets: Sheets, source: Source) -> Iterator[Row | Reject]:
    tables = _chosen(sheets, source)
    offset = truncated = number = 0
    for table in tables:
        for number, cells in sheets.rows(table.sheet):
            if number > table.header_row:
                record = _record(table, cells)
                truncated += sum(len(cell) == CELL_LIMIT for cell in cells if isinstance(cell, str))
                if len(tables) > 1:
                    record.setdefault("sheet", table.sheet.name)
                yield Row(offset + number, record, sum(map(_size, cells)))
        offset += number
    if truncated:
        source.facts["cut_cells"] = (
            f"{truncated} of exactly {CELL_LIMIT:,} characters, Excel's limit: probably truncated"
        )


def _check_password(file: BinaryIO, name: str) -> None:
    file.seek(0)
    if file.read(len(OLE_MAGIC)) == OLE_MAGIC and _ENCRYPTED in file.read():
        raise UserError(PROTECTED.format(name))


def _chosen(sheets: Sheets, source: Source) -> list[_Table]:
    """Return the table with the most text and those with the same columns; report the others."""
    tables, skipped = [], []
    for sheet in sheets.all:
        if not sheet.visible:
            skipped.append(f"{sheet.name} (hidden)")
        elif not sheet.is_table:
            skipped.append(f"{sheet.name} (no table)")
        elif table := _table(sheet, sheets.rows(sheet)):
            tables.append(table)
        else:
            skipped.append(f"{sheet.name} (empty)")
    if not tables:
        reasons = f" ({', '.join(skipped)})" if skipped else ""
        raise UserError(f"{source.name} has no sheet with a header row and rows below it{reasons}")
    main = max(tables, key=lambda table: table.characters)
    chosen = [each for each in tables if each.columns == main.columns]
    skipped += [f"{each.sheet.name} (other columns)" for each in tables if each not in chosen]
    source.facts["sheets"] = ", ".join(each.sheet.name for each in chosen)
    source.facts["header_row"] = str(main.header_row or "none")
    if skipped:
        source.facts["sheets_passed_over"] = ", ".join(skipped)
    return chosen


def _table(sheet: Sheet, rows: Iterable[tuple[int, Cells]]) -> _Table | None:
    """Return a sheet's table, whose header may be below titles and notes.

    Without a header, the columns are numbered. Without a row below the header, return None.
    """
    rows = iter(rows)
    top = list(islice(rows, HEADER_SEARCH_ROWS))
    if len(top) < 2:
        return None
    number, cells = _header(top)
    names = unique_names(str(cell) for cell in cells)
    filled = {index for at, row in top if at > number for index, cell in enumerate(row) if cell}
    named = [pair for pair in enumerate(names) if cells[pair[0]] != "" or pair[0] in filled]
    text = sum(_size(cell) for at, row in (*top, *rows) if at > number for cell in row)
    return _Table(sheet, number, tuple(named), text)


def _header(top: list[tuple[int, Cells]]) -> tuple[int, Cells]:
    """Return the number and cells of the header; without one, of an empty row before the first.

    The header is the row of short texts with the most known column names, or else the first row
    of distinct short texts that is at least two thirds as wide as the widest row.
    """
    candidates = [row for row in top[:-1] if _may_be_header(row[1])]
    known = [sum(is_known(cell) for cell in cells if cell) for _, cells in candidates]
    if any(known):
        return candidates[known.index(max(known))]
    widest = max(_width(cells) for _, cells in top)
    wide = [row for row in candidates if _width(row[1]) * 3 >= widest * 2 and _are_distinct(row[1])]
    return next(iter(wide), (top[0][0] - 1, [""] * len(top[0][1])))


def _width(cells: Cells) -> int:
    return sum(cell != "" for cell in cells)


def _may_be_header(cells: Cells) -> bool:
    return all(isinstance(cell, str) and len(cell) <= _MAX_NAME_CHARS for cell in cells)


def _are_distinct(cells: Cells) -> bool:
    filled = [cell for cell in cells if cell != ""]
    return len(set(filled)) == len(filled)


def _record(table: _Table, cells: Cells) -> Record:
    named = {index for index, _ in table.names}
    record = {name: _value(cells[index]) for index, name in table.names}
    for index, cell in enumerate(cells):
        # A column without a header cell whose first value is below the rows that were searched.
        if index not in named and cell != "":
            record[unique_names([*record, f"column_{index + 1}"])[-1]] = _value(cell)
    return record


def _value(cell: Any) -> Any:
    # calamine returns "" for a cell that is empty or holds an error, and whole numbers as floats.
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return None if cell == "" else cell


def _size(cell: Any) -> int:
    return len(cell) if isinstance(cell, str) else 8
