"""Untrusted text is shown on one line and cannot control a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.common.text_safety import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe 橋 👩\u200d🚀", "Größe 橋 👩\u200d🚀"),
        ("  two\r\n\tlines ", "two lines"),
        ("\x1b[31mred\x07", "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}"),
        ("a\x9b2Jb\x00c", "a\N{REPLACEMENT CHARACTER}2Jb\N{REPLACEMENT CHARACTER}c"),
        ("half \ud800", "half \N{REPLACEMENT CHARACTER}"),
        ("", ""),
    ],
)
def test_control_characters_are_replaced(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_any_text_becomes_one_encodable_line(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown
    assert printable(shown) == shown
