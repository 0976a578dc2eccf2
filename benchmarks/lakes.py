"""Lakes with the benchmark's articles: loaded once, then copied for each measurement."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measurement import ROOT


class Lakes:
    """Loaded lakes, by the file of articles; they live as long as their folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def fresh(self, articles: Path) -> Iterator[Path]:
        """Give a lake that has these articles and no answer, for one measurement."""
        loaded = self._folder / articles.stem
        if not loaded.is_dir():
            _load(articles, loaded)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="run-") as folder:
            lake = Path(folder) / "lake"
            shutil.copytree(loaded, lake)
            yield lake


def _load(articles: Path, lake: Path) -> None:
    """Load a lake through the command line of this project; raises SystemExit if that fails."""
    command = [
        sys.executable,
        "-c",
        "from article_flows.flows.cli.app import main; main()",
        "ingest",
        str(articles),
    ]
    finished = subprocess.run(
        [*command, "--lake", str(lake), "--json"],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise SystemExit(f"benchmarks: {articles.name} could not be loaded:\n{finished.stderr}")
