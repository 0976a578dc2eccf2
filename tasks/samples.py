"""A few rows of the enriched table, each beside its article, for the report."""

from __future__ import annotations

from typing import Any

from tasks.enriched import EnrichedTable

_LOOKED_AT = 200


def sample_rows(table: EnrichedTable, count: int = 3) -> list[dict[str, Any]]:
    """Rows of the newest part, of as many languages as there are."""
    parts = table.lake.parts(table.folder)
    if not parts:
        return []
    fields = list(table.recipe.fields)
    language = "article_language" if "language" in fields else "language"
    columns = ["article_id", "title", "body", language, *fields]
    with parts[-1].open() as file:
        some = file.iter_batches(_LOOKED_AT, columns)
        rows = next(some).to_pylist()
    by_language: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        by_language.setdefault(row[language], []).append(row)
    chosen: list[dict[str, Any]] = []
    while len(chosen) < min(count, len(rows)):
        chosen += [group.pop(0) for group in by_language.values() if group]
    return [
        {
            "article_id": row["article_id"],
            "title": row["title"],
            "body": row["body"],
            "answer": {name: row[name] for name in fields},
        }
        for row in chosen[:count]
    ]
