"""From what the user names (files, folders, globs, `demo`) to the files to read, in order."""

import glob
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from tasks.errors import UserError
from tasks.places import LocalPlace
from tasks.readers import FORMATS, format_of, format_of_suffix
from tasks.readers_base import Source

__all__ = ["Skipped", "Source", "Sources", "find_sources"]

DEMO = "demo"
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_NOT_DATA = re.compile(
    r"(licen[cs]e|copying|notice|readme|changelog|authors|makefile)\b.*|.*\.(md|txt|rst|html?|log)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Skipped:
    """A file in a folder, or matched by a glob, that is not read, and why."""

    name: str
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _printable(self.name))
        object.__setattr__(self, "reason", _printable(self.reason))


class Sources(list[Source]):
    """The files to read, in order, and what was passed over on the way.

    ``skipped`` are files that are no data; ``broken`` are such as should be, by their names, and
    cannot be read.
    """

    def __init__(
        self,
        sources: Iterable[Source] = (),
        skipped: Iterable[Skipped] = (),
        broken: Iterable[Skipped] = (),
    ) -> None:
        super().__init__(sources)
        self.skipped = list(skipped)
        self.broken = list(broken)


def find_sources(specs: list[str]) -> Sources:
    """Find the files that specs mean: a file, a folder (all below it), a glob, or `demo`.

    Files come in the order of the specs, those of a folder or glob in order of name; a file
    named twice comes once. Hidden files and those that start with `_` are ignored; files that are
    no data are in `.skipped`. Raises UserError for a spec that leads to no file that can be read.
    """
    if not specs:
        raise UserError("no source is given; name a file, a folder or a glob, or say demo")
    found = Sources()
    for spec in specs:
        one = _sources_of(spec)
        found.extend(one)
        found.skipped.extend(one.skipped)
        found.broken.extend(one.broken)
    if not found:
        raise UserError(found.broken[0].reason)
    return Sources(_once(found), dict.fromkeys(found.skipped), dict.fromkeys(found.broken))


def _once(sources: Iterable[Source]) -> Iterator[Source]:
    seen: set[str] = set()
    for source in sources:
        place = source.place.identity
        if place not in seen:
            seen.add(place)
            yield replace(source, name=_printable(source.name))


def _printable(name: str) -> str:
    """A file's name for reports and tables, which take no bytes that are not UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _sources_of(spec: str) -> Sources:
    if _URI.match(spec):
        raise UserError(f"{spec}: URLs are not supported yet; download it and give the path")
    path = Path(spec).expanduser()
    if path.is_dir():
        return _readable(_files_below(path, spec), spec)
    if path.exists():
        name = PurePath(spec).as_posix()
        try:
            return Sources([Source(LocalPlace(path), name, format_of(path, name))])
        except UserError as error:
            return Sources(broken=[Skipped(name, str(error))])
    if spec == DEMO:
        path = Path(__file__).parent.parent / "data" / "articles.jsonl"
        return Sources([Source(LocalPlace(path), DEMO, format_of(path, DEMO))])
    if glob.has_magic(spec):
        return _readable(_files_matching(spec), spec)
    raise UserError(f"{spec} does not exist; give a file, a folder or a glob, or say {DEMO}")


def _files_below(folder: Path, spec: str) -> list[tuple[Path, str]]:
    """Return (path, name) of the files below a folder, as (path, name as the user would say)."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}")

    files = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not _is_ignored(name))
        below = Path(place).relative_to(folder)
        for name in sorted(names):
            if not _is_ignored(name):
                files.append((Path(place, name), (PurePath(spec) / below / name).as_posix()))
    if not files:
        raise UserError(f"{spec} is an empty folder; give one with data files in it")
    return files


def _is_ignored(name: str) -> bool:
    """Tell hidden files and, as Spark and Hive have it, those that start with an underscore."""
    return name.startswith((".", "_"))


def _files_matching(pattern: str) -> list[tuple[Path, str]]:
    expanded = str(Path(pattern).expanduser())
    # Path.glob takes no absolute patterns and goes into hidden folders.
    matches = sorted(glob.glob(expanded, recursive=True))  # noqa: PTH207
    if not matches:
        raise UserError(f"{pattern} matches no file; mind the quotes and the folder it starts from")
    files = []
    for match in matches:
        path = Path(match)
        if path.is_file() and not _is_ignored(path.name):
            files.append((path, PurePath(match).as_posix()))
        elif path.is_dir() and "**" not in pattern and not _is_ignored(path.name):
            files.extend(_files_below(path, match))
    return files


def _readable(files: list[tuple[Path, str]], spec: str) -> Sources:
    """Sort files into those to read and those to skip; raise UserError if none is to read."""
    found = Sources()
    for path, name in files:
        if format_of_suffix(path) is None and _NOT_DATA.fullmatch(path.name):
            found.skipped.append(Skipped(name, "not a data file"))
            continue
        try:
            found.append(Source(LocalPlace(path), name, format_of(path, name)))
        except UserError as error:
            if format_of_suffix(path) and path.stat().st_size:
                found.broken.append(Skipped(name, str(error)))
            else:
                found.skipped.append(Skipped(name, str(error).removeprefix(name).strip()))
    if not found and found.broken:
        raise UserError(found.broken[0].reason)
    if not found:
        suffixes = " ".join(suffix for each in FORMATS.values() for suffix in each.suffixes)
        first = f"; {found.skipped[0].name}: {found.skipped[0].reason}" if found.skipped else ""
        raise UserError(f"{spec} holds no file that can be read ({suffixes}){first}")
    return found
