import pyarrow as pa

from article_flows.tasks.cleaning.filters.rules import (
    SHORT_CHARS,
    Rules,
    rejected_bodies,
    short_bodies,
)


def test_lengths_are_counted_in_characters() -> None:
    bodies = pa.array(["中" * 12, "x" * 20, "é" * 5_000_000, "", None])
    assert rejected_bodies(bodies, Rules(min_chars=20)) == [
        (0, "12 characters; the minimum is 20 (--min-chars)"),
        (2, "5,000,000 characters; the maximum is 1,000,000 (--max-chars)"),
        (3, "0 characters; the minimum is 20 (--min-chars)"),
    ]


def test_zero_max_chars_means_no_limit() -> None:
    assert rejected_bodies(pa.array(["x" * 1_000_001]), Rules(max_chars=0)) == []


def test_boilerplate_can_be_kept() -> None:
    bodies = pa.array(["An article about a bridge.", "404 Not Found", None])
    assert rejected_bodies(bodies, Rules()) == [(1, "boilerplate: a page-not-found notice")]
    assert rejected_bodies(bodies, Rules(boilerplate=True)) == []


def test_each_row_has_one_reason_in_row_order() -> None:
    bodies = pa.array(["404 Not Found", "ok ok ok ok ok ok ok ok"])
    assert rejected_bodies(bodies, Rules(min_chars=20)) == [
        (0, "13 characters; the minimum is 20 (--min-chars)")
    ]
    assert rejected_bodies(pa.array([], pa.string()), Rules()) == []


def test_a_chinese_character_counts_as_three() -> None:
    bodies = pa.array(["x" * (SHORT_CHARS - 1), "x" * SHORT_CHARS, "中" * 33, "中" * 34, None, ""])
    assert short_bodies(bodies).tolist() == [True, False, True, False, False, True]
