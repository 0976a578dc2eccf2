"""The rows that every way is given: short articles put together from passages of real ones.

Real articles come from SciTLDR and Wikinews where the folder of development data is beside the
project, else from the demo articles. Each row is a few sentences in a row from each of two of
them, so that all rows are distinct, and the same rows come out on every machine.
"""

import csv
import json
import random
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
DEVELOPMENT_DATA = ROOT.parent / "shared" / "data" / "dev"
DEMO = ROOT / "data" / "articles.jsonl"
CACHE = Path(tempfile.gettempdir()) / "article-flows-benchmarks"
_SCHEMA = pa.schema([("id", pa.string()), ("title", pa.string()), ("body", pa.string())])
_ROWS_AT_ONCE = 10_000
_SENTENCES = (2, 4)
_SHORT_SENTENCES = (1, 1)
_SENTENCE_END = re.compile(r"(?<=[.!?。])\s+")


class Source(NamedTuple):
    """A real article: its title and its sentences."""

    title: str
    sentences: list[str]


def articles(rows: int, *, short: bool = False) -> Path:
    """Give a Parquet file of so many distinct rows (id, title, body), written the first time.

    Args:
        rows: how many.
        short: two sentences a row rather than four to eight.
    """
    path = CACHE / f"{'short' if short else 'articles'}-{rows}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        _write(unfinished, rows, _SHORT_SENTENCES if short else _SENTENCES)
        unfinished.replace(path)
    return path


def _write(path: Path, rows: int, sentences: tuple[int, int]) -> None:
    made = make_rows(real_articles(), rows, sentences)
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        for start in range(0, rows, _ROWS_AT_ONCE):
            count = min(_ROWS_AT_ONCE, rows - start)
            writer.write_table(pa.Table.from_pylist([next(made) for _ in range(count)], _SCHEMA))


def make_rows(
    sources: list[Source], rows: int, sentences: tuple[int, int], seed: int = 0
) -> Iterator[dict[str, str]]:
    """Make distinct rows; `sentences` is the least and the most taken from each of two articles."""
    choose = random.Random(seed)
    seen: set[int] = set()
    while len(seen) < rows:
        first, second = choose.sample(sources, 2)
        parts = [_passage(source.sentences, sentences, choose) for source in (first, second)]
        body = "\n\n".join(parts)
        if hash(body) in seen:
            continue
        seen.add(hash(body))
        yield {"id": f"bench-{len(seen):07d}", "title": first.title, "body": body}


def _passage(sentences: list[str], bounds: tuple[int, int], choose: random.Random) -> str:
    wanted = min(choose.randint(*bounds), len(sentences))
    start = choose.randint(0, len(sentences) - wanted)
    return " ".join(sentences[start : start + wanted])


@cache
def real_articles() -> list[Source]:
    """Read the real articles that rows are made of."""
    if DEVELOPMENT_DATA.is_dir():
        return [*_scitldr(DEVELOPMENT_DATA / "scitldr"), *_wikinews(DEVELOPMENT_DATA / "wikinews")]
    lines = DEMO.read_text(encoding="utf-8").splitlines()
    return [_source(row["title"], row["body"]) for row in map(json.loads, lines)]


def _scitldr(folder: Path) -> Iterator[Source]:
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield Source(row["title"] if "title" in row else row["target"][0], row["source"])


def _wikinews(folder: Path) -> Iterator[Source]:
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["text"].strip():
                    yield _source(row["title"], row["text"])


def _source(title: str, body: str) -> Source:
    sentences = [part.strip() for part in _SENTENCE_END.split(body) if len(part.strip()) > 20]
    return Source(title, sentences or [body.strip()])
