"""The rules of the house that no other test would notice broken."""

from pathlib import Path

import pytest

from tests import house
from tests.house import ROOT, imported

FORBIDDEN = {"llm": {"prefect", "pandas"}, "mock_endpoint": {"prefect", "pandas"}}


def test_every_room_has_a_place_in_the_order() -> None:
    assert {house.room_of(each) for each in house.code() if not house.is_empty(each)} <= set(
        house.floors()
    )


def test_rooms_import_only_those_before_them() -> None:
    assert house.broken_order() == []


def test_imports_have_no_circle() -> None:
    assert house.circles() == []


def test_the_order_is_checked_in_functions_and_for_types(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from article_flows.tasks.lake.lake import Lake\n"
        "def late():\n    import article_flows.tasks.settings\n"
    )
    assert {"article_flows.tasks.lake.lake.Lake", "article_flows.tasks.settings"} <= imported(file)


def test_no_public_class_name_stands_twice() -> None:
    assert house.classes_twice() == {}


def test_folders_and_files_fit_in_a_head() -> None:
    assert max(house.files_in_folders().values()) <= house.MOST_FILES
    assert {n: c for n, c in house.lines_of_files().items() if c > house.MOST_LINES} == {}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_what_is_below_prefect_does_not_import_it(folder: str) -> None:
    for path in sorted((ROOT / "tasks" / folder).rglob("*.py")):
        assert not {name.split(".")[0] for name in imported(path)} & FORBIDDEN[folder], path


def test_only_the_flows_and_the_command_line_know_the_mock_endpoint() -> None:
    for module in house.code():
        if not module.startswith(("tasks.mock_endpoint", "flows")):
            assert not [m for m in house.imports_of(module) if "mock_endpoint" in m], module


@pytest.mark.parametrize("folder", ["reading", "cleaning"])
def test_sources_are_read_and_cleaned_without_prefect(folder: str) -> None:
    for path in sorted((ROOT / "tasks" / folder).rglob("*.py")):
        assert not {name for name in imported(path) if name.split(".")[0] == "prefect"}, path


def test_lock_file_has_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines
    assert all("==" in line and "://" not in line and "@" not in line for line in lines)
