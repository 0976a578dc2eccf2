"""The data files that ship with the package: demo articles, recipes and word lists."""

from collections import defaultdict
from pathlib import Path

_PACKAGE = Path(__file__).parents[2]
DATA = _PACKAGE / "data"
IMPORT_ROOT = _PACKAGE.parent
"""The folder from which child processes import this package."""


def read_sections(file: str) -> dict[str, list[str]]:
    """Return the lines of each ``[section]`` of a data file, without comments and blank lines."""
    sections: dict[str, list[str]] = defaultdict(list)
    name = ""
    for line in (DATA / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line and not line.startswith("#"):
            sections[name].append(line)
    return sections


def read_words(file: str) -> dict[str, list[str]]:
    """Return the distinct words of each section of a word list, in order."""
    sections = read_sections(file)
    return {name: list(dict.fromkeys(" ".join(lines).split())) for name, lines in sections.items()}
