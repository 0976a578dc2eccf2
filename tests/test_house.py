"""The architecture: import order, sizes and forbidden imports."""

from pathlib import Path

import pytest

from tests import house
from tests.house import ROOT, imported

FORBIDDEN = {"llm": {"prefect", "pandas"}, "mock_endpoint": {"prefect", "pandas"}}


def test_every_component_is_in_the_order() -> None:
    assert {
        house.component_of(each) for each in house.modules() if not house.imports_nothing(each)
    } <= set(house.layers())


def test_components_import_only_from_earlier_layers() -> None:
    assert house.order_violations() == []


def test_imports_have_no_cycles() -> None:
    assert house.import_cycles() == []


def test_imports_in_functions_and_for_type_checking_count(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from article_flows.tasks.lake.lake import Lake\n"
        "def late():\n    import article_flows.tasks.settings\n"
    )
    assert {"article_flows.tasks.lake.lake.Lake", "article_flows.tasks.settings"} <= imported(file)


def test_public_class_names_are_unique() -> None:
    assert house.duplicate_classes() == {}


def test_folders_and_files_are_small() -> None:
    assert max(house.files_by_folder().values()) <= house.MAX_FILES_PER_FOLDER
    assert {n: c for n, c in house.lines_by_file().items() if c > house.MAX_LINES_PER_FILE} == {}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_llm_code_imports_neither_prefect_nor_pandas(folder: str) -> None:
    for path in sorted((ROOT / "tasks" / folder).rglob("*.py")):
        assert not {name.split(".")[0] for name in imported(path)} & FORBIDDEN[folder], path


def test_only_flows_import_the_mock_endpoint() -> None:
    for module in house.modules():
        if not module.startswith(("tasks.mock_endpoint", "flows")):
            assert not [m for m in house.imports_of(module) if "mock_endpoint" in m], module


@pytest.mark.parametrize("folder", ["reading", "cleaning"])
def test_reading_and_cleaning_do_not_import_prefect(folder: str) -> None:
    for path in sorted((ROOT / "tasks" / folder).rglob("*.py")):
        assert not {name for name in imported(path) if name.split(".")[0] == "prefect"}, path


def test_constraints_file_has_only_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines
    assert all("==" in line and "://" not in line and "@" not in line for line in lines)
