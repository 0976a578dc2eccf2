"""A scratch folder belongs to its process until that process dies."""

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
    abandoned_folders,
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
    """Run a process that owns a scratch folder with a file, until its input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", OWN, str(parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())


# A wrong clock, or one that jumps, can give files such times.
@pytest.mark.parametrize("moment", [0.0, 1e9, 4e9])
def test_only_folders_of_killed_processes_are_swept_whatever_their_age(
    tmp_path: Path, moment: float
) -> None:
    with owner(tmp_path) as (living, kept), owner(tmp_path) as (killed, left):
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        for folder in (kept, left):
            for path in (folder, *folder.iterdir()):
                os.utime(path, (moment, moment))
        assert abandoned_folders(tmp_path) == [left]
        sweep(tmp_path)
        assert list(tmp_path.iterdir()) == [kept]
        assert (kept / "file").read_text() == "content"
        assert living.poll() is None
    assert list(tmp_path.iterdir()) == []


def test_scratch_can_be_removed_before_an_exit_without_finalizers(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    (scratch.folder / "file").write_text("content")
    remove_scratch()
    assert list(tmp_path.iterdir()) == []


def test_scratch_is_removed_with_its_object_but_not_by_a_forked_child(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    child = os.fork()
    if child == 0:
        del scratch
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert scratch.folder.is_dir()
    assert abandoned_folders(tmp_path) == []
    del scratch
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_sweep_keeps_folders_without_a_lock_yet_and_stray_files(tmp_path: Path) -> None:
    making, stray = tmp_path / "making", tmp_path / "stray"
    making.mkdir()
    stray.touch()
    assert abandoned_folders(tmp_path) == []
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == [making, stray]
    sweep(tmp_path / "nowhere")


def test_concurrent_sweeps_never_remove_a_new_folder(tmp_path: Path) -> None:
    done = threading.Event()

    def sweep_repeatedly() -> None:
        while not done.is_set():
            sweep(tmp_path)

    sweepers = [threading.Thread(target=sweep_repeatedly) for _ in range(2)]
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


def test_the_scratch_root_is_private_to_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = user_scratch_root()
    assert folder == user_scratch_root() == tmp_path / f"article-flows-{os.getuid()}"
    assert folder.stat().st_mode & 0o077 == 0
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="another user"):
        user_scratch_root()
