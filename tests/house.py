"""The architecture of the code: import order, sizes, class names; printed by ``make house``."""

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
"""A component (a folder or a module) imports only from the lines above its own."""

MAX_FILES_PER_FOLDER = 15
MAX_LINES_PER_FILE = 400


def layers() -> dict[str, int]:
    """Return the layer of each component: its line in `ORDER`, from 0."""
    lines = ORDER.strip().splitlines()
    return {
        component.strip(): layer
        for layer, line in enumerate(lines)
        for component in line.split("|")
    }


@cache
def modules() -> dict[str, Path]:
    """Return the files of the package by module name, without the package prefix."""
    paths = [
        path for folder in ("flows", "tasks") for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def imported(path: Path) -> set[str]:
    """Return the full names that a file imports, including in functions and for type checking."""
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
    for name in imported(modules()[module]):
        inner = name.removeprefix(PACKAGE)
        outer = inner.rpartition(".")[0]
        found |= {each for each in (inner, outer) if each in modules()}
    return frozenset(found)


@cache
def transitive_imports(module: str) -> frozenset[str]:
    """Return all modules that a module imports, directly or not."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        new = imports_of(waiting.pop()) - seen
        seen |= new
        waiting += new
    return frozenset(seen)


def component_of(module: str) -> str:
    """Return the component of a module: the module itself if `ORDER` lists it, else its folder."""
    path = module.replace(".", "/")
    return path if path in layers() else path.rpartition("/")[0]


def imports_nothing(module: str) -> bool:
    """Return whether a module is an ``__init__`` that imports nothing from the package."""
    return module.endswith("__init__") and not imports_of(module)


def order_violations() -> list[str]:
    """Return each import of a module in the same or a later layer."""
    layer_of = layers()
    violations = []
    for module in modules():
        if imports_nothing(module):
            continue
        component = component_of(module)
        for other in sorted(transitive_imports(module)):
            if component_of(other) == component or imports_nothing(other):
                continue
            if component not in layer_of or layer_of[component_of(other)] >= layer_of[component]:
                violations.append(f"{module} imports {other}")
    return violations


def import_cycles() -> list[str]:
    """Return the modules that import themselves indirectly."""
    return [module for module in modules() if module in transitive_imports(module)]


def public_classes() -> dict[str, list[str]]:
    """Return the modules that define each public class, by class name."""
    owners = defaultdict(list)
    for module, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                owners[node.name].append(module)
    return owners


def duplicate_classes() -> dict[str, list[str]]:
    """Return the public class names with more than one definition."""
    return {name: where for name, where in public_classes().items() if len(where) > 1}


def files_by_folder() -> Counter[str]:
    """Return the number of modules in each folder, without ``__init__``."""
    files = [path for path in modules().values() if path.name != "__init__.py"]
    return Counter(path.parent.relative_to(ROOT).as_posix() for path in files)


def lines_by_file() -> dict[str, int]:
    """Return the number of lines of each file."""
    return {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules().values()
    }


def report() -> Iterator[str]:
    """Yield the lines that ``make house`` prints."""
    lines = lines_by_file()
    longest = max(lines.values())
    yield f"{sum(lines.values()):,} lines in {len(lines)} files; the longest has {longest}"
    yield ""
    for folder, files in sorted(files_by_folder().items()):
        total = sum(count for file, count in lines.items() if file.rpartition("/")[0] == folder)
        yield f"{folder:32} {files:3} files {total:6,} lines"
    yield ""
    yield "Import order: a folder imports only from the lines above its own."
    yield from (f"  {line}" for line in ORDER.strip().splitlines())
    yield f"Imports against this order: {len(order_violations()) or 'none'}"
    yield from (f"  {line}" for line in order_violations())
    yield f"Import cycles: {', '.join(import_cycles()) or 'none'}"
    yield f"Duplicate public class names: {len(duplicate_classes()) or 'none'}"
    yield from (
        f"  {name}: {', '.join(where)}" for name, where in sorted(duplicate_classes().items())
    )


if __name__ == "__main__":
    print("\n".join(report()))
