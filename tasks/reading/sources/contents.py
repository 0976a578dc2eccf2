"""Expand found files: decompress compressed files, and list the files in archives."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from article_flows.tasks.common.errors import SourceUnavailable, UserError
from article_flows.tasks.reading.base.byte_source import ByteSource, LocalFile
from article_flows.tasks.reading.formats.registry import format_of_suffix
from article_flows.tasks.reading.places.archives import (
    Member,
    archive_kind,
    tar_members,
    zip_members,
)
from article_flows.tasks.reading.places.compressed import CompressedFile, codec_of, codec_of_suffix
from article_flows.tasks.reading.places.spools import SpooledFile
from article_flows.tasks.reading.sources.files import (
    HIDDEN_REASON,
    FoundFile,
    Skipped,
    is_hidden,
)

_HEAD_BYTES = 512
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".7z", ".rar")


def expand(found: FoundFile, within: str = "") -> Iterator[FoundFile | Skipped]:
    """Yield a file, decompressed if it is compressed, or each file in an archive.

    Remote files whose suffix indicates a format are not opened. The reason of a skipped file is
    the rest of a sentence that begins with its name.

    Args:
        within: Name of the archive that contains the file; empty if none does.
    """
    if found.remote and (known := _by_suffix(found)) is not None:
        yield known
        return
    try:
        yield from _by_content(found, within)
    except UserError as error:
        yield unreadable(found.name, error, expected=True)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        yield Skipped(found.name, reason, expected=_is_data_by_suffix(found.file.file_name))


def unreadable(name: str, error: UserError, *, expected: bool) -> Skipped:
    """Return the skipped file for an error in reading it."""
    is_unavailable = isinstance(error, SourceUnavailable)
    reason = str(error)
    if reason.startswith(name):
        reason = reason.removeprefix(name).removeprefix(":").strip()
    else:
        reason = f"fails: {reason}"
    return Skipped(name, reason, is_unavailable, expected or is_unavailable)


def _by_suffix(found: FoundFile) -> FoundFile | None:
    file_name = found.file.file_name
    if format_of_suffix(file_name):
        return found
    codec = codec_of_suffix(file_name)
    if codec is None:
        return None
    unpacked = CompressedFile(found.file, codec, found.name)
    return found._replace(file=unpacked) if format_of_suffix(unpacked.file_name) else None


def _by_content(found: FoundFile, within: str) -> Iterator[FoundFile | Skipped]:
    """Undo at most one compression and one archive, in either order."""
    file = found.file
    if isinstance(file, LocalFile) and not stat.S_ISREG(file.path.stat().st_mode):
        yield Skipped(found.name, "is not a regular file")
        return
    head = _head(file)
    if codec := codec_of(head):
        file = CompressedFile(file, codec, found.name)
        head = _head(file)
        if inner_codec := codec_of(head):
            codecs = f"{codec}, {inner_codec}"
            raise UserError(f"{found.name} is compressed twice ({codecs}); unpack it once")
    kind = archive_kind(head, file.file_name)
    if kind and (within or (kind == "zip" and codec)):
        outer = within or "a compressed file"
        raise UserError(f"{found.name} is an archive in {outer}; unpack it")
    members: list[Member] | None = None
    if kind == "zip":
        members = zip_members(file, found.name)
    elif kind == "tar":
        if codec:
            file = SpooledFile(file, found.name, _version(found.file))
        members = tar_members(file, found.name)
    if members is None:
        yield found._replace(file=file)
        return
    if not members:
        raise UserError(f"{found.name} is an archive without files; give one with data in it")
    folder = found.below.rpartition("/")[0]
    for member in members:
        name = f"{found.name}/{member.path}".rstrip("/")
        if is_hidden(member.path):
            yield Skipped(name, HIDDEN_REASON)
        elif member.file is None:
            expected = not member.path or _is_data_by_suffix(member.path)
            yield Skipped(name, member.reason, expected=expected)
        else:
            below = f"{folder}/{member.path}".lstrip("/")
            yield from expand(FoundFile(member.file, name, below), within=found.name)


def _head(byte_source: ByteSource) -> bytes:
    with byte_source.open() as file:
        return file.read(_HEAD_BYTES)


def _is_data_by_suffix(path: str) -> bool:
    file_name = path.rpartition("/")[2]
    codec = codec_of_suffix(file_name) is not None
    return codec or format_of_suffix(file_name) is not None or file_name.endswith(_ARCHIVE_SUFFIXES)


def _version(file: ByteSource) -> str:
    """Return a text that changes when a local file is overwritten."""
    if not isinstance(file, LocalFile):
        return ""
    status = file.path.stat()
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"
