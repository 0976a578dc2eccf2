from collections.abc import Iterator

import pytest

from tasks.cleaning.column_samples import sampled
from tasks.errors import UserError
from tasks.reading.readers_base import Chunk, RecordChunk, Reject


def chunks(*sizes: int, failing: bool = False) -> Iterator[Chunk]:
    row = 0
    for size in sizes:
        numbers = list(range(row + 1, row + size + 1))
        yield RecordChunk([{"n": number} for number in numbers], numbers)
        row += size
    if failing:
        raise UserError("cut off")


def numbers(all_chunks: Iterator[Chunk]) -> list[int]:
    return [int(number) for chunk in all_chunks for number in chunk.rows]


@pytest.mark.parametrize("sizes", [(), (3,), (1, 2, 5), (10, 1), (1, 1, 1, 1, 1, 1, 9), (4, 4, 4)])
def test_the_first_rows_and_all_chunks(sizes: tuple[int, ...]) -> None:
    records, rest = sampled(chunks(*sizes), rows=5)
    total = sum(sizes)
    assert numbers(rest) == list(range(1, total + 1))
    assert [each["n"] for each in records] == list(range(1, len(records) + 1))
    assert len(records) <= 5
    assert len(records) >= min(5, total, 4)


def test_what_came_before_an_error_comes_before_it() -> None:
    records, rest = sampled(chunks(2, 2, failing=True), rows=100)
    assert len(records) == 4
    assert [*next(rest).rows, *next(rest).rows] == [1, 2, 3, 4]
    with pytest.raises(UserError, match="cut off"):
        next(rest)


def test_chunks_of_mere_rejects_do_not_count() -> None:
    def mixed() -> Iterator[Chunk]:
        for row in range(1, 10):
            yield RecordChunk(rejects=[Reject(row, "broken", "")])
        yield RecordChunk([{"n": 1}], [10])

    records, rest = sampled(mixed())
    assert records == [{"n": 1}]
    assert sum(len(chunk) for chunk in rest) == 10
