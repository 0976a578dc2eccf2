"""Compare loading a large file with reading and writing it by pyarrow alone.

The file contains passages of real articles of about 3 KB each, with line breaks. The baseline
reads it as a whole with `pyarrow.csv` or `pyarrow.json` and writes it with `pyarrow.parquet` on all
cores. `article-flows ingest` streams, cleans and hashes the rows, detects languages and duplicates,
and accounts for every row. Both compress with zstd.
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
_MIN_CHARS, _MAX_CHARS = 1_500, 4_300
_TARGET_RATE = 8_000
"""Rows per second: many times the rate of a model, and attainable with one CSV parser."""

_BASELINE_SCRIPT = """
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
_INGEST_SCRIPT = """
import sys
from article_flows.flows.cli.app import run_app
run_app(["ingest", sys.argv[1], "--lake", sys.argv[2], "--json"])
"""
_PRINT_PEAK = """
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@dataclass(frozen=True)
class Loaded:
    """The measurement of loading one file one way.

    Attributes:
        peak_mb: The peak resident memory of the process, in MB.
    """

    way: str
    file: str
    rows: int
    seconds: float
    peak_mb: float

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds


def measure_loading(rows: int, formats: tuple[str, ...] = FORMATS) -> list[Loaded]:
    """Measure loading a file of `rows` articles in each format, with pyarrow and with ingest."""
    measured = []
    for suffix in formats:
        file = large_file(rows, suffix)
        for measure_way in (_measure_baseline, _measure_ingest):
            _fill_page_cache(file)
            with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
                measured.append(measure_way(file, Path(folder), rows))
    return measured


def large_file(rows: int, suffix: str) -> Path:
    """Return a cached file of distinct articles of 1,500 to 4,300 characters."""
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
    rng = random.Random(0)
    text = "\n\n".join(" ".join(source.sentences) for source in real_articles())
    for number in range(rows):
        length = rng.randint(_MIN_CHARS, _MAX_CHARS)
        start = rng.randrange(len(text) - length - 200)
        title = text[start : start + 60].replace("\n", " ")
        body = f"{text[start + 100 : start + 100 + length]} {number}"
        date = f"20{number % 25:02d}-0{number % 9 + 1}-1{number % 10}T10:00:00Z"
        url, author = f"https://example.org/news/{number}", f"Author {number % 997}"
        yield f"bench-{number:07d}", title, body, url, author, date, "news"


def _fill_page_cache(file: Path) -> None:
    with file.open("rb") as source:
        while source.read(16 << 20):
            pass


def _measure_baseline(file: Path, folder: Path, rows: int) -> Loaded:
    code = f"{_BASELINE_SCRIPT}\nprint(seconds){_PRINT_PEAK}"
    seconds, peak = _run([sys.executable, "-c", code, str(file), str(folder / "bare.parquet")])
    return Loaded("pyarrow read + write", file.suffix[1:], rows, float(seconds), int(peak) / 1e3)


def _measure_ingest(file: Path, folder: Path, rows: int) -> Loaded:
    code = f"{_INGEST_SCRIPT}{_PRINT_PEAK}"
    output, peak = _run([sys.executable, "-c", code, str(file), str(folder / "lake")])
    report = json.loads(output)
    if report["stored"] != rows:
        raise RuntimeError(f"{report['stored']:,} of {rows:,} rows are stored")
    return Loaded("article-flows", file.suffix[1:], rows, report["seconds"], int(peak) / 1e3)


def _run(command: list[str]) -> tuple[str, str]:
    """Return the last two lines of a command's output."""
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if process.returncode:
        raise RuntimeError(process.stderr.strip().splitlines()[-1])
    first, second = process.stdout.strip().splitlines()[-2:]
    return first, second


def loading_markdown(measured: list[Loaded]) -> str:
    """Return the measurements as a Markdown table."""
    lines = [
        "### loading: a large file into Parquet",
        "",
        "| way | file | rows | rows/s | share of pyarrow's rate | peak MB |",
        "|---|---|---|---|---|---|",
    ]
    baseline = {each.file: each.rate for each in measured if each.way != "article-flows"}
    for each in measured:
        share = f"{each.rate / baseline[each.file]:.2f}" if each.way == "article-flows" else "1"
        lines.append(
            f"| {each.way} | {each.file} | {each.rows:,} | {each.rate:,.0f} | {share} "
            f"| {each.peak_mb:,.0f} |"
        )
    target = f"Target: at least {_TARGET_RATE:,} rows/s and under 500 MB."
    return "\n".join([*lines, "", target, ""])


def main() -> int:
    """Run this benchmark alone; `make bench` runs it with the others."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=ROWS, help="articles in the file (default: %(default)s)"
    )
    parser.add_argument(
        "--formats", default=",".join(FORMATS), help="file formats (default: %(default)s)"
    )
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
        print(f"Run with {options.rows:,} of {ROWS:,} rows, so the figures are not comparable.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
