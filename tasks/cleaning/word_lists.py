"""The tables of words in `data/*.txt` that cleaning goes by: sections of lines."""

from collections import defaultdict
from pathlib import Path


def lines_of(file: str) -> dict[str, list[str]]:
    """Return the lines of each ``[section]`` of a file; comments and blank lines are left out."""
    sections: dict[str, list[str]] = defaultdict(list)
    name = ""
    path = Path(__file__).parents[2] / "data" / file
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line and not line.startswith("#"):
            sections[name].append(line)
    return sections


def words_of(file: str) -> dict[str, list[str]]:
    """Return the words of each section of a file, each once, in order."""
    return {
        name: list(dict.fromkeys(" ".join(lines).split())) for name, lines in lines_of(file).items()
    }
