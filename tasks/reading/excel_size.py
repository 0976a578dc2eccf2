"""Whether a workbook can be held in memory, told before it is: it cannot be streamed."""

import zipfile
import zlib
from typing import BinaryIO

from tasks.errors import UserError

MAX_FILE = 200 << 20
"""The largest workbook taken, in bytes."""
MAX_UNPACKED = 512 << 20
"""The most that its members may come to, in bytes: reading takes 2.4 times that much memory.

Measured: 266 MB for 110 MB of sheets, 30,000 articles of 3 KB.
"""
_MOST_DEFLATED = 1032
"""Deflate makes text smaller by so much at most (https://zlib.net/zlib_tech.html)."""
_BLOCK = 1 << 18
_LOCAL_HEADER = 30


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
            if sum(member.file_size for member in members) > MAX_UNPACKED or _lies(file, members):
                raise UserError(
                    f"{name} unpacks to over {MAX_UNPACKED >> 20} MiB, too much for memory; "
                    "save it as CSV"
                )
    except (zipfile.BadZipFile, NotImplementedError, ValueError, zlib.error):
        # An old workbook is none; what is wrong with a new one its reader will say.
        return


def _lies(file: BinaryIO, members: list[zipfile.ZipInfo]) -> bool:
    """Tell whether members come to more than MAX_UNPACKED, whatever they say of themselves."""
    total = sum(_most(member) for member in members)
    if total <= MAX_UNPACKED:
        return False
    total = 0
    for member in members:
        if member.compress_type == zipfile.ZIP_DEFLATED:
            total += _unpacked(file, member, MAX_UNPACKED - total)
        else:
            total += member.compress_size
        if total > MAX_UNPACKED:
            return True
    return False


def _most(member: zipfile.ZipInfo) -> int:
    deflated = member.compress_type == zipfile.ZIP_DEFLATED
    return member.compress_size * (_MOST_DEFLATED if deflated else 1)


def _unpacked(file: BinaryIO, member: zipfile.ZipInfo, most: int) -> int:
    """Count the bytes that a member comes to, up to a little over `most`."""
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER)
    file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    left, total = member.compress_size, 0
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        while left and total <= most and (block := file.read(min(_BLOCK, left))):
            left -= len(block)
            while block and total <= most:
                total += len(inflate.decompress(block, _BLOCK))
                block = inflate.unconsumed_tail
    except zlib.error:
        pass  # Its reader will say that it is damaged.
    return total
