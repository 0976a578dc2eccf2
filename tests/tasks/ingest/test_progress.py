"""The progress of a load, and the reports that an attempt leaves to the next one."""

import re
import threading
from pathlib import Path

from article_flows.tasks.ingest.progress import LoadProgress
from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import Source


def sources(*names: str) -> list[Source]:
    return [Source(LocalFile(Path(name)), name, "jsonl") for name in names]


def test_a_retry_continues_the_reports_of_the_first_attempt() -> None:
    progress, group = LoadProgress(2), sources("a", "b")
    first, second = (report for _, report in progress.reports_of(group))
    first.rows_in, first.stored, first.last_row, first.finished = 7, 7, 7, True
    second.rows_in, second.stored, second.last_row = 3, 3, 3

    again = progress.reports_of(group)

    assert [source for source, _ in again] == group
    assert again[0][1] is first
    assert again[1][1] is second


def test_sources_with_the_same_name_have_separate_reports() -> None:
    one, other = Path("a/x.jsonl"), Path("b/x.jsonl")
    group = [Source(LocalFile(path), "x.jsonl", "jsonl") for path in (one, other)]
    (_, first), (_, second) = LoadProgress(2).reports_of(group)
    assert first is not second


def test_completed_sources_are_counted_and_their_reports_dropped() -> None:
    progress, group = LoadProgress(4), sources("a", "b")
    for _, report in progress.reports_of(group):
        report.rows_in, report.finished = 5, True
    assert progress.percent == 50.0
    progress.done(group)
    assert progress.percent == 50.0
    assert progress.line().startswith("10 rows · ")
    assert "2 of 4 sources done" in progress.line()
    ((_, fresh),) = progress.reports_of(group[:1])
    assert (fresh.rows_in, fresh.finished) == (0, False)


def test_the_line_shows_rows_rate_and_current_source() -> None:
    progress, group = LoadProgress(1_000), sources("in/a.jsonl", "in/b.jsonl")
    (_, first), (_, second) = progress.reports_of(group)
    assert re.fullmatch(r"0 rows · 0/s · 0 of 1,000 sources done", progress.line())
    first.rows_in, first.finished, second.rows_in = 1_234, True, 1_000
    assert re.fullmatch(
        r"2,234 rows · [\d,]+/s · 1 of 1,000 sources done · reading b.jsonl", progress.line()
    )
    assert progress.percent == 0.1


def test_one_source_is_not_counted_in_the_line() -> None:
    progress, (source,) = LoadProgress(1), sources("a")
    ((_, report),) = progress.reports_of([source])
    report.rows_in = 5
    assert "sources" not in progress.line()
    assert progress.percent == 0.0
    report.finished = True
    assert progress.percent == 100.0


def test_a_load_without_sources_is_complete() -> None:
    assert LoadProgress(0).percent == 100.0


def test_concurrent_updates_lose_no_count() -> None:
    progress = LoadProgress(400)

    def load(number: int) -> None:
        for index in range(100):
            group = sources(f"{number}-{index}")
            for _, report in progress.reports_of(group):
                report.rows_in, report.finished = 3, True
            assert progress.percent > 0
            assert "rows" in progress.line()
            progress.done(group)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress.percent == 100.0
    assert progress.line().startswith("1,200 rows · ")
    assert "400 of 400 sources done" in progress.line()
