"""Subprocess of `excel_sheets` that reads a workbook: calamine allocates every cell of a sheet.

Two cells at opposite corners of a sheet take a few hundred bytes on disk and terabytes in memory,
and the failed allocation aborts the process. The arguments are the file descriptors of the
workbook and of the file for its rows, and the limits; the answer is JSON on standard output.
"""

import json
import pickle
import resource
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from python_calamine import (
    CalamineError,
    CalamineSheet,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
    load_workbook,
)

_BATCH_ROWS, _BATCH_CHARS = 500, 1 << 20
"""Size of a pickled batch of rows, whichever limit is reached first."""


def main(workbook: int, rows: int, max_memory: int, max_cells: int) -> None:
    """Write the rows of all visible sheets; print the sheets with their offsets, or an error.

    Args:
        workbook: File descriptor to read.
        rows: File descriptor to write to.
        max_memory: Address space limit of this process, in bytes.
        max_cells: Most cells in the bounding box of a sheet.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (max_memory, max_memory))
    what = "workbook"
    answer: dict[str, Any] = {}
    try:
        with open(workbook, "rb") as file, open(rows, "wb") as out:
            book = load_workbook(file)
            answer["sheets"] = sheets = []
            for each in book.sheets_metadata:
                visible = each.visible == SheetVisibleEnum.Visible
                is_table = each.typ == SheetTypeEnum.WorkSheet
                sheets.append((each.name, visible, is_table, out.tell()))
                if visible and is_table:
                    what = f"sheet {each.name}"
                    _write(book.get_sheet_by_name(each.name), out, max_cells)
    except PasswordError:
        answer["error"] = "password", what, ""
    except OverflowError:
        answer["error"] = "cells", what, ""
    except (CalamineError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        answer["error"] = "damage", what, reason
    except BaseException as error:
        # A panic in calamine's Rust code is a BaseException.
        if type(error).__name__ != "PanicException":
            raise
        answer["error"] = "damage", what, "it is damaged"
    print(json.dumps(answer))


def _write(sheet: CalamineSheet, out: BinaryIO, max_cells: int) -> None:
    if sheet.total_height * sheet.total_width > max_cells:
        raise OverflowError
    rows: list[tuple[int, list[Any]]] = []
    size = 0
    for number, cells in _filled(sheet):
        rows.append((number, cells))
        size += sum(len(cell) for cell in cells if isinstance(cell, str))
        if len(rows) >= _BATCH_ROWS or size >= _BATCH_CHARS:
            pickle.dump(rows, out, pickle.HIGHEST_PROTOCOL)
            rows, size = [], 0
    if rows:
        pickle.dump(rows, out, pickle.HIGHEST_PROTOCOL)
    pickle.dump([], out)


def _filled(sheet: CalamineSheet) -> Iterator[tuple[int, list[Any]]]:
    """Yield the rows that are not empty, each with its 1-based number in the sheet."""
    if sheet.start is None:
        return
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        if any(cell not in ("", None) for cell in cells):
            yield number, cells


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
