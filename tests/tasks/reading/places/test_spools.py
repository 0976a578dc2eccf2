"""Copies that stay for the run: made once, made again when old, let go when there are too many."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from article_flows.tasks.reading.base.streams import temporary_file
from article_flows.tasks.reading.places.spools import Spools
from article_flows.tasks.reading.sources.find import find_sources
from tests.support import ROOT


class Copies:
    """Makes copies of one content, and counts them."""

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


def test_the_oldest_copy_makes_room_but_those_in_use_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("article_flows.tasks.reading.places.spools.KEPT_BYTES", 20)
    spools, copies = Spools(), [Copies() for _ in range(4)]
    before = open_files()
    with spools.open(0, copies[0]) as first:
        for key in (1, 2, 3, 1):
            with spools.open(key, copies[key]) as file:
                assert file.read() == b"content"
        assert first.read() == b"content"
    assert [each.made for each in copies] == [1, 2, 1, 1]
    assert open_files() - before == 2
    spools.open("pipe", copies[0], pinned=True).close()
    for key in (2, 3, 2, 3):
        spools.open(key, copies[key]).close()
    spools.open("pipe", copies[0], pinned=True).close()
    assert copies[0].made == 2


def test_an_old_copy_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    spools, copies, pinned = Spools(), Copies(), Copies()
    for _ in range(2):
        spools.open("a", copies).close()
        spools.open("b", pinned, pinned=True).close()
    assert copies.made == 1
    monkeypatch.setattr("article_flows.tasks.reading.places.spools.FRESH_S", -1.0)
    spools.open("a", copies).close()
    spools.open("b", pinned, pinned=True).close()
    assert (copies.made, pinned.made) == (2, 1)


def test_a_copy_that_fails_is_tried_by_the_next() -> None:
    spools = Spools()

    def fail() -> BinaryIO:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        spools.open("a", fail)
    with spools.open("a", Copies(b"abc")) as file:
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


def test_a_named_pipe_is_a_source_but_none_in_a_folder_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    (tmp_path / "a.csv").write_text("id,body\n1,x\n")
    assert [source.name for source in find_sources([str(tmp_path)])] == [f"{tmp_path}/a.csv"]
    writer = threading.Thread(target=pipe.write_text, args=("id,body\n1,x\n",))
    writer.start()
    (source,) = find_sources([str(pipe)])
    writer.join()
    assert source.format == "csv"
    with source.place.open() as one, source.place.open() as other:
        assert one.read() == other.read() == b"id,body\n1,x\n"
