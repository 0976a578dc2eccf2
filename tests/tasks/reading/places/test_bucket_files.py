"""Sources in a bucket are found by object, prefix and pattern, and survive failed requests."""

import gzip
import io
import json
import os
import zipfile
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from article_flows.tasks.common.errors import StorageUnavailable, UserError
from article_flows.tasks.reading.base.rows import Source
from article_flows.tasks.reading.formats.registry import read
from article_flows.tasks.reading.sources.files import HIDDEN_REASON
from article_flows.tasks.reading.sources.find import find_sources
from tests.object_store import BUCKET, ObjectStoreServer

LINE = b'{"body": "Some text"}\n'


@pytest.fixture
def prefix() -> str:
    return f"sources-{uuid4().hex}"


def put(store: ObjectStoreServer, prefix: str, files: dict[str, bytes]) -> None:
    system, path = pafs.FileSystem.from_uri(store.uri(prefix))
    for name, content in files.items():
        with system.open_output_stream(f"{path}/{name}", compression=None) as file:
            file.write(content)


def names(store: ObjectStoreServer, prefix: str) -> list[str]:
    start = f"s3://{BUCKET}/{prefix.partition('/')[0]}/"
    return [source.name.removeprefix(start) for source in find_sources([store.uri(prefix)])]


def bodies(source: Source) -> list[str]:
    return [record["body"] for chunk in read(source) for record in chunk.head(10**6)]


def error_of(spec: str) -> str:
    with pytest.raises(UserError) as error:
        find_sources([spec])
    assert "\n" not in str(error.value)
    assert not isinstance(error.value, StorageUnavailable)
    return str(error.value)


def test_objects_are_found_like_files(object_store: ObjectStoreServer, prefix: str) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"body": ["x"]}), file)
    put(
        object_store,
        prefix,
        {
            "a.jsonl": LINE,
            "b/c.csv": b"id,body\n1,x\n",
            "b/d.jsonl.gz": gzip.compress(LINE),
            "b/lang=de/_part.jsonl": LINE,
            "b/lang=de/part.parquet": file.getvalue(),
            "README.md": b"about it",
            "empty.jsonl": b"",
            "_SUCCESS": b"\n",
        },
    )
    everything = ["a.jsonl", "b/c.csv", "b/d.jsonl.gz", "b/lang=de/part.parquet"]
    assert names(object_store, prefix) == everything
    assert names(object_store, f"{prefix}/") == everything
    assert names(object_store, f"{prefix}/b/c.csv") == ["b/c.csv"]
    assert names(object_store, f"{prefix}/*.jsonl") == ["a.jsonl"]
    assert names(object_store, f"{prefix}/b/[cd].*") == ["b/c.csv", "b/d.jsonl.gz"]
    assert names(object_store, f"{prefix}/*/*.csv") == ["b/c.csv"]
    assert names(object_store, f"{prefix}/**/*.parquet") == ["b/lang=de/part.parquet"]
    assert names(object_store, f"{prefix}/**") == everything
    sources = find_sources([object_store.uri(prefix)])
    assert [bodies(source) for source in sources] == [["Some text"], ["x"], ["Some text"], ["x"]]
    assert sources[3].constants == (("lang", "de"),)
    assert [each.reason for each in sources.skipped] == [
        "not a data file",
        "is empty: it contains no articles",
        HIDDEN_REASON,
        HIDDEN_REASON,
    ]


def test_objects_with_known_suffixes_are_listed_without_opening_them(
    object_store: ObjectStoreServer, prefix: str
) -> None:
    put(object_store, prefix, {f"{number}.jsonl": LINE for number in range(40)})
    before = object_store.counts().get("GET", 0)
    assert len(find_sources([object_store.uri(prefix)])) == 40
    assert object_store.counts().get("GET", 0) == before


def test_files_in_an_archive_in_a_bucket_are_sources(
    object_store: ObjectStoreServer, prefix: str
) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.jsonl", LINE * 1_000)
        lines = [json.dumps({"body": os.urandom(900).hex()}) for _ in range(2_000)]
        archive.writestr("large.jsonl", "\n".join(lines))
    put(object_store, prefix, {"all.zip": file.getvalue()})
    sources = find_sources([object_store.uri(f"{prefix}/all.zip")])
    assert [len(bodies(source)) for source in sources] == [1_000, 1_000, 1_000, 2_000]


def test_failed_reads_are_retried(object_store: ObjectStoreServer, prefix: str) -> None:
    rows = [{"body": os.urandom(1_000).hex()} for _ in range(3_000)]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    put(object_store, prefix, {"a.jsonl": lines})
    (source,) = find_sources([object_store.uri(f"{prefix}/a.jsonl")])
    object_store.fail(0.4, seed=3, operations=["GET"], faults=["internal", "slow_down", "reset"])
    assert bodies(source) == [row["body"] for row in rows]
    assert object_store.faults()
    with source.file.open_seekable() as file:
        file.seek(-10, io.SEEK_END)
        assert file.read() == lines[-10:]


def test_an_unavailable_source_is_not_reported_as_an_unavailable_lake(
    object_store: ObjectStoreServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(object_store, prefix, {"a.jsonl": LINE})
    (source,) = find_sources([object_store.uri(f"{prefix}/a.jsonl")])
    # Another option makes a new connection, whose first retries end early.
    monkeypatch.setattr("article_flows.tasks.storage.retries.FIRST_CONTACT_TIMEOUT_S", 0.1)
    uri = object_store.uri(f"{prefix}/a.jsonl") + "&force_virtual_addressing=false"
    with object_store.away():
        assert error_of(uri).startswith(f"source s3://{BUCKET}: cannot find {prefix}/a.jsonl after")
    system, path = pafs.FileSystem.from_uri(object_store.uri(prefix))
    system.delete_file(f"{path}/a.jsonl")
    with pytest.raises(UserError, match=r"a\.jsonl cannot be read"):
        list(read(source))


def test_invalid_uris_are_reported(object_store: ObjectStoreServer, prefix: str) -> None:
    put(object_store, prefix, {"a.jsonl": LINE})
    uri = object_store.uri(f"{prefix}/none.jsonl")
    assert error_of(uri).startswith(f"s3://{BUCKET}/{prefix}/none.jsonl does not exist")
    missing = uri.replace(f"s3://{BUCKET}/", "s3://no-such-bucket/")
    assert error_of(missing) == "s3://no-such-bucket does not exist; correct the bucket's name"
    assert "matches no object" in error_of(object_store.uri(f"{prefix}/*.csv"))
    assert error_of("s3://key:secret@bucket/a").startswith(
        "source s3://bucket/a: the address contains"
    )
    assert "unknown option colour" in error_of("s3://bucket/a?colour=red")
