"""Temporary copies are made once, renewed when they are old, and evicted when they are too many."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from article_flows.tasks.reading.base.streams import temporary_file
from article_flows.tasks.reading.places.spools import SpoolCache
from article_flows.tasks.reading.sources.find import find_sources
from tests.support import ROOT


class Copies:
    """Makes and counts copies of one content."""

    def __init__(self, content: bytes = b"content") -> None:
        self.made = 0
        self._content = content

    def __call__(self) -> BinaryIO:
        self.made += 1
        file = temporary_file()
        file.write(self._content)
        return file


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_least_recently_used_copy_is_evicted_but_open_handles_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("article_flows.tasks.reading.places.spools.MAX_CACHED_BYTES", 20)
    cache, copies = SpoolCache(), [Copies() for _ in range(4)]
    before = open_files()
    with cache.open(0, copies[0]) as first:
        for key in (1, 2, 3, 1):
            with cache.open(key, copies[key]) as file:
                assert file.read() == b"content"
        assert first.read() == b"content"
    assert [each.made for each in copies] == [1, 2, 1, 1]
    assert open_files() - before == 2
    cache.open("pipe", copies[0], pinned=True).close()
    for key in (2, 3, 2, 3):
        cache.open(key, copies[key]).close()
    cache.open("pipe", copies[0], pinned=True).close()
    assert copies[0].made == 2


def test_an_old_copy_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, copies, pinned = SpoolCache(), Copies(), Copies()
    for _ in range(2):
        cache.open("a", copies).close()
        cache.open("b", pinned, pinned=True).close()
    assert copies.made == 1
    monkeypatch.setattr("article_flows.tasks.reading.places.spools.MAX_AGE_S", -1.0)
    cache.open("a", copies).close()
    cache.open("b", pinned, pinned=True).close()
    assert (copies.made, pinned.made) == (2, 1)


def test_a_failed_copy_is_retried_by_the_next_open() -> None:
    cache = SpoolCache()

    def fail() -> BinaryIO:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        cache.open("a", fail)
    with cache.open("a", Copies(b"abc")) as file:
        assert file.seek(-1, io.SEEK_END) == 2
        assert (file.read(), file.seek(1), file.read()) == (b"c", 1, b"bc")


def test_standard_input_is_a_source() -> None:
    program = (
        "from article_flows.tasks.reading.sources.find import find_sources;"
        "from article_flows.tasks.reading.formats.registry import read;"
        "find_sources(['-']); (s,) = find_sources(['-']);"
        "print(s.name, s.format, [r for c in read(s) for r in c.records])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=b'{"body": "x"}\n' * 2,
        capture_output=True,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout == b"standard input jsonl [{'body': 'x'}, {'body': 'x'}]\n"


def test_a_named_pipe_is_a_source_but_not_in_a_folder(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    (tmp_path / "a.csv").write_text("id,body\n1,x\n")
    assert [source.name for source in find_sources([str(tmp_path)])] == [f"{tmp_path}/a.csv"]
    writer = threading.Thread(target=pipe.write_text, args=("id,body\n1,x\n",))
    writer.start()
    (source,) = find_sources([str(pipe)])
    writer.join()
    assert source.format == "csv"
    with source.file.open() as one, source.file.open() as other:
        assert one.read() == other.read() == b"id,body\n1,x\n"
