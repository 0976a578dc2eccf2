"""Loading a large file against a bare pyarrow read and write of it: `python -m benchmarks.loading`.

The file is made of passages of real articles, about 3 KB each, with line breaks in them. The bare
way reads it whole with `pyarrow.csv` or `pyarrow.json` and writes it with `pyarrow.parquet`, on all
cores. Ours is the command `article-flows ingest`: streamed, cleaned, hashed, with languages told,
duplicates found and every row accounted for. Both compress with zstd.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.articles import CACHE, ROOT, real_articles

ROWS = 1_000_000
FORMATS = ("csv", "jsonl")
_COLUMNS = ("id", "title", "body", "url", "author", "date", "category")
_LEAST, _MOST = 1_500, 4_300
_LEAST_RATE = 8_000
"""Rows a second: many times what a model answers, and what one parser for CSV can do."""

_BARE = """
import sys, time
import pyarrow.csv, pyarrow.json, pyarrow.parquet
started = time.perf_counter()
source, target = sys.argv[1:]
if source.endswith(".csv"):
    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    table = pyarrow.csv.read_csv(source, parse_options=options)
else:
    options = pyarrow.json.ReadOptions(block_size=16 << 20)
    table = pyarrow.json.read_json(source, read_options=options)
pyarrow.parquet.write_table(table, target, compression="zstd")
seconds = time.perf_counter() - started
"""
_OURS = """
import sys
from article_flows.flows.cli.app import run_app
run_app(["ingest", sys.argv[1], "--lake", sys.argv[2], "--json"])
"""
_PEAK = """
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@dataclass(frozen=True)
class Loaded:
    """One way to load one file: rows a second, and the peak memory of its process in MB."""

    way: str
    file: str
    rows: int
    seconds: float
    peak_mb: float

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


def measure_loading(rows: int, formats: tuple[str, ...] = FORMATS) -> list[Loaded]:
    """Load a file of so many articles in each format, the bare way and ours in turn."""
    measured = []
    for suffix in formats:
        file = large_file(rows, suffix)
        for way in (_bare, _ours):
            _cool(file)
            with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
                measured.append(way(file, Path(folder), rows))
    return measured


def large_file(rows: int, suffix: str) -> Path:
    """Give a file of so many distinct articles of 1,500 to 4,300 characters, written once."""
    path = CACHE / f"large-{rows}.{suffix}"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            write = _csv_writer(file) if suffix == "csv" else _jsonl_writer(file)
            for row in _rows(rows):
                write(row)
        unfinished.replace(path)
    return path


def _csv_writer(file: Any) -> Callable[[tuple[str, ...]], object]:
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    return writer.writerow


def _jsonl_writer(file: Any) -> Callable[[tuple[str, ...]], object]:
    def write(row: tuple[str, ...]) -> None:
        record = dict(zip(_COLUMNS, row, strict=True))
        file.write(json.dumps(record, ensure_ascii=False) + "\n")

    return write


def _rows(rows: int) -> Iterator[tuple[str, ...]]:
    choose = random.Random(0)
    text = "\n\n".join(" ".join(source.sentences) for source in real_articles())
    for number in range(rows):
        length = choose.randint(_LEAST, _MOST)
        start = choose.randrange(len(text) - length - 200)
        title = text[start : start + 60].replace("\n", " ")
        body = f"{text[start + 100 : start + 100 + length]} {number}"
        date = f"20{number % 25:02d}-0{number % 9 + 1}-1{number % 10}T10:00:00Z"
        url, author = f"https://example.org/news/{number}", f"Author {number % 997}"
        yield f"bench-{number:07d}", title, body, url, author, date, "news"


def _cool(file: Path) -> None:
    """Have both ways find the file in the page cache."""
    with file.open("rb") as source:
        while source.read(16 << 20):
            pass


def _bare(file: Path, folder: Path, rows: int) -> Loaded:
    code = f"{_BARE}\nprint(seconds){_PEAK}"
    seconds, peak = _run([sys.executable, "-c", code, str(file), str(folder / "bare.parquet")])
    return Loaded("pyarrow read + write", file.suffix[1:], rows, float(seconds), int(peak) / 1e3)


def _ours(file: Path, folder: Path, rows: int) -> Loaded:
    code = f"{_OURS}{_PEAK}"
    told, peak = _run([sys.executable, "-c", code, str(file), str(folder / "lake")])
    report = json.loads(told)
    if report["stored"] != rows:
        raise RuntimeError(f"{report['stored']:,} of {rows:,} rows are stored")
    return Loaded("article-flows", file.suffix[1:], rows, report["seconds"], int(peak) / 1e3)


def _run(command: list[str]) -> tuple[str, str]:
    """The last two lines that a command prints."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    first, second = done.stdout.strip().splitlines()[-2:]
    return first, second


def loading_markdown(measured: list[Loaded]) -> str:
    """A table with each way beside the bare one."""
    lines = [
        "### loading: a large file into Parquet",
        "",
        "| way | file | rows | rows/s | of the bare rate | peak MB |",
        "|---|---|---|---|---|---|",
    ]
    bare = {each.file: each.rate for each in measured if each.way != "article-flows"}
    for each in measured:
        share = f"{each.rate / bare[each.file]:.2f}" if each.way == "article-flows" else "1"
        lines.append(
            f"| {each.way} | {each.file} | {each.rows:,} | {each.rate:,.0f} | {share} "
            f"| {each.peak_mb:,.0f} |"
        )
    target = f"Target: at least {_LEAST_RATE:,} rows/s, and under 500 MB."
    return "\n".join([*lines, "", target, ""])


def main() -> int:
    """Run it alone; `make bench` runs it among the others."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--formats", default=",".join(FORMATS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ |= {
            "PREFECT_HOME": home,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE"):
            os.environ.pop(name, None)
        print(loading_markdown(measure_loading(options.rows, tuple(options.formats.split(",")))))
    if options.rows < ROWS:
        print(f"With {options.rows:,} of {ROWS:,} rows: no figures.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
