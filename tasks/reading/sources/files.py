"""What a user may name as a source, and the files that it means, in order."""

from __future__ import annotations

import glob
import os
import re
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import NamedTuple
from urllib.parse import unquote

from article_flows.tasks.common import frames
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.common.package_data import DATA
from article_flows.tasks.common.text_safety import unsteered
from article_flows.tasks.reading.base.byte_source import ByteSource, LocalFile
from article_flows.tasks.reading.places.object_store import SCHEMES, find_objects
from article_flows.tasks.reading.places.spools import PipeFile
from article_flows.tasks.reading.places.web import WebFile
from article_flows.tasks.reading.web.addresses import shown, web_url

DEMO = "demo"
STANDARD_INPUT = "-"
HIDDEN = "hidden by its name: . or _ in front, or .crc"
"""Why a hidden file is passed over."""
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_PARTITION = re.compile(r"([^=/]+)=(.*)")
_ABSENT = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and Spark call the folder of rows that have no value."""


class Listed(NamedTuple):
    """A file that a spec means, before anything is known of it.

    Attributes:
        name: as the user would say it.
        below: its path below the folder of the spec.
        remote: to look into it costs a request.
        hidden: its name says that it is not meant to be read, see `is_hidden`.
        size: of an object, in bytes.
        format: once it is known.
    """

    place: ByteSource
    name: str
    below: str
    remote: bool = False
    hidden: bool = False
    size: int = 0
    format: str = ""

    @property
    def folder(self) -> str:
        """The folder that it is in, as the user would say it."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True)
class Skipped:
    """A file in a folder, or matched by a glob, that is not read, and why.

    Attributes:
        away: it could not be read just now; later it may be there again.
        should: it should be data, by its name: the user is to be told.
    """

    name: str
    reason: str
    away: bool = False
    should: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", printable_name(self.name))
        object.__setattr__(self, "reason", printable_name(self.reason))


def printable_name(name: str) -> str:
    """A file's name for reports and tables: one line, and no bytes that are not UTF-8."""
    return unsteered(name.encode(errors="surrogateescape").decode(errors="replace"))


def listed_by(spec: str, allow_hosts: tuple[str, ...] = ()) -> tuple[list[Listed], bool]:
    """List the files that a spec means, and tell whether it names just one.

    A spec is a file, a folder (all below it), a glob, `demo`, ``-`` (standard input), a
    ``file://`` or ``http(s)://`` URL of one file, or the URI of an object, a prefix or a pattern
    of objects: ``s3://bucket/prefix/*.jsonl?region=…``, ``gs://``, ``abfs://``.

    Raises:
        UserError: it leads to nothing, or to what cannot be read.
    """
    if spec.startswith(frames.PREFIX):
        path = Path(spec.removeprefix(frames.PREFIX))
        return [Listed(LocalFile(path), frames.NAME, path.name)], True
    try:
        if (uri := _URI.match(spec)) is not None:
            return _by_uri(uri[1].lower(), spec, allow_hosts)
        return _by_path(spec)
    except OSError as error:
        raise UserError(f"{shown_spec(spec)} cannot be read: {error.strerror or error}") from error


def shown_spec(spec: str) -> str:
    """A spec as it is shown: a URI without what may be secret in it."""
    if spec.startswith(frames.PREFIX):
        return frames.NAME
    return shown(spec) if _URI.match(spec) else spec


def _by_uri(scheme: str, spec: str, allow_hosts: tuple[str, ...]) -> tuple[list[Listed], bool]:
    if scheme in ("http", "https"):
        try:
            web_url(spec)
        except UserError as error:
            raise UserError(f"{shown(spec)} {error}; mend it") from error
        web = WebFile(spec, allow_hosts)
        return [Listed(web, web.name, web.file_name)], True
    if scheme in SCHEMES:
        found, single = find_objects(spec)
        return [
            Listed(
                each.place,
                each.name,
                each.below,
                remote=not single and each.size > 0,
                hidden=not single and is_hidden(each.below),
                size=each.size,
            )
            for each in found
        ], single
    if scheme == "file":
        host, slash, path = spec[len("file://") :].partition("/")
        if host not in ("", "localhost"):
            raise UserError(f"{spec} names a host; write file:/// and the path")
        return _by_path(unquote(slash + path))
    raise UserError(
        f"{shown(spec)}: {scheme}:// is not supported; give a path, or a URI that begins with "
        f"http://, https://, {', '.join(f'{each}://' for each in SCHEMES)} or file://"
    )


def _by_path(spec: str) -> tuple[list[Listed], bool]:
    path = Path(spec).expanduser()
    if path.is_dir():
        found = files_below(path, spec)
        if not found:
            raise UserError(f"{spec} is an empty folder; give one with data files in it")
        return found, False
    if path.exists():
        name = PurePath(spec).as_posix()
        is_pipe = stat.S_ISFIFO(path.stat().st_mode)
        place = PipeFile(str(path), name) if is_pipe else LocalFile(path)
        return [Listed(place, name, path.name)], True
    if spec == STANDARD_INPUT:
        name = "standard input"
        return [Listed(PipeFile(STANDARD_INPUT, name), name, name)], True
    if spec == DEMO:
        demo = DATA / "articles.jsonl"
        return [Listed(LocalFile(demo), DEMO, demo.name)], True
    if glob.has_magic(spec):
        return files_matching(spec), False
    raise UserError(f"{spec} does not exist; give a file, a folder or a glob, or say {DEMO}")


def partitions(below: str) -> tuple[tuple[str, str], ...]:
    """What the folders of a path say of the files in them: ``lang=en/year=2020/part.parquet``."""
    told = {}
    for part in below.split("/")[:-1]:
        if (match := _PARTITION.fullmatch(part)) and match[2] != _ABSENT:
            told[unquote(match[1])] = unquote(match[2])
    return tuple(told.items())


def files_below(folder: Path, spec: str) -> list[Listed]:
    """List the files below a folder; raises UserError if one of its folders cannot be read.

    A folder such as ``.git`` is listed as one hidden entry and is not walked.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}")

    found = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        machinery = [f"{name}/" for name in folders if name.startswith(".")]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = PurePath(place).relative_to(folder)
        for name in sorted([*names, *machinery]):
            path = (below / name).as_posix()
            label = (PurePath(spec) / path).as_posix() + "/" * name.endswith("/")
            found.append(Listed(LocalFile(Path(place, name)), label, path, hidden=is_hidden(path)))
    return found


def is_hidden(below: str) -> bool:
    """Return whether a file's name, or that of a folder in its path, hides it.

    Names that start with ``.`` do, and as in Spark and Hive those that start with ``_``; but Jekyll
    keeps articles in ``_posts``.
    """
    parts = [part for part in below.split("/") if part not in ("", ".", "..", "_posts")]
    return any(part.startswith((".", "_")) for part in parts) or below.endswith(".crc")


def files_matching(pattern: str) -> list[Listed]:
    """List the files that match a glob, and those below folders that do.

    A part of the pattern that starts with ``.`` or ``_`` names what is hidden otherwise.

    Raises:
        UserError: nothing matches, or a folder cannot be read.
    """
    expanded = str(Path(pattern).expanduser())
    # Path.glob takes no absolute patterns and goes into hidden folders.
    matches = sorted(glob.glob(expanded, recursive=True))  # noqa: PTH207
    if not matches:
        raise UserError(f"{pattern} matches no file; mind the quotes and the folder it starts from")
    base = _fixed_part(expanded)
    named = [part for part in PurePath(expanded).parts if is_hidden(part)]
    found: list[Listed] = []
    for match in matches:
        path = Path(match)
        if path.is_dir():
            # What is below comes by itself where ** is in the pattern.
            found.extend([] if "**" in pattern else files_below(path, match))
        else:
            found.append(Listed(LocalFile(path), PurePath(match).as_posix(), ""))
    return [_below(each, base, named) for each in found]


def _below(listed: Listed, base: str, named: list[str]) -> Listed:
    """The same with its path below a glob's fixed part; ``named`` are its parts not to hide."""
    below = listed.name if base == "." else listed.name.removeprefix(base).lstrip("/")
    parts = below.split("/")
    left = [part for part in parts if not any(fnmatchcase(part, each) for each in named)]
    return listed._replace(below=below, hidden=is_hidden("/".join(left)))


def _fixed_part(pattern: str) -> str:
    """The folder that all matches of a glob are below."""
    parts = PurePath(pattern).parts
    fixed = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return PurePath(*parts[:fixed]).as_posix()
