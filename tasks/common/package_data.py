"""The files that ship with the package: demo articles, recipes, and lists of words."""

from collections import defaultdict
from pathlib import Path

_PACKAGE = Path(__file__).parents[2]
DATA = _PACKAGE / "data"
IMPORT_ROOT = _PACKAGE.parent
"""The folder that child processes import this package from."""


def lines_of(file: str) -> dict[str, list[str]]:
    """Return the lines of each ``[section]`` of a word list, without comments and blank lines."""
    sections: dict[str, list[str]] = defaultdict(list)
    name = ""
    for line in (DATA / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line and not line.startswith("#"):
            sections[name].append(line)
    return sections


def words_of(file: str) -> dict[str, list[str]]:
    """Return the words of each section of a word list, each once, in order."""
    return {
        name: list(dict.fromkeys(" ".join(lines).split())) for name, lines in lines_of(file).items()
    }
