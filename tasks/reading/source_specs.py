"""What a user may name as a source, and the files that it leads to."""

from __future__ import annotations

import glob
import re
from pathlib import Path, PurePath
from urllib.parse import unquote

from tasks.errors import UserError
from tasks.reading.addresses import shown, web_url
from tasks.reading.places import LocalPlace
from tasks.reading.places_object import SCHEMES, find_objects
from tasks.reading.places_web import WebPlace
from tasks.reading.source_contents import pipe_or_file
from tasks.reading.source_files import Listed, files_below, files_matching, is_hidden
from tasks.reading.spools import PipePlace

DEMO = "demo"
STANDARD_INPUT = "-"
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def listed_by(spec: str, allow_hosts: tuple[str, ...] = ()) -> tuple[list[Listed], bool]:
    """List the files that a spec means, and tell whether it names just one.

    A spec is a file, a folder (all below it), a glob, `demo`, ``-`` (standard input), a
    ``file://`` or ``http(s)://`` URL of one file, or the URI of an object, a prefix or a pattern
    of objects: ``s3://bucket/prefix/*.jsonl?region=…``, ``gs://``, ``abfs://``.

    Raises:
        UserError: it leads to nothing, or to what cannot be read.
    """
    try:
        if (uri := _URI.match(spec)) is not None:
            return _by_uri(uri[1].lower(), spec, allow_hosts)
        return _by_path(spec)
    except OSError as error:
        raise UserError(f"{shown_spec(spec)} cannot be read: {error.strerror or error}") from error


def shown_spec(spec: str) -> str:
    """A spec as it is shown: a URI without what may be secret in it."""
    return shown(spec) if _URI.match(spec) else spec


def _by_uri(scheme: str, spec: str, allow_hosts: tuple[str, ...]) -> tuple[list[Listed], bool]:
    if scheme in ("http", "https"):
        try:
            web_url(spec)
        except UserError as error:
            raise UserError(f"{shown(spec)} {error}; mend it") from error
        web = WebPlace(spec, allow_hosts)
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
        return [Listed(pipe_or_file(LocalPlace(path), name), name, path.name)], True
    if spec == STANDARD_INPUT:
        name = "standard input"
        return [Listed(PipePlace(STANDARD_INPUT, name), name, name)], True
    if spec == DEMO:
        demo = Path(__file__).parents[2] / "data" / "articles.jsonl"
        return [Listed(LocalPlace(demo), DEMO, demo.name)], True
    if glob.has_magic(spec):
        return files_matching(spec), False
    raise UserError(f"{spec} does not exist; give a file, a folder or a glob, or say {DEMO}")
