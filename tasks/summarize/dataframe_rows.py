"""Match the rows of a DataFrame with their articles in the lake, and look up their answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from article_flows.tasks.cleaning.articles.build import to_canonical
from article_flows.tasks.cleaning.columns.mapping import Siblings
from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.enriched.table import FAILURE_SCHEMA, EnrichedTable
from article_flows.tasks.ingest.load_sources import map_source
from article_flows.tasks.ingest.options import load_options, sources_of
from article_flows.tasks.lake.key_columns import read_key_batches, text_keys
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parquet_parts import Part
from article_flows.tasks.lake.sorted_keys import KeySet
from article_flows.tasks.reading.formats.registry import read
from article_flows.tasks.settings import IngestSettings

ANSWERED, FAILED, REJECTED, LEFT = "answered", "failed", "rejected", "left"
"""The values of the column ``status``."""
_SETTLED = (ANSWERED, FAILED)
OUTCOME_COLUMNS = frozenset(("status", "error_class", "error_message"))
"""The columns in addition to the recipe's fields and the request's metadata."""
_FAILURE_COLUMNS = tuple(
    name
    for name in FAILURE_SCHEMA.names
    if name not in ("article_id", "content_hash", "title", "source", "failed_at")
)
_COST_COLUMNS = ("prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd", "attempts")
"""Columns that are counted once for each text, in the first of its rows."""
_NULLABLE = {
    pa.int64(): pd.Int64Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


@dataclass(frozen=True)
class FrameRows:
    """The articles in the rows of a DataFrame.

    Attributes:
        keys: ``article_id`` and ``content_hash`` of each row, in order; null for rejected rows.
        rejected: Reasons of rejected rows, by position.
    """

    keys: pd.MultiIndex
    rejected: dict[int, str]

    @property
    def texts(self) -> KeySet:
        """The content hashes of the rows, as keys."""
        texts = KeySet()
        texts.add_keys(text_keys(pa.array(self.keys.get_level_values(1).dropna(), pa.string())))
        return texts


def frame_rows(settings: IngestSettings, count: int) -> FrameRows:
    """Return the articles in the rows of a spooled DataFrame, without loading them.

    Args:
        settings: The settings of the load, whose only source is the DataFrame.
        count: Number of rows of the DataFrame.

    Raises:
        UserError: No column can be the body, or a given column does not exist.
    """
    ids = np.full(count, None, object)
    hashes = np.full(count, None, object)
    rejected: dict[int, str] = {}
    if not count:
        return FrameRows(_keys(ids, hashes), rejected)
    sources = sources_of(settings)
    (source,) = sources
    loading = load_options(settings, Lake(settings.lake), sources)
    siblings = loading.siblings or Siblings(sources)
    # The same mapping as that of the load, or the answers would not be found.
    columns, chunks = map_source(source, read(source), loading, siblings)
    for chunk in chunks:
        articles = to_canonical(chunk, columns, source.name, loading.rules)
        positions = articles.rows - 1
        ids[positions] = articles.batch["article_id"].to_pylist()
        hashes[positions] = articles.batch["content_hash"].to_pylist()
        rejected |= {reject.row - 1: reject.reason for reject in articles.rejects}
    return FrameRows(_keys(ids, hashes), rejected)


def answers_of(rows: FrameRows, table: EnrichedTable) -> pd.DataFrame:
    """Return the status and the answer of each row of a DataFrame, from an enriched table.

    Returns:
        A row for each row of the frame, in order: ``status`` (answered, failed, rejected or
        left), the recipe's fields, ``error_class`` and ``error_message``, ``content_hash``, then
        the request's metadata. Tokens, attempts and cost of a text are counted once, in its first
        row, even if they were spent on another article in the lake with the same text.
    """
    fields, lake = list(table.recipe.fields), table.lake
    metadata = table.schema.names[len(ARTICLES_SCHEMA) + len(fields) :]
    # Another call may have replaced an article meanwhile; its answer has been paid for.
    parts = [*lake.parts(table.superseded), *lake.parts(table.folder)]
    found = _rows_of(parts, rows, [*fields, *metadata])
    failures = _rows_of(lake.parts(table.failures), rows, _FAILURE_COLUMNS)
    status = np.full(len(rows.keys), LEFT, object)
    status[rows.keys.isin(failures.index)] = FAILED
    status[rows.keys.isin(found.index)] = ANSWERED
    status[list(rows.rejected)] = REJECTED

    answers = found.reindex(rows.keys).reset_index(drop=True)
    failed = failures.reindex(rows.keys).reset_index(drop=True)
    is_failed = pd.Series(status == FAILED)
    for name in set(metadata) & set(_FAILURE_COLUMNS):
        answers[name] = answers[name].where(~is_failed, failed[name])
    texts = rows.keys.get_level_values(1)
    for name in _COST_COLUMNS:
        cost = _sum_by_text(found, name, texts)
        if name in _FAILURE_COLUMNS:
            cost = cost.where(~is_failed, _sum_by_text(failures, name, texts))
        answers[name] = _counted_once(answers[name], cost, texts, np.isin(status, _SETTLED))
    error_class = failed["error_class"].where(is_failed, None).astype(object)
    message = failed["message"].where(is_failed, None).astype(object)
    for position, reason in rows.rejected.items():
        error_class[position], message[position] = REJECTED, reason
    columns = {
        "status": status,
        **{name: answers[name] for name in fields},
        "error_class": error_class,
        "error_message": message,
        "content_hash": texts,
        **{name: answers[name] for name in metadata},
    }
    return pd.DataFrame(columns)


def _counted_once(
    values: pd.Series[Any], cost: pd.Series[Any], texts: pd.Index[Any], is_settled: Any
) -> pd.Series[Any]:
    """Return the cost of each text in the first of its settled rows, and 0 in the others."""
    is_first = is_settled.copy()
    is_first[is_settled] = ~texts[is_settled].duplicated()
    values = values.mask(is_first, cost)
    return values.mask(is_settled & ~is_first & values.notna(), 0)


def _sum_by_text(found: pd.DataFrame, name: str, texts: pd.Index[Any]) -> pd.Series[Any]:
    """Return the sum of a column over all articles with the text of a row, for each row."""
    sums = found[name].groupby(level="content_hash").sum(min_count=1)
    return sums.reindex(texts).reset_index(drop=True)


def _rows_of(parts: Iterable[Part], rows: FrameRows, columns: Sequence[str]) -> pd.DataFrame:
    """Return a table's rows with the texts of a frame, indexed by article_id and content_hash."""
    texts = rows.texts
    found: list[pa.RecordBatch] = []
    for part in parts:
        for batch in read_key_batches(part, columns):
            is_wanted = texts.contains_keys(batch.texts)
            if is_wanted.any():
                found.append(batch.columns.filter(pa.array(is_wanted)))
    names = ["article_id", "content_hash", *columns]
    if not found:
        return pd.DataFrame(columns=names, dtype=object).set_index(names[:2])
    frame: pd.DataFrame = pa.Table.from_batches(found).to_pandas(types_mapper=_NULLABLE.get)
    for name in columns:
        if len(frame) and isinstance(frame[name].iloc[0], np.ndarray):
            frame[name] = frame[name].map(list, na_action="ignore")
    # Current rows come after superseded ones, and the newest part comes last.
    return frame.drop_duplicates(names[:2], keep="last").set_index(names[:2])


def _keys(ids: Any, hashes: Any) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([ids, hashes], names=["article_id", "content_hash"])
