"""Files that are one article each: told from notes about data, and paired with their summaries."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import PurePosixPath
from shlex import quote
from statistics import median

from tasks.errors import UserError
from tasks.reading.compressed import CompressedPlace, codec_of_suffix, unpacked_name
from tasks.reading.places import LocalPlace, Place
from tasks.reading.places_members import TarMember, ZipMember
from tasks.reading.readers import DOCUMENT, format_of_suffix
from tasks.reading.source_files import Listed

NOTE = "a text beside tables: taken for a note about them; name the file to load it"

_NOT_DATA = re.compile(
    r"(licen[cs]e|copying|notice|readme|changelog|contributing|authors|makefile)\b.*"
    r"|.*\.(rst|log)",
    re.IGNORECASE,
)
_METADATA = {"datapackage.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json"}
"""What Frictionless Data and Hugging Face put beside data to describe it."""
_NO_TABLES = {DOCUMENT, "feed", "sitemap", "urls"}
"""Formats that may well be beside documents without these being about them."""
_MOST_NOTES = 10
_FEWEST_PAIRS = 5
_MOST_FOLDERS = 50
"""Folders beyond which none is compared with each other: they are parts of one dataset."""


def is_not_data(file_name: str) -> bool:
    """Tell a file that is about the data, or about nothing, by its name: README, LICENSE, …"""
    if file_name.lower() in _METADATA:
        return True
    known = format_of_suffix(file_name)
    if known is not None and known.name != DOCUMENT:
        return False
    return _NOT_DATA.fullmatch(file_name) is not None


def notes_among(files: Sequence[tuple[Listed, str]]) -> set[Listed]:
    """Find the documents that are about the tables in their folder, given each file's format.

    Where there are many, and more than tables, they are articles, and a table is their index.
    """
    tables = Counter(listed.folder for listed, kind in files if kind not in _NO_TABLES)
    texts = [listed for listed, kind in files if kind == DOCUMENT and listed.folder in tables]
    count = Counter(listed.folder for listed in texts)
    return {
        listed
        for listed in texts
        if count[listed.folder] <= max(_MOST_NOTES, tables[listed.folder])
    }


def refuse_pairs(documents: Iterable[Listed], spec: str) -> None:
    """Raise UserError where two folders hold articles and, under the same names, short forms.

    To load both as articles is hardly what is meant, and to guess would be to drop one of them.
    """
    folders: dict[str, dict[str, Listed]] = defaultdict(dict)
    for each in documents:
        folders[each.folder][each.place.file_name] = each
    if not 2 <= len(folders) <= _MOST_FOLDERS:
        return
    for one, other in combinations(folders, 2):
        if one.rpartition("/")[0] != other.rpartition("/")[0]:
            continue
        common = folders[one].keys() & folders[other].keys()
        if len(common) < max(_FEWEST_PAIRS, 0.9 * max(len(folders[one]), len(folders[other]))):
            continue
        ratio = _ratio([(folders[one][name], folders[other][name]) for name in common])
        if 0.5 < ratio < 2:
            continue
        long, short = (one, other) if ratio < 1 else (other, one)
        raise UserError(
            f"{spec}: {len(common)} files of {short} have the names of longer ones of {long}; if "
            f"they are their summaries, load {quote(long)} --references {quote(short)}; if all are "
            "articles, name both folders"
        )


def _ratio(pairs: list[tuple[Listed, Listed]]) -> float:
    """How long the second texts are, against the first; 1 unless nearly all tend to one side."""
    ratios = [(_size(b.place) + 1) / (_size(a.place) + 1) for a, b in pairs]
    middle = median(ratios)
    same_side = sum((each < 1) == (middle < 1) for each in ratios)
    return middle if same_side >= 0.9 * len(ratios) else 1.0


def _size(place: Place) -> int:
    """Bytes of a file where that costs nothing; else 0, which makes it like any other such."""
    if isinstance(place, LocalPlace):
        return place.path.stat().st_size
    return place.size if isinstance(place, ZipMember | TarMember) else 0


class References:
    """Files that hold the reference summaries of others, which have the same names.

    Args:
        files: below the folder that the user has named.
        spec: that folder, for messages.
    """

    def __init__(self, files: Iterable[Listed], spec: str) -> None:
        self.spec = spec
        self._by_path: dict[str, Place] = {}
        self._by_name: dict[str, Place | None] = {}
        self.identities: set[str] = set()
        for each in files:
            self.identities.add(each.place.identity)
            path = _plain(each.below)
            name = path.rpartition("/")[2]
            codec = codec_of_suffix(each.place.file_name)
            place = CompressedPlace(each.place, codec, each.name) if codec else each.place
            self._by_path[path] = place
            self._by_name[name] = None if name in self._by_name else place
        if not self._by_path:
            raise UserError(f"--references {spec}: holds no file; name the folder of the summaries")

    def of(self, listed: Listed) -> Place | None:
        """The file of the same name, in the same subfolder if there are several; or None."""
        path = _plain(listed.below)
        return self._by_path.get(path) or self._by_name.get(path.rpartition("/")[2])


def _plain(below: str) -> str:
    """A path without the suffixes of compression and format: a.html may go with a.txt."""
    path = PurePosixPath(below)
    return str(path.with_name(PurePosixPath(unpacked_name(path.name)).stem))
