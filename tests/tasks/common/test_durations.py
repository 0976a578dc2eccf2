import pytest

from article_flows.tasks.common.text_safety import format_duration


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7_800, "2 h 10 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_durations_are_formatted_for_people(seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown
