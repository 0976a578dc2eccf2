"""Raw records to the canonical table of articles: one fixed schema, whatever the source was."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.cleaning import flags
from tasks.cleaning.canonical_body import Bodies, bodies_of
from tasks.cleaning.canonical_extra import extras, flag_lists
from tasks.cleaning.canonical_fields import Fields, fields_of
from tasks.cleaning.canonical_json import excerpt
from tasks.cleaning.canonical_values import moments, short_texts, summaries
from tasks.cleaning.columns import ColumnMap
from tasks.cleaning.language import detect_languages
from tasks.cleaning.language_codes import usual_codes
from tasks.cleaning.mojibake import has_mojibake, mojibake_suspects
from tasks.cleaning.rules import Rules, short_bodies
from tasks.cleaning.text_buffers import Mask, bytes_of
from tasks.reading.readers_base import EXCERPT_CHARS, Chunk, Reject

ARTICLES_SCHEMA = pa.schema(
    [
        ("article_id", pa.string()),
        ("title", pa.string()),
        ("body", pa.string()),
        ("url", pa.string()),
        ("author", pa.string()),
        ("published_at", pa.timestamp("us", tz="UTC")),
        ("language", pa.string()),
        ("category", pa.string()),
        ("content_hash", pa.string()),
        ("source", pa.string()),
        ("extra", pa.string()),
        ("reference_summary", pa.string()),
        ("flags", pa.list_(pa.string())),
    ]
)
"""The schema of every part of `<lake>/articles/`.

`extra` is a JSON object of all other columns, `reference_summary` what somebody wrote before, to
measure answers by. `flags` says what was noticed or assumed (`tasks.cleaning.flags`); null if
nothing.
"""

_USUAL = Rules()
_SHORT_FIELDS = ("article_id", "title", "url", "author", "language", "category")

_HELD, _WORTH_RELEASING = 2047, 1 << 16
"""hashlib lets go of the GIL for each text of 2,048 bytes and more. To get it back beside a busy
thread takes milliseconds, to hash an article some microseconds."""


@dataclass(frozen=True)
class CanonicalChunk:
    """A chunk of a source in the canonical schema, and those of its rows that are no articles.

    `rejects` holds the reader's too, by row; `rows` are the numbers of the batch's rows.
    """

    batch: pa.RecordBatch
    rejects: list[Reject]
    rows: npt.NDArray[np.int64]


def content_hash(title: str | None, body: str) -> str:
    """Return the hash of an article's content as stored: 32 hex digits of BLAKE2b."""
    digest = blake2b((title or "").encode() + b"\0", digest_size=16)
    digest.update(body.encode())
    return digest.hexdigest()


def canonical(
    chunk: Chunk, columns: ColumnMap, source: str, rules: Rules = _USUAL
) -> CanonicalChunk:
    """Turn raw rows into canonical ones; those that the rules take for no article are rejects.

    Every row of the chunk becomes a row of the batch or a reject, whatever it holds.
    """
    fields = fields_of(chunk)
    bodies = bodies_of(fields, columns, rules)
    refused = bodies.refused
    articles = fields.take(bodies.kept) if refused else fields
    failed: dict[int, str] = {}
    batch = _batch(articles, bodies, columns, source, rules, failed)
    numbers = np.asarray(chunk.rows, np.int64)
    kept = numbers[np.asarray(bodies.kept, np.int64)]
    if failed:
        stays = np.array([index not in failed for index in range(len(articles))])
        batch, kept = batch.filter(pa.array(stays)), kept[stays]
        refused = refused | {bodies.kept[index]: reason for index, reason in failed.items()}
    rejects = [*chunk.rejects, *_rejects(refused, numbers, fields)]
    return CanonicalChunk(batch, sorted(rejects, key=lambda reject: reject.row), kept)


def _rejects(refused: dict[int, str], rows: npt.NDArray[np.int64], fields: Fields) -> list[Reject]:
    return [
        Reject(int(rows[index]), reason, excerpt(fields.record(index), EXCERPT_CHARS))
        for index, reason in refused.items()
    ]


def _batch(
    fields: Fields,
    bodies: Bodies,
    columns: ColumnMap,
    source: str,
    rules: Rules,
    failed: dict[int, str],
) -> pa.RecordBatch:
    """Make the rows of articles; `failed` gets those that cannot be kept, and why."""
    made = {name: short_texts(fields, columns, name, failed) for name in _SHORT_FIELDS}
    dates = moments(fields, columns, failed)
    made["body"] = bodies.texts
    made["published_at"] = dates.utc
    made["content_hash"] = content_hashes(made["title"], bodies.texts)
    made["article_id"] = _ids(made)
    given = usual_codes(made["language"])
    made["language"], detected = _languages(given, bodies.texts, rules)
    made["source"] = pa.repeat(pa.scalar(source, pa.string()), len(fields))
    made["extra"] = extras(fields, columns, dates.unread, failed)
    made["reference_summary"] = summaries(fields, columns, failed)
    noticed = {
        flags.HTML: bodies.was_html,
        flags.LANGUAGE_DETECTED: detected,
        flags.UTC_ASSUMED: dates.zone_assumed,
        flags.DATE_UNREAD: dates.unread,
        **_oddities(bodies.texts),
    }
    made["flags"] = flag_lists(noticed, len(fields))
    arrays = [made[name] for name in ARTICLES_SCHEMA.names]
    return pa.RecordBatch.from_arrays(arrays, schema=ARTICLES_SCHEMA)


def content_hashes(titles: pa.StringArray, bodies: pa.StringArray) -> pa.StringArray:
    """Return `content_hash` of each row."""
    if titles.null_count:
        titles = titles.fill_null("")
    title_bytes, title_ends = bytes_of(titles)
    body_bytes, body_ends = bytes_of(bodies)
    title_view, body_view = title_bytes.data, body_bytes.data
    digests = []
    title_start = body_start = 0
    for title_end, body_end in zip(title_ends[1:].tolist(), body_ends[1:].tolist(), strict=True):
        text = b"\0".join((title_view[title_start:title_end], body_view[body_start:body_end]))
        digests.append(_digest(text))
        title_start, body_start = title_end, body_end
    digits = b"".join(digests).hex().encode()
    offsets = np.arange(0, len(digits) + 1, 32, dtype=np.int32)
    return pa.StringArray.from_buffers(len(bodies), pa.py_buffer(offsets), pa.py_buffer(digits))


def _digest(text: bytes) -> bytes:
    if len(text) >= _WORTH_RELEASING:
        return blake2b(text, digest_size=16).digest()
    digest = blake2b(text[:_HELD], digest_size=16)
    for start in range(_HELD, len(text), _HELD):
        digest.update(text[start : start + _HELD])
    return digest.digest()


def _ids(made: dict[str, pa.Array]) -> pa.StringArray:
    """The id that the source gives, else the URL, else one by the content."""
    ids = made["article_id"]
    if not ids.null_count:
        return ids
    digits = pc.utf8_slice_codeunits(made["content_hash"], 0, 16)
    return pc.coalesce(ids, made["url"], pc.binary_join_element_wise("content-", digits, ""))


def _languages(
    given: pa.StringArray, texts: pa.StringArray, rules: Rules
) -> tuple[pa.StringArray, Mask]:
    """Tell the languages that the source does not say; also which these are."""
    missing = given.is_null().to_numpy(zero_copy_only=False)
    if not (rules.detect_language and missing.any()):
        return given, np.zeros(len(given), np.bool_)
    mask = pa.array(missing)
    found = detect_languages(texts if missing.all() else texts.filter(mask))
    languages = pc.replace_with_mask(given, mask, found)
    return languages, missing & languages.is_valid().to_numpy(zero_copy_only=False)


def _oddities(texts: pa.StringArray) -> dict[str, Mask]:
    """What is noticed of the texts themselves."""
    mojibake = mojibake_suspects(texts)
    for index in np.flatnonzero(mojibake).tolist():
        mojibake[index] = has_mojibake(texts[index].as_py())
    return {
        flags.MOJIBAKE: mojibake,
        flags.REPLACED: np.asarray(pc.match_substring(texts, "\ufffd")).astype(bool),
        flags.SHORT: short_bodies(texts),
    }
