"""Distinguish articles from summaries and notes among documents, and infer their categories."""

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
from article_flows.tasks.reading.sources.files import FoundFile

FOLDER_CATEGORY = "folder_category"
"""The column with a document's folder as its category; other category columns take precedence."""
SUMMARY_REASON = "a summary, by "
BY_FOLDER = "its folder's name; name the folder to load it as articles"
NOTE_REASON = "a text next to tables, so probably a note about them; name the file to load it"

_NOT_DATA = re.compile(
    r"(licen[cs]e|copying|notice|readme|changelog|contributing|authors|makefile)\b.*"
    r"|.*\.(rst|log)",
    re.IGNORECASE,
)
_METADATA = {"datapackage.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json"}
"""Files with which Frictionless Data and Hugging Face describe data."""
_PROGRAMS = re.compile(
    r".*\.(pyi?|pyc|ipynb|rmd|r|jl|sh|bash|bat|ps1|m?js|cjs|tsx?|jsx|s?css|java|scala|kt|swift|c"
    r"|h|cc|cpp|hpp|go|rs|rb|php|pm|lua|sql|cfg|ini|toml|ya?ml|lock|xsd|dtd|xslt?|map|cff|bib)"
    r"|(requirements|constraints)[\w.-]*\.(txt|in)|dockerfile|snakefile|codeowners|pipfile"
    r"|(package|package-lock|tsconfig|composer|vercel|lerna)\.json|robots\.txt|cmakelists\.txt"
    r"|(md5|sha\d+|check)-?sums?(\.txt)?",
    re.IGNORECASE,
)
_NOT_TABLES = {DOCUMENT, "feed", "sitemap", "urls"}
"""Formats that documents in the same folder are not notes about."""
_MAX_NOTES = 10
_SUMMARY_FOLDER = re.compile("summar(y|ies)|abstract|highlight|reference|tl;?dr")
_MIN_PAIRS, _MIN_PAIRS_NAMED = 5, 2
"""Minimum numbers of pairs to compare two folders: by length alone, or if one is named so."""
_NEARLY_ALL = 0.9
_FAR_SHORTER = 0.5
_MAX_CATEGORIES = 100
_SPLITS = set("train training test testing dev devel val valid validation eval raw clean".split())
_NON_LETTERS = re.compile(r"[\W\d_]+")


def not_data_reason(file_name: str) -> str:
    """Return why a file is not data by its name (README, LICENSE, code); empty if it may be."""
    if _PROGRAMS.fullmatch(file_name):
        return "part of a program, not data"
    if file_name.lower() in _METADATA:
        return "not a data file"
    known = format_of_suffix(file_name)
    if known is not None and known.name != DOCUMENT:
        return ""
    return "not a data file" if _NOT_DATA.fullmatch(file_name) else ""


def find_notes(files: Sequence[FoundFile]) -> set[FoundFile]:
    """Return the documents that are notes about the tables in their folder.

    If a folder has many documents, and more of them than tables, they are not notes but articles,
    and a table is their index.
    """
    tables = Counter(each.folder for each in files if each.format not in _NOT_TABLES)
    texts = [each for each in files if each.format == DOCUMENT and each.folder in tables]
    count = Counter(each.folder for each in texts)
    return {each for each in texts if count[each.folder] <= max(_MAX_NOTES, tables[each.folder])}


def find_summaries(documents: Sequence[FoundFile], spec: str) -> References | None:
    """Return the documents that are reference summaries of others, or None if there are none.

    They have the same names in a neighboring folder that is named for summaries
    (``Summaries/business/001.txt`` next to ``News/business/001.txt``), and are shorter.

    Raises:
        UserError: There are just two folders, which look like articles and their summaries, but
            neither is named so; the user has to decide.
    """
    pairs: list[tuple[str, FoundFile]] = []
    question = ""
    for folders in _sibling_folders(documents).values():
        named = [name for name in folders if _SUMMARY_FOLDER.search(name.lower())]
        others = [name for name in folders if name not in named]
        for name, other in ((name, other) for name in named for other in others):
            common = _common(folders[other], folders[name], at_least=_MIN_PAIRS_NAMED)
            if common and _length_ratio(common) < 1:
                pairs += ((long.below, short) for long, short in common)
        if not named and len(folders) == 2:
            question = question or _question(folders, spec)
    if question and not pairs:
        raise UserError(question)
    return References(pairs, BY_FOLDER, exact=True) if pairs else None


_Folder = Mapping[str, FoundFile]
"""The files below a folder by their paths relative to it, without suffixes."""


def _sibling_folders(
    documents: Iterable[FoundFile],
) -> dict[str, dict[str, dict[str, FoundFile]]]:
    """Return the documents by parent folder, by the name of the folder in it, by relative path."""
    found: dict[str, dict[str, dict[str, FoundFile]]] = defaultdict(lambda: defaultdict(dict))
    for each in documents:
        parts = _without_suffixes(each.below).split("/")
        for depth in range(len(parts) - 1):
            parent, rest = "/".join(parts[:depth]), "/".join(parts[depth + 1 :])
            found[parent][parts[depth]][rest] = each
    return found


def _common(one: _Folder, other: _Folder, at_least: float) -> list[tuple[FoundFile, FoundFile]]:
    """Return pairs of files with the same names, if nearly all of the second folder have one."""
    names = one.keys() & other.keys()
    enough = len(names) >= max(at_least, _NEARLY_ALL * len(other))
    return [(one[name], other[name]) for name in names] if enough else []


def _question(folders: Mapping[str, _Folder], spec: str) -> str:
    """Return what to ask the user if two folders look like articles and summaries; else empty."""
    one, other = folders.values()
    size = max(len(one), len(other))
    common = _common(one, other, at_least=max(_MIN_PAIRS, _NEARLY_ALL * size))
    ratio = _length_ratio(common) if common else 1.0
    if _FAR_SHORTER <= ratio <= 1 / _FAR_SHORTER:
        return ""
    long, short = map(_folder_name, (one, other) if ratio < 1 else (other, one))
    return (
        f"{spec}: {len(common)} files of {short} have the names of longer ones of {long}; if "
        f"they are their summaries, load {quote(long)} --references {quote(short)}; if all are "
        "articles, name both folders"
    )


def _folder_name(files: _Folder) -> str:
    path, first = next(iter(files.items()))
    return "/".join(first.name.split("/")[: -1 - path.count("/")])


def _length_ratio(pairs: list[tuple[FoundFile, FoundFile]]) -> float:
    """Return the median length of the second texts relative to the first.

    1 unless nearly all second texts are shorter, or nearly all are longer.
    """
    ratios = [(_size(second) + 1) / (_size(first) + 1) for first, second in pairs]
    middle = median(ratios)
    same_side = sum((each < 1) == (middle < 1) for each in ratios)
    return middle if same_side >= _NEARLY_ALL * len(ratios) else 1.0


def _size(found: FoundFile) -> int:
    """Return the stored size in bytes if it is known without a request; else 0."""
    file = found.file.file if isinstance(found.file, CompressedFile) else found.file
    if isinstance(file, LocalFile):
        return file.path.stat().st_size
    return file.size if isinstance(file, ZipMember | TarMember) else found.size


def infer_categories(documents: Sequence[FoundFile]) -> dict[str, str]:
    """Infer the categories of documents from folder names such as ``business/`` and ``sport/``.

    A folder's name is a category if there are other folders next to it, typically with several
    files, all with a suffix in common, and their names are neither numbers, splits of a dataset
    (``train``, ``test``) nor as short as language codes.

    Returns:
        Categories by the names of documents.
    """
    tree = _sibling_folders(documents)
    are_categories = {parent: _are_categories(folders) for parent, folders in tree.items()}
    categories = {}
    for each in documents:
        parts = each.below.split("/")[:-1]
        levels = (depth for depth in reversed(range(len(parts))))
        depth = next((n for n in levels if are_categories["/".join(parts[:n])]), None)
        if depth is not None:
            categories[each.name] = parts[depth]
    return categories


def _are_categories(folders: Mapping[str, _Folder]) -> bool:
    names = [_NON_LETTERS.sub("", name).casefold() for name in folders]
    if not 2 <= len(folders) <= _MAX_CATEGORIES or len(set(names)) < len(names):
        return False
    if not _SPLITS.isdisjoint(names) or all(len(name) <= 2 and name.isascii() for name in names):
        return False
    if not all(names) or any(name.startswith("_") or "=" in name for name in folders):
        return False
    suffixes = [{_suffix(each) for each in files.values()} for files in folders.values()]
    several = median(map(len, folders.values())) >= _MIN_PAIRS_NAMED
    return several and bool(set.intersection(*suffixes))


def _suffix(found: FoundFile) -> str:
    return PurePosixPath(found.file.file_name).suffix.lower()


class References:
    """Files with the reference summaries of articles, matched by name.

    Args:
        files: Each with its path, which is that of its article, or the end of it.
        spec: Why these are summaries, for messages: an option, or the folder's name.
        exact: The paths are complete, so only equal paths match.

    Attributes:
        identities: The identities of the files.

    Raises:
        UserError: There are no files.
    """

    def __init__(
        self, files: Iterable[tuple[str, FoundFile]], spec: str, exact: bool = False
    ) -> None:
        self.spec = spec
        self._exact = exact
        self._by_path: dict[str, ByteSource] = {}
        self._by_name: dict[str, ByteSource | None] = {}
        self.identities: set[str] = set()
        for below, each in files:
            self.identities.add(each.file.identity)
            path = _without_suffixes(below)
            name = path.rpartition("/")[2]
            codec = codec_of_suffix(each.file.file_name)
            file = CompressedFile(each.file, codec, each.name) if codec else each.file
            self._by_path[path] = file
            self._by_name[name] = None if name in self._by_name else file
        if not self._by_path:
            raise UserError(f"{spec}: contains no file; name the folder of the summaries")

    def of(self, article: FoundFile) -> ByteSource | None:
        """Return the file with the same name, in the same subfolder if the name is not unique."""
        path = _without_suffixes(article.below)
        if self._exact or path in self._by_path:
            return self._by_path.get(path)
        parts = path.split("/")
        ends = ("/".join(parts[start:]) for start in range(1, len(parts) - 1))
        found = next((self._by_path[end] for end in ends if end in self._by_path), None)
        return found or self._by_name.get(parts[-1])


def _without_suffixes(below: str) -> str:
    """Return a path without suffixes of compression and format, as a.html may match a.txt."""
    path = PurePosixPath(below)
    return str(path.with_name(PurePosixPath(unpacked_name(path.name)).stem))
