"""The rules that no other test would notice broken."""

import ast
from pathlib import Path

import pytest

from tests.support import ROOT

FORBIDDEN = {
    "tasks": {"flows"},
    "tasks/llm": {"flows", "prefect", "pandas"},
    "tasks/mock_endpoint": {"flows", "prefect", "pandas"},
}


def imports_of(path: Path) -> set[str]:
    """Full names of the modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_layers_import_nothing_above_them(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*.py")):
        roots = {name.split(".")[0] for name in imports_of(path)}
        assert not roots & FORBIDDEN[folder], path


def test_llm_imports_nothing_of_tasks_outside_it() -> None:
    for path in sorted((ROOT / "tasks" / "llm").rglob("*.py")):
        ours = {name for name in imports_of(path) if name.split(".")[0] == "tasks"}
        assert all(name.startswith("tasks.llm") for name in ours), path


def test_only_the_command_line_its_flows_tests_and_benchmarks_know_the_mock_endpoint() -> None:
    for path in sorted((ROOT / "tasks").rglob("*.py")):
        ours = {name for name in imports_of(path) if name.split(".")[0] == "tasks"}
        if path.is_relative_to(ROOT / "tasks" / "mock_endpoint"):
            known = ("tasks.mock_endpoint", "tasks.llm.tokens")
            assert all(name.startswith(known) for name in ours), path
        else:
            assert not any(name.startswith("tasks.mock_endpoint") for name in ours), path


@pytest.mark.parametrize("folder", ["reading", "cleaning"])
def test_sources_are_read_and_cleaned_without_a_lake(folder: str) -> None:
    for path in sorted((ROOT / "tasks" / folder).rglob("*.py")):
        assert not imports_of(path) & {"prefect", "tasks.lake", "tasks.loads", "tasks.parts"}, path


def test_files_fit_in_a_head() -> None:
    code = [path for folder in ("flows", "tasks") for path in (ROOT / folder).rglob("*.py")]
    long = {str(path): len(path.read_text().splitlines()) for path in code}
    assert not {path: lines for path, lines in long.items() if lines > 400}


def test_lock_file_has_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines
    assert all("==" in line and "://" not in line and "@" not in line for line in lines)
