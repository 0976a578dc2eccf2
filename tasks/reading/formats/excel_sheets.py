"""Open a workbook for the Excel reader, in a subprocess with a memory limit."""

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
from article_flows.tasks.reading.base.streams import copy_to_temporary_file, temporary_file

MAX_MEMORY = 2 << 30
"""Memory limit of the subprocess in bytes: the largest accepted workbooks take 1.4 GB."""
MAX_CELLS = 20_000_000
"""Most cells in the bounding box of a sheet; each takes 32 bytes of memory, filled or not."""
MAX_FILE = 200 << 20
"""Largest accepted workbook, in bytes."""
MAX_UNPACKED = 512 << 20
"""Largest accepted uncompressed size in bytes; reading takes 2.4 times that much memory.

Measured: 266 MB for 110 MB of sheets, 30,000 articles of 3 KB.
"""
_MAX_DEFLATE_RATIO = 1032
"""See https://zlib.net/zlib_tech.html."""
_BLOCK = 1 << 18
PROTECTED = "{} is protected by a password; save it without one (File, Info, Protect)"
_WORKER = Path(__file__).with_name("excel_worker.py")

Cells = list[Any]


def check_size(file: BinaryIO, name: str) -> None:
    """Raise UserError if a workbook is too large, packed or unpacked."""
    size = file.seek(0, 2)
    if size > MAX_FILE:
        raise UserError(
            f"{name} has {size >> 20} MiB, but workbooks are read into memory and may have at "
            f"most {MAX_FILE >> 20} MiB; save it as CSV"
        )
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            declared = sum(member.file_size for member in members)
            if declared > MAX_UNPACKED or _unpacks_over_limit(archive, members):
                raise UserError(
                    f"{name} unpacks to over {MAX_UNPACKED >> 20} MiB, too much for memory; "
                    "save it as CSV"
                )
    except (zipfile.BadZipFile, NotImplementedError, ValueError, zlib.error):
        # Old workbooks (.xls) are not ZIP archives; the worker reports any damage.
        return


def _unpacks_over_limit(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> bool:
    """Return whether members unpack to more than MAX_UNPACKED, whatever their headers declare."""
    if sum(member.compress_size for member in members) * _MAX_DEFLATE_RATIO <= MAX_UNPACKED:
        return False
    total = 0
    for member in members:
        # zipfile stops reading at the declared size.
        member.file_size = MAX_UNPACKED + 1
        # The worker reports damage.
        damage = zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError
        with suppress(*damage), archive.open(member) as file:
            while total <= MAX_UNPACKED and (block := file.read(_BLOCK)):
                total += len(block)
        if total > MAX_UNPACKED:
            return True
    return False


@dataclass(frozen=True)
class Sheet:
    """Metadata of a sheet.

    Attributes:
        is_table: False for chart and macro sheets.
        start: The offset of its rows in the file of all rows, in bytes.
    """

    name: str
    visible: bool
    is_table: bool
    start: int


class Sheets:
    """The sheets of an open workbook; their rows can be read repeatedly.

    Raises:
        UserError: The workbook has a password, is damaged, or does not fit into memory.
    """

    def __init__(self, workbook: BinaryIO, rows: BinaryIO, name: str) -> None:
        files = workbook.fileno(), rows.fileno()
        arguments = map(str, (*files, MAX_MEMORY, MAX_CELLS))
        worker = subprocess.run(
            [sys.executable, "-I", "-W", "ignore", _WORKER, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=files,
            check=False,
        )
        self._rows = rows
        answer = json.loads(worker.stdout or '{"error": ["memory", "", ""]}')
        if "error" in answer:
            raise UserError(_error_of(name, *answer["error"]))
        self.all = [Sheet(*each) for each in answer["sheets"]]

    def rows(self, sheet: Sheet) -> Iterator[tuple[int, Cells]]:
        """Yield the rows of a sheet that are not empty, each with its 1-based number."""
        self._rows.seek(sheet.start)
        # Safe to unpickle: the data was written by our own subprocess.
        while rows := pickle.load(self._rows):
            yield from rows


def _error_of(name: str, kind: str, what: str, reason: str) -> str:
    if kind == "password":
        return PROTECTED.format(name)
    if kind == "cells":
        return (
            f"{name} ({what}) spans over {MAX_CELLS:,} cells; "
            "delete stray cells far from the table and save it again, or save it as CSV"
        )
    if kind == "damage":
        return f"{name} ({what}) cannot be read as Excel: {reason}; save it again, or as CSV"
    return (
        f"{name} is damaged, or takes over {MAX_MEMORY >> 20} MiB of memory, which depends on "
        "the cell farthest out; delete stray cells far from the table and save it again, or "
        "save it as CSV"
    )


@contextmanager
def sheets_of(file: BinaryIO, name: str) -> Iterator[Sheets]:
    """Open a workbook; raise UserError as `Sheets` does."""
    file.seek(0)
    with copy_to_temporary_file(file, name) as workbook, temporary_file() as rows:
        yield Sheets(workbook, rows, name)
