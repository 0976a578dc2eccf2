"""A scratch folder is its owner's while it lives, and nobody's as soon as it is dead."""

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from article_flows.tasks.storage.scratch import (
    Scratch,
    ownerless,
    remove_scratch,
    sweep,
    user_scratch_root,
)

ROOT = Path(__file__).parents[3]
OWN = """
import sys
from pathlib import Path
from article_flows.tasks.storage.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]))
(scratch.folder / "file").write_text("content")
print(scratch.folder, flush=True)
sys.stdin.read()
"""


@contextmanager
def owner(parent: Path) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """A process that has a scratch folder with a file in it, and ends when its input does."""
    with subprocess.Popen(
        [sys.executable, "-c", OWN, str(parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())


# A clock that was wrong, or jumps, makes files look as old or as new as this.
@pytest.mark.parametrize("moment", [0.0, 1e9, 4e9])
def test_only_what_a_killed_owner_left_is_swept_whatever_the_clock_says(
    tmp_path: Path, moment: float
) -> None:
    with owner(tmp_path) as (living, kept), owner(tmp_path) as (killed, left):
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        for folder in (kept, left):
            for path in (folder, *folder.iterdir()):
                os.utime(path, (moment, moment))
        assert ownerless(tmp_path) == [left]
        sweep(tmp_path)
        assert list(tmp_path.iterdir()) == [kept]
        assert (kept / "file").read_text() == "content"
        assert living.poll() is None
    assert list(tmp_path.iterdir()) == []


def test_an_exit_without_finalizers_can_remove_it_first(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    (scratch.folder / "file").write_text("content")
    remove_scratch()
    assert list(tmp_path.iterdir()) == []


def test_it_goes_with_the_object_and_not_with_a_fork_of_its_owner(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    child = os.fork()
    if child == 0:
        del scratch
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert scratch.folder.is_dir()
    assert ownerless(tmp_path) == []
    del scratch
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_one_in_the_making_and_what_is_no_folder_are_left_alone(tmp_path: Path) -> None:
    making, stray = tmp_path / "making", tmp_path / "stray"
    making.mkdir()
    stray.touch()
    assert ownerless(tmp_path) == []
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == [making, stray]
    sweep(tmp_path / "nowhere")


def test_who_sweeps_all_the_time_takes_none_from_those_who_begin(tmp_path: Path) -> None:
    done = threading.Event()

    def sweep_on() -> None:
        while not done.is_set():
            sweep(tmp_path)

    sweepers = [threading.Thread(target=sweep_on) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        for _ in range(300):
            scratch = Scratch(tmp_path)
            assert scratch.folder.is_dir()
            (scratch.folder / "file").touch()
    finally:
        done.set()
        for sweeper in sweepers:
            sweeper.join()


def test_the_machines_temporary_folder_for_scratch_is_this_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    parent = user_scratch_root()
    assert parent == user_scratch_root() == tmp_path / f"article-flows-{os.getuid()}"
    assert parent.stat().st_mode & 0o077 == 0
    parent.rmdir()
    parent.symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="another user's"):
        user_scratch_root()
