"""Workbooks (.xlsx .xlsm .xlsb .xls .ods): the sheets with articles, each row by its heads."""

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
    opened_seekable,
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
"""Characters that Excel holds in a cell; longer text is cut there when a workbook is written.

https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3
"""
HEADER_ROWS = 30
"""The heads are looked for in so many rows from the top, and no further."""
_LONGEST_NAME = 100
# The part of a new workbook with a password, which is wrapped into the old kind of file.
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


def read_excel(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read a workbook's sheets that have the columns of the one with most text.

    A row has its number in its sheet; those of further sheets go on from there, and have a column
    ``sheet``. Dates come as date or datetime, whole numbers as int, empty rows are passed over.
    Raises UserError for a workbook that cannot be read, is encrypted or too large to be held in
    memory, or has no sheet with articles.
    """
    return in_chunks(_rows(source), batch_rows)


@dataclass(frozen=True)
class _Table:
    """The table in a sheet: its heads (place and name), and the number of the row they are in."""

    sheet: Sheet
    header_row: int
    names: tuple[tuple[int, str], ...]
    characters: int

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(name.casefold() for _, name in self.names)


def _rows(source: Source) -> Iterator[Row | Reject]:
    with opened_seekable(source) as file:
        check_size(file, source.name)
        _check_password(file, source.name)
        with sheets_of(file, source.name) as sheets:
            yield from _sheet_rows(sheets, source)


def _sheet_rows(sheets: Sheets, source: Source) -> Iterator[Row | Reject]:
    tables = _chosen(sheets, source)
    past = cut = number = 0
    for table in tables:
        for number, cells in sheets.rows(table.sheet):
            if number > table.header_row:
                record = _record(table, cells)
                cut += sum(len(cell) == CELL_LIMIT for cell in cells if isinstance(cell, str))
                if len(tables) > 1:
                    record.setdefault("sheet", table.sheet.name)
                yield Row(past + number, record, sum(map(_size, cells)))
        past += number
    if cut:
        source.facts["cut_cells"] = (
            f"{cut} of exactly {CELL_LIMIT:,} characters, where Excel cuts: probably not whole"
        )


def _check_password(file: BinaryIO, name: str) -> None:
    file.seek(0)
    if file.read(len(OLE_MAGIC)) == OLE_MAGIC and _ENCRYPTED in file.read():
        raise UserError(PROTECTED.format(name))


def _chosen(sheets: Sheets, source: Source) -> list[_Table]:
    """Return the sheet with most text, and those that have its columns; tell of the others."""
    tables, other = [], []
    for sheet in sheets.all:
        if not sheet.visible:
            other.append(f"{sheet.name} (hidden)")
        elif not sheet.is_table:
            other.append(f"{sheet.name} (no table)")
        elif table := _table(sheet, sheets.rows(sheet)):
            tables.append(table)
        else:
            other.append(f"{sheet.name} (empty)")
    if not tables:
        named = f" ({', '.join(other)})" if other else ""
        raise UserError(f"{source.name} has no sheet with a row of heads and rows below it{named}")
    main = max(tables, key=lambda table: table.characters)
    chosen = [each for each in tables if each.columns == main.columns]
    other += [f"{each.sheet.name} (other columns)" for each in tables if each not in chosen]
    source.facts["sheets"] = ", ".join(each.sheet.name for each in chosen)
    source.facts["header_row"] = str(main.header_row or "none")
    if other:
        source.facts["sheets_passed_over"] = ", ".join(other)
    return chosen


def _table(sheet: Sheet, rows: Iterable[tuple[int, Cells]]) -> _Table | None:
    """Find the heads of a sheet's table, below titles and notes; None if there is no row below.

    Without any, the columns are numbered.
    """
    rows = iter(rows)
    top = list(islice(rows, HEADER_ROWS))
    if len(top) < 2:
        return None
    number, cells = _heads(top)
    names = unique_names(str(cell) for cell in cells)
    filled = {place for at, row in top if at > number for place, cell in enumerate(row) if cell}
    named = [pair for pair in enumerate(names) if cells[pair[0]] != "" or pair[0] in filled]
    text = sum(_size(cell) for at, row in (*top, *rows) if at > number for cell in row)
    return _Table(sheet, number, tuple(named), text)


def _heads(top: list[tuple[int, Cells]]) -> tuple[int, Cells]:
    """Return the row of heads, with its number; without one, an empty row before the first.

    It is the row of short texts with most of the usual names of columns; if none has
    any, the first
    of distinct ones with nearly as many cells filled as the widest row.
    """
    texts = [row for row in top[:-1] if _may_be_heads(row[1])]
    usual = [sum(is_known(cell) for cell in cells if cell) for _, cells in texts]
    if any(usual):
        return texts[usual.index(max(usual))]
    widest = max(_width(cells) for _, cells in top)
    wide = [row for row in texts if _width(row[1]) * 3 >= widest * 2 and _are_distinct(row[1])]
    return next(iter(wide), (top[0][0] - 1, [""] * len(top[0][1])))


def _width(cells: Cells) -> int:
    return sum(cell != "" for cell in cells)


def _may_be_heads(cells: Cells) -> bool:
    return all(isinstance(cell, str) and len(cell) <= _LONGEST_NAME for cell in cells)


def _are_distinct(cells: Cells) -> bool:
    filled = [cell for cell in cells if cell != ""]
    return len(set(filled)) == len(filled)


def _record(table: _Table, cells: Cells) -> Record:
    """Return a row by its heads; cells that are empty, or hold an error, are None."""
    named = {place for place, _ in table.names}
    record = {name: _value(cells[place]) for place, name in table.names}
    for place, cell in enumerate(cells):
        # A column without a head and without a cell at the top.
        if place not in named and cell != "":
            record[unique_names([*record, f"column_{place + 1}"])[-1]] = _value(cell)
    return record


def _value(cell: Any) -> Any:
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return None if cell == "" else cell


def _size(cell: Any) -> int:
    return len(cell) if isinstance(cell, str) else 8
