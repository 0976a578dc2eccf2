"""The files of this machine that a folder or a glob means, in order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import NamedTuple
from urllib.parse import unquote

from tasks.errors import UserError
from tasks.reading.places import LocalPlace, Place

HIDDEN = "hidden by its name: . or _ in front, or .crc"
"""Why a hidden file is passed over."""
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
    """

    place: Place
    name: str
    below: str
    remote: bool = False
    hidden: bool = False
    size: int = 0

    @property
    def folder(self) -> str:
        """The folder that it is in, as the user would say it."""
        return self.name.rpartition("/")[0]


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
            found.append(Listed(LocalPlace(Path(place, name)), label, path, hidden=is_hidden(path)))
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
    relative = _relative_to(_fixed_part(expanded))
    named = [part for part in PurePath(expanded).parts if is_hidden(part)]
    found: list[Listed] = []
    for match in matches:
        path = Path(match)
        if path.is_dir():
            # What is below comes by itself where ** is in the pattern.
            found.extend([] if "**" in pattern else files_below(path, match))
        else:
            found.append(Listed(LocalPlace(path), PurePath(match).as_posix(), ""))
    return [_below(each, relative(each.name), named) for each in found]


def _below(listed: Listed, below: str, named: list[str]) -> Listed:
    """The same with its path below a glob's fixed part; ``named`` are its parts not to hide."""
    parts = below.split("/")
    left = [part for part in parts if not any(fnmatchcase(part, each) for each in named)]
    return listed._replace(below=below, hidden=is_hidden("/".join(left)))


def _fixed_part(pattern: str) -> str:
    """The folder that all matches of a glob are below."""
    parts = PurePath(pattern).parts
    fixed = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return PurePath(*parts[:fixed]).as_posix()


def _relative_to(base: str) -> Callable[[str], str]:
    def relative(name: str) -> str:
        return name if base == "." else name.removeprefix(base).lstrip("/")

    return relative
