"""Examples in docstrings run and return the documented output."""

import doctest
from importlib import import_module

import pytest

from tests import house

WITH_EXAMPLES = [
    module for module, path in house.modules().items() if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_return_the_documented_output(module: str) -> None:
    result = doctest.testmod(
        import_module(house.PACKAGE + module), optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert result.attempted
    assert not result.failed
