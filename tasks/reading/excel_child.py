"""The process that reads a workbook, run as a script: the library makes room for every cell.

Two cells at opposite corners of a sheet take a few hundred bytes in a file and terabytes in
memory, of which the library aborts; here that ends nothing but this process. It is given the file
by a descriptor, and the names of sheets on its standard input, each as a line of JSON. It answers
on its standard output with pickled pairs: what it is, and the value.
"""

import json
import pickle
import resource
import sys
from collections.abc import Iterator
from typing import Any

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
    load_workbook,
)

_ROWS, _CHARACTERS = 500, 1 << 20
"""An answer holds so many rows, or about so much text."""


def main(descriptor: int, most_memory: int, most_cells: int) -> None:
    """Answer with the sheets of a workbook, then with the rows of each one that is asked for.

    Takes `most_memory` bytes in all, and sheets of `most_cells` from first to last.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (most_memory, most_memory))
    try:
        with open(descriptor, "rb") as file:
            workbook = load_workbook(file)
        sheets = [
            (
                each.name,
                each.visible == SheetVisibleEnum.Visible,
                each.typ == SheetTypeEnum.WorkSheet,
            )
            for each in workbook.sheets_metadata
        ]
        _answer("sheets", sheets)
        for line in sys.stdin:
            _answer_rows(workbook, json.loads(line), most_cells)
    except PasswordError:
        _answer("password", "")
    except (CalamineError, OSError, ValueError) as error:
        _answer("error", (str(error).strip() or type(error).__name__).splitlines()[0].rstrip("."))
    except BaseException as error:
        # What fails inside of the library's Rust comes as no Exception.
        if type(error).__name__ != "PanicException":
            raise
        _answer("error", "it is damaged")


def _answer(kind: str, value: Any) -> None:
    pickle.dump((kind, value), sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
    sys.stdout.buffer.flush()


def _answer_rows(workbook: CalamineWorkbook, name: str, most_cells: int) -> None:
    sheet = workbook.get_sheet_by_name(name)
    if sheet.total_height * sheet.total_width > most_cells:
        _answer("cells", "")
        return
    rows: list[tuple[int, list[Any]]] = []
    size = 0
    for number, cells in _filled(sheet):
        rows.append((number, cells))
        size += sum(len(cell) for cell in cells if isinstance(cell, str))
        if len(rows) >= _ROWS or size >= _CHARACTERS:
            _answer("rows", rows)
            rows, size = [], 0
    _answer("rows", rows)
    _answer("end", "")


def _filled(sheet: CalamineSheet) -> Iterator[tuple[int, list[Any]]]:
    """Yield the rows that are not empty, each with its 1-based number in the sheet."""
    if sheet.start is None:
        return
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        if any(cell not in ("", None) for cell in cells):
            yield number, cells


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
