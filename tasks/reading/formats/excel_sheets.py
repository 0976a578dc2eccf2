"""The sheets of a workbook, read by a process of its own with a limit to its memory."""

import json
import pickle
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.streams import spooled, temporary_file

MAX_MEMORY = 2 << 30
"""Bytes that the process may take: the largest workbooks that are read come to 1.4 GB."""
MAX_CELLS = 20_000_000
"""Cells of a sheet, from its first to its last, filled or not: each takes 32 bytes of memory."""
MAX_FILE = 200 << 20
"""The largest workbook taken, in bytes."""
MAX_UNPACKED = 512 << 20
"""The most that its members may come to, in bytes: reading takes 2.4 times that much memory.

Measured: 266 MB for 110 MB of sheets, 30,000 articles of 3 KB.
"""
_MOST_DEFLATED = 1032
"""Deflate makes text smaller by so much at most (https://zlib.net/zlib_tech.html)."""
_BLOCK = 1 << 18
PROTECTED = "{} is protected by a password; save it without one (File, Info, Protect)"
_CHILD = Path(__file__).with_name("excel_worker.py")

Cells = list[Any]


def check_size(file: BinaryIO, name: str) -> None:
    """Raise UserError if a workbook is too large, or unpacks to too much, as a bomb does."""
    size = file.seek(0, 2)
    if size > MAX_FILE:
        raise UserError(
            f"{name} has {size >> 20} MiB, and workbooks over {MAX_FILE >> 20} MiB are not read, "
            "as they must be held in memory; save it as CSV"
        )
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MAX_UNPACKED or _lies(
                archive, members
            ):
                raise UserError(
                    f"{name} unpacks to over {MAX_UNPACKED >> 20} MiB, too much for memory; "
                    "save it as CSV"
                )
    except (zipfile.BadZipFile, NotImplementedError, ValueError, zlib.error):
        # An old workbook is none; what is wrong with a new one its reader will say.
        return


def _lies(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> bool:
    """Tell whether members come to more than MAX_UNPACKED, whatever they say of themselves."""
    if sum(member.compress_size for member in members) * _MOST_DEFLATED <= MAX_UNPACKED:
        return False
    total = 0
    for member in members:
        # Else no more is read than it says.
        member.file_size = MAX_UNPACKED + 1
        # Its reader will say that it is damaged.
        damage = zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError
        with suppress(*damage), archive.open(member) as file:
            while total <= MAX_UNPACKED and (block := file.read(_BLOCK)):
                total += len(block)
        if total > MAX_UNPACKED:
            return True
    return False


@dataclass(frozen=True)
class Sheet:
    """What a workbook says of a sheet: `is_table` is false for charts and macros.

    Attributes:
        start: where its rows begin in the file of all rows.
    """

    name: str
    visible: bool
    is_table: bool
    start: int


class Sheets:
    """The sheets of a workbook, whose rows can be had again and again.

    Raises UserError if it has a password, cannot be read, or does not fit into memory.
    """

    def __init__(self, workbook: BinaryIO, rows: BinaryIO, name: str) -> None:
        files = workbook.fileno(), rows.fileno()
        arguments = map(str, (*files, MAX_MEMORY, MAX_CELLS))
        done = subprocess.run(
            [sys.executable, "-I", "-W", "ignore", _CHILD, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=files,
            check=False,
        )
        self._rows = rows
        answer = json.loads(done.stdout or '{"error": ["memory", "", ""]}')
        if "error" in answer:
            raise UserError(_error_of(name, *answer["error"]))
        self.all = [Sheet(*each) for each in answer["sheets"]]

    def rows(self, sheet: Sheet) -> Iterator[tuple[int, Cells]]:
        """Yield a sheet's rows that are not empty, each with its 1-based number."""
        self._rows.seek(sheet.start)
        # What comes from a process that this one has started is safe to unpickle.
        while rows := pickle.load(self._rows):
            yield from rows


def _error_of(name: str, kind: str, what: str, reason: str) -> str:
    if kind == "password":
        return PROTECTED.format(name)
    if kind == "cells":
        return (
            f"{name} ({what}) goes over {MAX_CELLS:,} cells from its first to its last; "
            "delete what is far out and save it anew, or save it as CSV"
        )
    if kind == "damage":
        return f"{name} ({what}) cannot be read as Excel: {reason}; save it anew, or as CSV"
    return (
        f"{name} is damaged, or takes over {MAX_MEMORY >> 20} MiB of memory: "
        "as much as all cells up to the one farthest out; delete what is far out and save it "
        "anew, or save it as CSV"
    )


@contextmanager
def sheets_of(file: BinaryIO, name: str) -> Iterator[Sheets]:
    """Open a workbook; raise UserError for one that cannot be read, or has a password."""
    file.seek(0)
    with spooled(file, name) as workbook, temporary_file() as rows:
        yield Sheets(workbook, rows, name)
