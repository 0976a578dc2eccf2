"""List the files that a source names: a path, folder, glob, URL, object URI, pipe or the demo."""

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

from article_flows.tasks.common import dataframe_files
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.common.package_data import DATA
from article_flows.tasks.common.text_safety import replace_controls
from article_flows.tasks.reading.base.byte_source import ByteSource, LocalFile
from article_flows.tasks.reading.places.bucket_files import SCHEMES, find_objects
from article_flows.tasks.reading.places.spools import PipeFile
from article_flows.tasks.reading.places.web_files import WebFile
from article_flows.tasks.reading.web.addresses import redacted_url, web_url

DEMO = "demo"
STANDARD_INPUT = "-"
HIDDEN_REASON = "hidden: its name starts with . or _, or ends with .crc"
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_PARTITION = re.compile(r"([^=/]+)=(.*)")
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""The value that Hive and Spark use for null in folder names."""


class FoundFile(NamedTuple):
    """A file that a spec names.

    Attributes:
        name: As shown to the user.
        below: Its path relative to the folder of the spec.
        remote: Opening it costs a request.
        hidden: Its name marks it as not meant to be read, see `is_hidden`.
        size: Of an object, in bytes; 0 for other files.
        format: Its format; empty until it is known.
    """

    file: ByteSource
    name: str
    below: str
    remote: bool = False
    hidden: bool = False
    size: int = 0
    format: str = ""

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True)
class Skipped:
    """A file that is not read.

    Attributes:
        reason: Why it is not read.
        temporary: A later attempt may succeed.
        expected: Its name suggests data, so the user should know that it is not read.
    """

    name: str
    reason: str
    temporary: bool = False
    expected: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", printable_name(self.name))
        object.__setattr__(self, "reason", printable_name(self.reason))


def printable_name(name: str) -> str:
    """Return a file's name for reports and tables: valid UTF-8 without control characters."""
    return replace_controls(name.encode(errors="surrogateescape").decode(errors="replace"))


def list_files(spec: str, allow_hosts: tuple[str, ...] = ()) -> tuple[list[FoundFile], bool]:
    """List the files that a spec names, and whether it names a single file.

    Args:
        spec: A file, a folder (all files below it), a glob, `demo`, ``-`` (standard input), a
            ``file://`` or ``http(s)://`` URL of a file, or the URI of an object, a prefix or a
            pattern of objects: ``s3://bucket/prefix/*.jsonl?region=…``, ``gs://``, ``abfs://``.
        allow_hosts: Private hosts that redirects may lead to.

    Raises:
        UserError: Nothing matches, or it cannot be read.
    """
    if spec.startswith(dataframe_files.PREFIX):
        path = Path(spec.removeprefix(dataframe_files.PREFIX))
        return [FoundFile(LocalFile(path), dataframe_files.NAME, path.name)], True
    try:
        if (uri := _URI.match(spec)) is not None:
            return _by_uri(uri[1].lower(), spec, allow_hosts)
        return _by_path(spec)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{redacted_spec(spec)} cannot be read: {reason}") from error


def redacted_spec(spec: str) -> str:
    """Return a spec for messages: a URI without its possibly secret parts."""
    if spec.startswith(dataframe_files.PREFIX):
        return dataframe_files.NAME
    return redacted_url(spec) if _URI.match(spec) else spec


def _by_uri(scheme: str, spec: str, allow_hosts: tuple[str, ...]) -> tuple[list[FoundFile], bool]:
    if scheme in ("http", "https"):
        try:
            web_url(spec)
        except UserError as error:
            raise UserError(f"{redacted_url(spec)} {error}; correct the URL") from error
        web = WebFile(spec, allow_hosts)
        return [FoundFile(web, web.name, web.file_name)], True
    if scheme in SCHEMES:
        objects, single = find_objects(spec)
        return [
            FoundFile(
                each.file,
                each.name,
                each.below,
                remote=not single and each.size > 0,
                hidden=not single and is_hidden(each.below),
                size=each.size,
            )
            for each in objects
        ], single
    if scheme == "file":
        host, slash, path = spec[len("file://") :].partition("/")
        if host not in ("", "localhost"):
            raise UserError(f"{spec} contains a host; use file:/// and the path")
        return _by_path(unquote(slash + path))
    raise UserError(
        f"{redacted_url(spec)}: {scheme}:// is not supported; give a path, or a URI that begins "
        f"with http://, https://, {', '.join(f'{each}://' for each in SCHEMES)} or file://"
    )


def _by_path(spec: str) -> tuple[list[FoundFile], bool]:
    path = Path(spec).expanduser()
    if path.is_dir():
        found = files_below(path, spec)
        if not found:
            raise UserError(f"{spec} is an empty folder; give one with data files in it")
        return found, False
    if path.exists():
        name = PurePath(spec).as_posix()
        is_pipe = stat.S_ISFIFO(path.stat().st_mode)
        file = PipeFile(str(path), name) if is_pipe else LocalFile(path)
        return [FoundFile(file, name, path.name)], True
    if spec == STANDARD_INPUT:
        name = "standard input"
        return [FoundFile(PipeFile(STANDARD_INPUT, name), name, name)], True
    if spec == DEMO:
        demo = DATA / "articles.jsonl"
        return [FoundFile(LocalFile(demo), DEMO, demo.name)], True
    if glob.has_magic(spec):
        return files_matching(spec), False
    raise UserError(
        f"{spec} does not exist; give a file, a folder, a glob, an address, or the word {DEMO}"
    )


def partition_values(below: str) -> tuple[tuple[str, str], ...]:
    """Return the column names and values in the folder names of a path (Hive partitioning).

    Example:
        >>> partition_values("lang=en/year=2020/part.parquet")
        (('lang', 'en'), ('year', '2020'))
    """
    values = {}
    for part in below.split("/")[:-1]:
        if (match := _PARTITION.fullmatch(part)) and match[2] != _NULL_PARTITION:
            values[unquote(match[1])] = unquote(match[2])
    return tuple(values.items())


def files_below(folder: Path, spec: str) -> list[FoundFile]:
    """List the files below a folder.

    A folder such as ``.git`` is listed as one hidden entry and not walked.

    Raises:
        UserError: A folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}")

    found = []
    for parent, folders, names in os.walk(folder, onerror=fail):
        dot_folders = [f"{name}/" for name in folders if name.startswith(".")]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = PurePath(parent).relative_to(folder)
        for name in sorted([*names, *dot_folders]):
            path = (below / name).as_posix()
            label = (PurePath(spec) / path).as_posix() + "/" * name.endswith("/")
            file = LocalFile(Path(parent, name))
            found.append(FoundFile(file, label, path, hidden=is_hidden(path)))
    return found


def is_hidden(below: str) -> bool:
    """Return whether a file, or a folder in its path, is hidden.

    Names that start with ``.`` are, and as in Spark and Hive those that start with ``_``, except
    Jekyll's ``_posts``, which contains articles.
    """
    parts = [part for part in below.split("/") if part not in ("", ".", "..", "_posts")]
    return any(part.startswith((".", "_")) for part in parts) or below.endswith(".crc")


def files_matching(pattern: str) -> list[FoundFile]:
    """List the files that match a glob, and the files below matching folders.

    Parts of the pattern that start with ``.`` or ``_`` include matching hidden names.

    Raises:
        UserError: Nothing matches, or a folder cannot be read.
    """
    expanded = str(Path(pattern).expanduser())
    # Path.glob does not accept absolute patterns and matches in hidden folders.
    matches = sorted(glob.glob(expanded, recursive=True))  # noqa: PTH207
    if not matches:
        raise UserError(f"{pattern} matches no file; check the quotes and the current folder")
    base = _literal_folder(expanded)
    hidden_patterns = [part for part in PurePath(expanded).parts if is_hidden(part)]
    found: list[FoundFile] = []
    for match in matches:
        path = Path(match)
        if path.is_dir():
            # A pattern with ** matches the files below the folder too.
            found.extend([] if "**" in pattern else files_below(path, match))
        else:
            found.append(FoundFile(LocalFile(path), PurePath(match).as_posix(), ""))
    return [_relative_to_glob(each, base, hidden_patterns) for each in found]


def _relative_to_glob(found: FoundFile, base: str, hidden_patterns: list[str]) -> FoundFile:
    """Set a file's path relative to `base`, and unhide it if the pattern names its hidden parts."""
    below = found.name if base == "." else found.name.removeprefix(base).lstrip("/")
    other_parts = [
        part
        for part in below.split("/")
        if not any(fnmatchcase(part, pattern) for pattern in hidden_patterns)
    ]
    return found._replace(below=below, hidden=is_hidden("/".join(other_parts)))


def _literal_folder(pattern: str) -> str:
    """Return the part of a glob before its first wildcard."""
    parts = PurePath(pattern).parts
    first = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return PurePath(*parts[:first]).as_posix()
