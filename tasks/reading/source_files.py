"""The files of this machine that a folder or a glob means, in order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import NamedTuple
from urllib.parse import unquote

from tasks.errors import UserError
from tasks.reading.places import LocalPlace, Place

_PARTITION = re.compile(r"([^=/]+)=(.*)")
_ABSENT = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and Spark call the folder of rows that have no value."""


class Listed(NamedTuple):
    """A file that a spec means, before anything is known of it.

    Attributes:
        name: as the user would say it.
        below: its path below the folder of the spec.
        remote: to look into it costs a request.
    """

    place: Place
    name: str
    below: str
    remote: bool = False

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
    """List the files below a folder; raises UserError if one of its folders cannot be read."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}")

    found = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not is_ignored(name))
        below = PurePath(place).relative_to(folder)
        for name in sorted(names):
            if not is_ignored(name):
                path = (below / name).as_posix()
                label = (PurePath(spec) / path).as_posix()
                found.append(Listed(LocalPlace(Path(place, name)), label, path))
    return found


def is_ignored(name: str) -> bool:
    """Tell hidden files and, as Spark and Hive have it, those that start with an underscore."""
    return name.startswith((".", "_")) or name.endswith(".crc")


def files_matching(pattern: str) -> list[Listed]:
    """List the files that match a glob, and those below folders that do.

    Raises:
        UserError: nothing matches, or a folder cannot be read.
    """
    expanded = str(Path(pattern).expanduser())
    # Path.glob takes no absolute patterns and goes into hidden folders.
    matches = sorted(glob.glob(expanded, recursive=True))  # noqa: PTH207
    if not matches:
        raise UserError(f"{pattern} matches no file; mind the quotes and the folder it starts from")
    relative = _relative_to(_fixed_part(expanded))
    found: list[Listed] = []
    for match in matches:
        path = Path(match)
        if is_ignored(path.name):
            continue
        if path.is_dir():
            # What is below comes by itself where ** is in the pattern.
            below = [] if "**" in pattern else files_below(path, match)
            found.extend(each._replace(below=relative(each.name)) for each in below)
        else:
            name = PurePath(match).as_posix()
            found.append(Listed(LocalPlace(path), name, relative(name)))
    return found


def _fixed_part(pattern: str) -> str:
    """The folder that all matches of a glob are below."""
    parts = PurePath(pattern).parts
    fixed = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return PurePath(*parts[:fixed]).as_posix()


def _relative_to(base: str) -> Callable[[str], str]:
    def relative(name: str) -> str:
        return name if base == "." else name.removeprefix(base).lstrip("/")

    return relative
