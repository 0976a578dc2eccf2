"""Lakes with the benchmark's articles, loaded once and copied for each measurement."""

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
    """Cache of loaded lakes in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def copy(self, articles: Path) -> Iterator[Path]:
        """Yield a temporary lake with the articles of a Parquet file and without answers."""
        loaded = self._folder / articles.stem
        if not loaded.is_dir():
            _load(articles, loaded)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="run-") as folder:
            lake = Path(folder) / "lake"
            shutil.copytree(loaded, lake)
            yield lake


def _load(articles: Path, lake: Path) -> None:
    """Load a lake with `article-flows ingest`; raise SystemExit if that fails."""
    command = [
        sys.executable,
        "-c",
        "from article_flows.flows.cli.app import main; main()",
        "ingest",
        str(articles),
    ]
    process = subprocess.run(
        [*command, "--lake", str(lake), "--json"],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise SystemExit(f"benchmarks: {articles.name} could not be loaded:\n{process.stderr}")
