"""Which files are articles, which are their summaries or notes about them; their categories."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from shlex import quote
from statistics import median

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import ByteSource, LocalFile
from article_flows.tasks.reading.formats.registry import DOCUMENT, format_of_suffix
from article_flows.tasks.reading.places.archives import TarMember, ZipMember
from article_flows.tasks.reading.places.compressed import (
    CompressedFile,
    codec_of_suffix,
    unpacked_name,
)
from article_flows.tasks.reading.sources.files import Listed

FOLDER_CATEGORY = "folder_category"
"""The column of the category that a document's folder tells; any other goes before it."""
SUMMARY = "a summary, by "
BY_FOLDER = "its folder's name; name the folder to load it as articles"
NOTE = "a text beside tables: taken for a note about them; name the file to load it"

_NOT_DATA = re.compile(
    r"(licen[cs]e|copying|notice|readme|changelog|contributing|authors|makefile)\b.*"
    r"|.*\.(rst|log)",
    re.IGNORECASE,
)
_METADATA = {"datapackage.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json"}
"""What Frictionless Data and Hugging Face put beside data to describe it."""
_PROGRAMS = re.compile(
    r".*\.(pyi?|pyc|ipynb|rmd|r|jl|sh|bash|bat|ps1|m?js|cjs|tsx?|jsx|s?css|java|scala|kt|swift|c"
    r"|h|cc|cpp|hpp|go|rs|rb|php|pm|lua|sql|cfg|ini|toml|ya?ml|lock|xsd|dtd|xslt?|map|cff|bib)"
    r"|(requirements|constraints)[\w.-]*\.(txt|in)|dockerfile|snakefile|codeowners|pipfile"
    r"|(package|package-lock|tsconfig|composer|vercel|lerna)\.json|robots\.txt|cmakelists\.txt"
    r"|(md5|sha\d+|check)-?sums?(\.txt)?",
    re.IGNORECASE,
)
_NO_TABLES = {DOCUMENT, "feed", "sitemap", "urls"}
"""Formats that may well be beside documents without these being about them."""
_MOST_NOTES = 10
_SUMMARIES = re.compile("summar(y|ies)|abstract|highlight|reference|tl;?dr")
_FEWEST_PAIRS, _FEWEST_NAMED = 5, 2
"""Files from which two folders are compared: by their lengths alone, or by a name that tells."""
_NEARLY_ALL = 0.9
_FAR_SHORTER = 0.5
_MOST_FOLDERS = 100
"""Folders beyond which their names are no categories."""
_SETS = set("train training test testing dev devel val valid validation eval raw clean".split())
_NO_LETTERS = re.compile(r"[\W\d_]+")


def reason_of_name(file_name: str) -> str:
    """Return why a file's name shows that it is no data: README, LICENSE, code; else empty."""
    if _PROGRAMS.fullmatch(file_name):
        return "a program, or what belongs to one, not data"
    if file_name.lower() in _METADATA:
        return "not a data file"
    known = format_of_suffix(file_name)
    if known is not None and known.name != DOCUMENT:
        return ""
    return "not a data file" if _NOT_DATA.fullmatch(file_name) else ""


def notes_among(files: Sequence[Listed]) -> set[Listed]:
    """Find the documents that are about the tables in their folder.

    Where there are many, and more than tables, they are articles, and a table is their index.
    """
    tables = Counter(each.folder for each in files if each.format not in _NO_TABLES)
    texts = [each for each in files if each.format == DOCUMENT and each.folder in tables]
    count = Counter(each.folder for each in texts)
    return {each for each in texts if count[each.folder] <= max(_MOST_NOTES, tables[each.folder])}


def summaries_among(documents: Sequence[Listed], spec: str) -> References | None:
    """Find the documents that are summaries of others: in a folder beside theirs, named alike.

    The folder has to be named for it (``Summaries/business/001.txt`` beside
    ``News/business/001.txt``), and its texts have to be shorter. Of just two folders one of which
    has far shorter texts, the user has to say what they are.

    Raises:
        UserError: two folders look like articles and their summaries, but neither is named so.
    """
    pairs: list[tuple[str, Listed]] = []
    asked = ""
    for folders in _siblings(documents).values():
        named = [name for name in folders if _SUMMARIES.search(name.lower())]
        others = [name for name in folders if name not in named]
        for name, other in ((name, other) for name in named for other in others):
            common = _common(folders[other], folders[name], at_least=_FEWEST_NAMED)
            if common and _ratio(common) < 1:
                pairs += ((long.below, short) for long, short in common)
        if not named and len(folders) == 2:
            asked = asked or _question(folders, spec)
    if asked and not pairs:
        raise UserError(asked)
    return References(pairs, BY_FOLDER, exact=True) if pairs else None


_Files = Mapping[str, Listed]
"""The files of a folder by their paths below it, without suffixes."""


def _siblings(documents: Iterable[Listed]) -> dict[str, dict[str, dict[str, Listed]]]:
    """The files by the folder that several folders are in, by the folder's name, by their path."""
    found: dict[str, dict[str, dict[str, Listed]]] = defaultdict(lambda: defaultdict(dict))
    for each in documents:
        parts = _plain(each.below).split("/")
        for depth in range(len(parts) - 1):
            parent, rest = "/".join(parts[:depth]), "/".join(parts[depth + 1 :])
            found[parent][parts[depth]][rest] = each
    return found


def _common(one: _Files, other: _Files, at_least: float) -> list[tuple[Listed, Listed]]:
    """Pairs of files with the same names, if nearly all files of the second are in one."""
    names = one.keys() & other.keys()
    enough = len(names) >= max(at_least, _NEARLY_ALL * len(other))
    return [(one[name], other[name]) for name in names] if enough else []


def _question(folders: Mapping[str, _Files], spec: str) -> str:
    """Return what to ask the user if two folders look like articles and summaries; else empty."""
    (one, other) = folders.items()
    most = max(len(one[1]), len(other[1]))
    common = _common(one[1], other[1], at_least=max(_FEWEST_PAIRS, _NEARLY_ALL * most))
    ratio = _ratio(common) if common else 1.0
    if _FAR_SHORTER <= ratio <= 1 / _FAR_SHORTER:
        return ""
    long, short = (_folder(*each) for each in ((one, other) if ratio < 1 else (other, one)))
    return (
        f"{spec}: {len(common)} files of {short} have the names of longer ones of {long}; if "
        f"they are their summaries, load {quote(long)} --references {quote(short)}; if all are "
        "articles, name both folders"
    )


def _folder(name: str, files: _Files) -> str:
    """A folder as the user would say it."""
    path, first = next(iter(files.items()))
    return "/".join(first.name.split("/")[: -1 - path.count("/")])


def _ratio(pairs: list[tuple[Listed, Listed]]) -> float:
    """How long the second texts are, against the first; 1 unless nearly all tend to one side."""
    ratios = [(_size(b) + 1) / (_size(a) + 1) for a, b in pairs]
    middle = median(ratios)
    same_side = sum((each < 1) == (middle < 1) for each in ratios)
    return middle if same_side >= _NEARLY_ALL * len(ratios) else 1.0


def _size(listed: Listed) -> int:
    """Bytes of a file as it is stored, where that costs nothing; else 0."""
    place = listed.place.place if isinstance(listed.place, CompressedFile) else listed.place
    if isinstance(place, LocalFile):
        return place.path.stat().st_size
    return place.size if isinstance(place, ZipMember | TarMember) else listed.size


def categories_of(documents: Sequence[Listed]) -> dict[str, str]:
    """Return the categories of documents whose folders name one: ``business/``, ``sport/``.

    A folder's name is a category if there are other folders beside it, each with several files
    of the same suffix, and their names are neither numbers, parts of a data set (``train``,
    ``test``) nor as short as language codes.

    Returns:
        The folder's name by the document's.
    """
    tree = _siblings(documents)
    are_categories = {parent: _are_categories(folders) for parent, folders in tree.items()}
    found = {}
    for each in documents:
        parts = each.below.split("/")[:-1]
        levels = (depth for depth in reversed(range(len(parts))))
        depth = next((n for n in levels if are_categories["/".join(parts[:n])]), None)
        if depth is not None:
            found[each.name] = parts[depth]
    return found


def _are_categories(folders: Mapping[str, _Files]) -> bool:
    names = [_NO_LETTERS.sub("", name).casefold() for name in folders]
    if not 2 <= len(folders) <= _MOST_FOLDERS or len(set(names)) < len(names):
        return False
    if not _SETS.isdisjoint(names) or all(len(name) <= 2 and name.isascii() for name in names):
        return False
    if not all(names) or any(name.startswith("_") or "=" in name for name in folders):
        return False
    suffixes = [{_suffix(each) for each in files.values()} for files in folders.values()]
    several = median(map(len, folders.values())) >= _FEWEST_NAMED
    return several and bool(set.intersection(*suffixes))


def _suffix(listed: Listed) -> str:
    return PurePosixPath(listed.place.file_name).suffix.lower()


class References:
    """Files that hold the reference summaries of others, which have the same names.

    Args:
        files: each with its path, which is that of its article, or the end of it.
        spec: what tells that they are, for messages.
        exact: the paths are the articles' own.
    """

    def __init__(self, files: Iterable[tuple[str, Listed]], spec: str, exact: bool = False) -> None:
        self.spec = spec
        self._exact = exact
        self._by_path: dict[str, ByteSource] = {}
        self._by_name: dict[str, ByteSource | None] = {}
        self.identities: set[str] = set()
        for below, each in files:
            self.identities.add(each.place.identity)
            path = _plain(below)
            name = path.rpartition("/")[2]
            codec = codec_of_suffix(each.place.file_name)
            place = CompressedFile(each.place, codec, each.name) if codec else each.place
            self._by_path[path] = place
            self._by_name[name] = None if name in self._by_name else place
        if not self._by_path:
            raise UserError(f"{spec}: holds no file; name the folder of the summaries")

    def of(self, listed: Listed) -> ByteSource | None:
        """The file of the same name, in the same subfolder if there are several; or None."""
        path = _plain(listed.below)
        if self._exact or path in self._by_path:
            return self._by_path.get(path)
        parts = path.split("/")
        ends = ("/".join(parts[start:]) for start in range(1, len(parts) - 1))
        found = next((self._by_path[end] for end in ends if end in self._by_path), None)
        return found or self._by_name.get(parts[-1])


def _plain(below: str) -> str:
    """A path without the suffixes of compression and format: a.html may go with a.txt."""
    path = PurePosixPath(below)
    return str(path.with_name(PurePosixPath(unpacked_name(path.name)).stem))
