"""Generate the input of the benchmarks: distinct short articles from passages of real ones.

The real articles are SciTLDR and Wikinews if the folder of development data is next to the
project, or else the demo articles. Each row joins a passage from each of two of them. The same
sources yield the same rows on every machine.
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
_BATCH_ROWS = 10_000
_SENTENCES = (2, 4)
_SHORT_SENTENCES = (1, 1)
_SENTENCE_END = re.compile(r"(?<=[.!?。])\s+")


class Source(NamedTuple):
    """A real article: its title and its sentences."""

    title: str
    sentences: list[str]


def articles(rows: int, *, short: bool = False) -> Path:
    """Return a cached Parquet file of distinct rows with the string columns id, title and body.

    Args:
        rows: The number of rows.
        short: Whether a row has two sentences instead of four to eight.
    """
    path = CACHE / f"{'short' if short else 'articles'}-{rows}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        _write(unfinished, rows, _SHORT_SENTENCES if short else _SENTENCES)
        unfinished.replace(path)
    return path


def _write(path: Path, rows: int, sentences: tuple[int, int]) -> None:
    generated = make_rows(real_articles(), rows, sentences)
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        for start in range(0, rows, _BATCH_ROWS):
            count = min(_BATCH_ROWS, rows - start)
            writer.write_table(
                pa.Table.from_pylist([next(generated) for _ in range(count)], _SCHEMA)
            )


def make_rows(
    sources: list[Source], rows: int, sentences: tuple[int, int], seed: int = 0
) -> Iterator[dict[str, str]]:
    """Yield distinct rows of one passage from each of two sources.

    Args:
        sources: The real articles.
        rows: The number of rows.
        sentences: The fewest and the most sentences of a passage.
        seed: The seed of the random choices.
    """
    rng = random.Random(seed)
    seen: set[int] = set()
    while len(seen) < rows:
        first, second = rng.sample(sources, 2)
        parts = [_passage(source.sentences, sentences, rng) for source in (first, second)]
        body = "\n\n".join(parts)
        if hash(body) in seen:
            continue
        seen.add(hash(body))
        yield {"id": f"bench-{len(seen):07d}", "title": first.title, "body": body}


def _passage(sentences: list[str], bounds: tuple[int, int], rng: random.Random) -> str:
    count = min(rng.randint(*bounds), len(sentences))
    start = rng.randint(0, len(sentences) - count)
    return " ".join(sentences[start : start + count])


@cache
def real_articles() -> list[Source]:
    """Return the real articles from which rows are generated."""
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
