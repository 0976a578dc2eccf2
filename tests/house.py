"""The folders of the code: import order, sizes, duplicate class names; see ``make house``."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "article_flows."

ORDER = """
tasks/common | tasks/llm/protocol
tasks/llm/transports | tasks/llm/limits
tasks/llm/gateway
tasks/storage | tasks/settings | tasks/mock_endpoint
tasks/orchestration
tasks/locks | tasks/journal | tasks/reading/base
tasks/reading/web | tasks/reading/formats/csv | tasks/reading/formats/json
tasks/reading/places
tasks/reading/formats
tasks/reading/sources
tasks/lake | tasks/cleaning/text | tasks/cleaning/dates
tasks/cleaning/language | tasks/cleaning/filters
tasks/cleaning/columns
tasks/cleaning/articles
tasks/ingest | tasks/enriched
tasks/summarize
tasks/checks
tasks/reports
flows
flows/cli
"""
"""A room imports only rooms of the lines above its own. Rooms of one line know nothing of each
other."""

MOST_FILES = 15
MOST_LINES = 400


def floors() -> dict[str, int]:
    """Return the line of each room in the order, from 0."""
    lines = ORDER.strip().splitlines()
    return {room.strip(): floor for floor, line in enumerate(lines) for room in line.split("|")}


@cache
def code() -> dict[str, Path]:
    """Return the files of the package by the name of their module, without the package's own."""
    paths = [
        path for folder in ("flows", "tasks") for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def imported(path: Path) -> set[str]:
    """Return the full names that a file imports, in functions and under ``TYPE_CHECKING`` too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@cache
def imports_of(module: str) -> frozenset[str]:
    """Return the modules of the package that a module imports."""
    found = set()
    for name in imported(code()[module]):
        inner = name.removeprefix(PACKAGE)
        outer = inner.rpartition(".")[0]
        found |= {each for each in (inner, outer) if each in code()}
    return frozenset(found)


@cache
def reached_from(module: str) -> frozenset[str]:
    """Return all modules that importing this one can bring in."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        new = imports_of(waiting.pop()) - seen
        seen |= new
        waiting += new
    return frozenset(seen)


def room_of(module: str) -> str:
    """Return the room that a module is in: its folder, or itself where it has a line of its own."""
    path = module.replace(".", "/")
    return path if path in floors() else path.rpartition("/")[0]


def is_empty(module: str) -> bool:
    """Return whether a module imports nothing of the package, as folders of rooms do."""
    return module.endswith("__init__") and not imports_of(module)


def broken_order() -> list[str]:
    """Return each module that reaches one of its own floor or of a later one, and which."""
    floor_of = floors()
    broken = []
    for module in code():
        if is_empty(module):
            continue
        room = room_of(module)
        for other in sorted(reached_from(module)):
            if room_of(other) == room or is_empty(other):
                continue
            if room not in floor_of or floor_of[room_of(other)] >= floor_of[room]:
                broken.append(f"{module} reaches {other}")
    return broken


def circles() -> list[str]:
    """Return the modules that importing themselves leads back to."""
    return [module for module in code() if module in reached_from(module)]


def public_classes() -> dict[str, list[str]]:
    """Return for each public class name of the package the modules that define it."""
    owners = defaultdict(list)
    for module, path in code().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                owners[node.name].append(module)
    return owners


def classes_twice() -> dict[str, list[str]]:
    """Return the public class names that more than one module defines."""
    return {name: where for name, where in public_classes().items() if len(where) > 1}


def files_in_folders() -> Counter[str]:
    """Return the number of modules in each folder, without ``__init__``."""
    files = [path for path in code().values() if path.name != "__init__.py"]
    return Counter(path.parent.relative_to(ROOT).as_posix() for path in files)


def lines_of_files() -> dict[str, int]:
    """Return the number of lines of each file."""
    return {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in code().values()
    }


def report() -> Iterator[str]:
    """Yield the lines that ``make house`` prints."""
    lines = lines_of_files()
    longest = max(lines.values())
    yield f"{sum(lines.values()):,} lines in {len(lines)} files; the longest has {longest}"
    yield ""
    for folder, files in sorted(files_in_folders().items()):
        here = sum(count for file, count in lines.items() if file.rpartition("/")[0] == folder)
        yield f"{folder:32} {files:3} files {here:6,} lines"
    yield ""
    yield "A folder imports only those of the lines above its own:"
    yield from (f"  {line}" for line in ORDER.strip().splitlines())
    yield f"Imports against this order: {len(broken_order()) or 'none'}"
    yield from (f"  {line}" for line in broken_order())
    yield f"Circles: {', '.join(circles()) or 'none'}"
    yield f"Public class names that stand twice: {len(classes_twice()) or 'none'}"
    yield from (f"  {name}: {', '.join(where)}" for name, where in sorted(classes_twice().items()))


if __name__ == "__main__":
    print("\n".join(report()))
