"""What a file that was found holds: itself, what was packed in it, or the files of an archive."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.errors import SourceAway, UserError
from tasks.reading.archives import Member, archive_kind, tar_members, zip_members
from tasks.reading.compressed import CompressedPlace, codec_of, codec_of_suffix
from tasks.reading.places import LocalPlace, Place
from tasks.reading.readers import format_of_suffix
from tasks.reading.source_files import HIDDEN, Listed, is_hidden
from tasks.reading.spools import PipePlace, SpooledPlace

_HEAD_BYTES = 512
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".7z", ".rar")


@dataclass(frozen=True)
class Unreadable:
    """Something that was found and cannot be read.

    Attributes:
        reason: without the name.
        should: it should be data, by its name: the user is to be told.
        away: only just now, perhaps.
    """

    name: str
    reason: str
    should: bool
    away: bool = False


def contents(listed: Listed) -> Iterator[Listed | Unreadable]:
    """Look into a file: yield it, unpacked where it is packed, or each file of an archive.

    A file in an object store is not looked into where its name tells what it is.
    """
    if listed.remote and (known := _by_name(listed)) is not None:
        yield known
        return
    try:
        yield from _looked_into(listed, within="")
    except UserError as error:
        is_away = isinstance(error, SourceAway)
        yield Unreadable(listed.name, reason_of(error, listed.name), should=True, away=is_away)
    except OSError as error:
        said = f"cannot be read: {error.strerror or error}"
        yield Unreadable(listed.name, said, _should_be_data(listed.place.file_name))


def reason_of(error: UserError, name: str) -> str:
    """What an error says, to go behind the name of the file."""
    said = str(error)
    is_named = said.startswith(name)
    return said.removeprefix(name).removeprefix(":").strip() if is_named else f"fails: {said}"


def _by_name(listed: Listed) -> Listed | None:
    file_name = listed.place.file_name
    if format_of_suffix(file_name):
        return listed
    codec = codec_of_suffix(file_name)
    if codec is None:
        return None
    packed = CompressedPlace(listed.place, codec, listed.name)
    return listed._replace(place=packed) if format_of_suffix(packed.file_name) else None


def _looked_into(listed: Listed, within: str) -> Iterator[Listed | Unreadable]:
    """Unpack one compression and one archive, in either order of each other."""
    place = listed.place
    if isinstance(place, LocalPlace) and not stat.S_ISREG(place.path.stat().st_mode):
        yield Unreadable(listed.name, "is no ordinary file", should=False)
        return
    head = _head(place)
    if codec := codec_of(head):
        place = CompressedPlace(place, codec, listed.name)
        head = _head(place)
        if again := codec_of(head):
            raise UserError(f"{listed.name} is packed twice ({codec}, {again}); unpack it once")
    kind = archive_kind(head, place.file_name)
    if kind and (within or (kind == "zip" and place is not listed.place)):
        raise UserError(f"{listed.name} is an archive in {within or 'a packed file'}; unpack it")
    members = _members(kind, place, listed)
    if members is None:
        yield listed._replace(place=place)
        return
    if not members:
        raise UserError(f"{listed.name} is an archive without files; give one with data in it")
    for member in members:
        yield from _of_member(member, listed)


def _head(place: Place) -> bytes:
    with place.open() as file:
        return file.read(_HEAD_BYTES)


def _members(kind: str | None, place: Place, listed: Listed) -> list[Member] | None:
    if kind == "zip":
        return zip_members(place, listed.name)
    if kind == "tar":
        if place is not listed.place:
            place = SpooledPlace(place, listed.name, _version(listed.place))
        return tar_members(place, listed.name)
    return None


def _of_member(member: Member, listed: Listed) -> Iterator[Listed | Unreadable]:
    name = f"{listed.name}/{member.path}".rstrip("/")
    if is_hidden(member.path):
        yield Unreadable(name, HIDDEN, should=False)
        return
    if member.place is None:
        should = not member.path or _should_be_data(member.path)
        yield Unreadable(name, member.reason, should)
        return
    folder = listed.below.rpartition("/")[0]
    below = f"{folder}/{member.path}".lstrip("/")
    try:
        yield from _looked_into(Listed(member.place, name, below), within=listed.name)
    except UserError as error:
        yield Unreadable(name, reason_of(error, name), should=True)


def _should_be_data(path: str) -> bool:
    file_name = path.rpartition("/")[2]
    codec = codec_of_suffix(file_name) is not None
    return codec or format_of_suffix(file_name) is not None or file_name.endswith(_ARCHIVE_SUFFIXES)


def _version(place: Place) -> str:
    """Another one when a local file has been written again."""
    if not isinstance(place, LocalPlace):
        return ""
    status = place.path.stat()
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"


def pipe_or_file(place: LocalPlace, name: str) -> Place:
    """Give a place whose content can be read twice, also where the path is a pipe's."""
    mode = place.path.stat().st_mode
    return PipePlace(str(place.path), name) if stat.S_ISFIFO(mode) else place
