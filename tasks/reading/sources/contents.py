"""What a file that was found holds: itself, what was packed in it, or the files of an archive."""

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
from article_flows.tasks.reading.sources.files import HIDDEN, Listed, Skipped, is_hidden

_HEAD_BYTES = 512
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".7z", ".rar")


def contents(listed: Listed, within: str = "") -> Iterator[Listed | Skipped]:
    """Look into a file: yield it, unpacked where it is packed, or each file of an archive.

    A file in an object store is not looked into where its name tells what it is. The reasons of
    what cannot be read go behind its name.

    Args:
        listed: the file.
        within: the name of the archive that it is in.
    """
    if listed.remote and (known := _by_name(listed)) is not None:
        yield known
        return
    try:
        yield from _looked_into(listed, within)
    except UserError as error:
        yield unreadable(listed.name, error, should=True)
    except OSError as error:
        said = f"cannot be read: {error.strerror or error}"
        yield Skipped(listed.name, said, should=_should_be_data(listed.place.file_name))


def unreadable(name: str, error: UserError, *, should: bool) -> Skipped:
    """A file that cannot be read, with what an error says, to go behind its name."""
    is_away = isinstance(error, SourceUnavailable)
    said = str(error)
    if said.startswith(name):
        reason = said.removeprefix(name).removeprefix(":").strip()
    else:
        reason = f"fails: {said}"
    return Skipped(name, reason, is_away, should or is_away)


def _by_name(listed: Listed) -> Listed | None:
    file_name = listed.place.file_name
    if format_of_suffix(file_name):
        return listed
    codec = codec_of_suffix(file_name)
    if codec is None:
        return None
    packed = CompressedFile(listed.place, codec, listed.name)
    return listed._replace(place=packed) if format_of_suffix(packed.file_name) else None


def _looked_into(listed: Listed, within: str) -> Iterator[Listed | Skipped]:
    """Unpack one compression and one archive, in either order of each other."""
    place = listed.place
    if isinstance(place, LocalFile) and not stat.S_ISREG(place.path.stat().st_mode):
        yield Skipped(listed.name, "is no ordinary file")
        return
    head = _head(place)
    if codec := codec_of(head):
        place = CompressedFile(place, codec, listed.name)
        head = _head(place)
        if again := codec_of(head):
            raise UserError(f"{listed.name} is packed twice ({codec}, {again}); unpack it once")
    kind = archive_kind(head, place.file_name)
    if kind and (within or (kind == "zip" and codec)):
        raise UserError(f"{listed.name} is an archive in {within or 'a packed file'}; unpack it")
    members: list[Member] | None = None
    if kind == "zip":
        members = zip_members(place, listed.name)
    elif kind == "tar":
        if codec:
            place = SpooledFile(place, listed.name, _version(listed.place))
        members = tar_members(place, listed.name)
    if members is None:
        yield listed._replace(place=place)
        return
    if not members:
        raise UserError(f"{listed.name} is an archive without files; give one with data in it")
    folder = listed.below.rpartition("/")[0]
    for member in members:
        name = f"{listed.name}/{member.path}".rstrip("/")
        if is_hidden(member.path):
            yield Skipped(name, HIDDEN)
        elif member.place is None:
            should = not member.path or _should_be_data(member.path)
            yield Skipped(name, member.reason, should=should)
        else:
            below = f"{folder}/{member.path}".lstrip("/")
            yield from contents(Listed(member.place, name, below), within=listed.name)


def _head(place: ByteSource) -> bytes:
    with place.open() as file:
        return file.read(_HEAD_BYTES)


def _should_be_data(path: str) -> bool:
    file_name = path.rpartition("/")[2]
    codec = codec_of_suffix(file_name) is not None
    return codec or format_of_suffix(file_name) is not None or file_name.endswith(_ARCHIVE_SUFFIXES)


def _version(place: ByteSource) -> str:
    """Another one when a local file has been written again."""
    if not isinstance(place, LocalFile):
        return ""
    status = place.path.stat()
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"
