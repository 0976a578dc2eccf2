"""`ObjectStorage`: objects are complete or absent, whichever requests fail."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from article_flows.tasks.common.errors import StorageUnavailable, UserError
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.storage.base import StoredFile
from article_flows.tasks.storage.object_store import UPLOADS, ObjectStorage
from tests.object_store import BUCKET, Fault, ObjectStoreServer, Outage

LARGE = bytes(range(256)) * (20 << 12)
"""20 MB: uploaded in several requests."""


@pytest.fixture
def prefix() -> str:
    return f"objects/{uuid4().hex}"


@pytest.fixture
def storage(object_store: ObjectStoreServer, prefix: str) -> ObjectStorage:
    return ObjectStorage(object_store.uri(prefix), retry_timeout_s=60.0)


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("article_flows.tasks.storage.retries._INITIAL_BACKOFF_S", 0.01)
    monkeypatch.setattr("article_flows.tasks.storage.retries._MAX_BACKOFF_S", 0.2)


def impatient(uri: str) -> ObjectStorage:
    return ObjectStorage(uri, retry_timeout_s=0.5)


def publish(storage: ObjectStorage, name: str, content: bytes) -> None:
    staged = storage.scratch / uuid4().hex
    staged.write_bytes(content)
    try:
        storage.publish(staged, name)
    finally:
        staged.unlink(missing_ok=True)


@pytest.mark.parametrize("operation", ["list", "read", "open", "write", "publish", "delete"])
def test_wrong_keys_fail_immediately(
    object_store: ObjectStoreServer, prefix: str, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
    storage = ObjectStorage(object_store.uri(prefix))
    operations: dict[str, Callable[[], object]] = {
        "list": lambda: storage.list(""),
        "read": lambda: storage.read("a"),
        "open": lambda: storage.open("a"),
        "write": lambda: storage.write("a", b"1"),
        "publish": lambda: publish(storage, "a", LARGE),
        "delete": lambda: storage.delete("a"),
    }
    with pytest.raises(UserError, match="fix the address, or the keys and permissions") as caught:
        operations[operation]()
    assert not isinstance(caught.value, StorageUnavailable)
    assert "\n" not in str(caught.value)
    assert sum(object_store.counts().values()) <= 3


def test_a_missing_bucket_is_not_an_empty_lake(object_store: ObjectStoreServer) -> None:
    uri = object_store.uri().replace(f"s3://{BUCKET}/", "s3://nobody/")
    with pytest.raises(UserError, match="there is no bucket nobody; create it, or fix the address"):
        Lake(uri).parts("articles")
    with pytest.raises(UserError, match="there is no bucket nobody"):
        ObjectStorage(uri).write("a", b"1")
    with pytest.raises(UserError, match="there is no bucket nobody"):
        ObjectStorage(uri).read("a")


def test_a_small_file_takes_one_request_and_a_large_one_leaves_no_upload_behind(
    object_store: ObjectStoreServer, storage: ObjectStorage, prefix: str
) -> None:
    before = object_store.counts()
    storage.write("a", bytes(1_000_000))
    after = object_store.counts()
    assert {name: after[name] - before.get(name, 0) for name in after if after[name]} == {"PUT": 1}
    publish(storage, "b", LARGE)
    assert object_store.keys(prefix) == [f"{prefix}/a", f"{prefix}/b"]
    assert object_store.uploads() == []


@pytest.mark.slow
@pytest.mark.parametrize("size", [1_000, 20 << 20])
@pytest.mark.parametrize("fault", ["slow_down", "internal", "reset", "applied"])
@pytest.mark.parametrize("operation", ["PUT", "MULTIPART", "COPY"])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_failed_upload_leaves_no_object_or_a_complete_one(
    object_store: ObjectStoreServer,
    prefix: str,
    size: int,
    fault: Fault,
    operation: str,
    share: float,
) -> None:
    storage = ObjectStorage(object_store.uri(prefix), retry_timeout_s=0.0)
    object_store.fail(share, seed=5, operations=[operation], faults=[fault])  # type: ignore[list-item]  # a Literal
    failed = False
    try:
        publish(storage, "part", LARGE[:size])
    except StorageUnavailable:
        failed = True
    object_store.recover()
    found = storage.list("part") + [file for file in storage.list("") if file.name == "part"]
    assert found in ([], [StoredFile("part", size)])
    assert failed or found
    assert [file for file in storage.list("") if not file.name.startswith(UPLOADS)] == found
    # The object can be replaced.
    publish(storage, "part", LARGE[:size])
    assert storage.read("part") == LARGE[:size]


# The interrupt may arrive while one of the test's own files is open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
@pytest.mark.parametrize("size", [1_000, 20 << 20])
def test_an_interrupted_writer_leaves_no_object_or_a_complete_one(
    object_store: ObjectStoreServer, storage: ObjectStorage, prefix: str, size: int
) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    earlier = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(60):
            # At a different moment each time, from before the first request to after the last.
            signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.0005 * number)
            with contextlib.suppress(Interrupted):
                publish(storage, "part", LARGE[:size])
                signal.setitimer(signal.ITIMER_REAL, 0)
            found = [key for key in object_store.keys(prefix) if "_staging" not in key]
            assert found in ([], [f"{prefix}/part"])
            if found:
                assert storage.read("part") == LARGE[:size]
                storage.delete("part")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_a_storage_works_although_many_requests_fail(
    object_store: ObjectStoreServer, storage: ObjectStorage, prefix: str, share: float
) -> None:
    object_store.fail(share, seed=11)
    contents = {f"t/{n}.bin": LARGE[: 1 + n * 700_000] for n in range(0, 18, 3)}
    for name, content in contents.items():
        publish(storage, name, content)
        storage.write(f"notes/{name}.json", name.encode())
    assert storage.list("t") == sorted(StoredFile(n, len(c)) for n, c in contents.items())
    for name, content in contents.items():
        assert storage.read(f"notes/{name}.json") == name.encode()
        with storage.open(name) as file:
            assert file.read() == content
        storage.delete(f"notes/{name}.json")
    assert storage.list("notes") == []
    assert sum(object_store.faults().values()) > 3


@pytest.mark.slow
def test_parts_are_read_correctly_although_many_requests_fail(
    object_store: ObjectStoreServer, storage: ObjectStorage, prefix: str
) -> None:
    lake = Lake(object_store.uri(prefix))
    table = pa.table({f"c{n}": [os.urandom(20).hex() for _ in range(3_000)] for n in range(8)})
    object_store.fail(0.3, seed=2)
    part = lake.write_part("articles", "p.parquet", table)
    with part.open() as file:
        assert file.read(["c1", "c6"]).equals(table.select(["c1", "c6"]))
        assert file.read_row_groups([1, 3]).equals(
            pa.concat_tables([table.slice(500, 500), table.slice(1500, 500)])
        )
        assert pa.Table.from_batches(file.iter_batches(700)).equals(table)


@pytest.mark.parametrize("kind", ["refused", "reset", "unavailable"])
def test_an_outage_is_reported_and_retried_until_the_limit(
    object_store: ObjectStoreServer, prefix: str, kind: Outage
) -> None:
    storage = impatient(object_store.uri(prefix))
    storage.write("a", b"1")
    reported: list[bool] = []
    storage.watch(reported.append)
    with object_store.away(kind):
        with pytest.raises(
            StorageUnavailable, match=r"cannot write b after \d+ s of retries: .*run again"
        ):
            storage.write("b", b"2")
        with pytest.raises(StorageUnavailable, match="cannot read a"):
            storage.open("a")
    assert reported == [True]
    assert storage.read("a") == b"1"
    assert reported == [True, False]


def test_a_store_that_accepts_requests_without_responding_is_unavailable(
    object_store: ObjectStoreServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("article_flows.tasks.storage.uri._READ_TIMEOUT_S", 1.0)
    storage = impatient(object_store.uri(prefix))
    with (
        object_store.away("silent"),
        pytest.raises(StorageUnavailable, match="cannot list the lake"),
    ):
        storage.list("")


@pytest.mark.slow
def test_an_operation_started_during_an_outage_completes_when_it_ends(
    object_store: ObjectStoreServer, storage: ObjectStorage
) -> None:
    failing = threading.Event()
    storage.watch(lambda is_failing: failing.set() if is_failing else None)
    object_store.outage(True)
    writer = threading.Thread(target=publish, args=(storage, "part", LARGE))
    writer.start()
    assert failing.wait(60)
    object_store.outage(False)
    writer.join()
    assert storage.read("part") == LARGE


def test_an_outage_while_a_part_is_read_is_reported_as_unavailable_storage(
    object_store: ObjectStoreServer, prefix: str
) -> None:
    lake = Lake(object_store.uri(prefix))
    lake.storage = impatient(object_store.uri(prefix))
    table = pa.table({"a": [os.urandom(500).hex() for _ in range(2_000)]})
    with lake.write_part("articles", "p.parquet", table).open() as file:
        with object_store.away(), pytest.raises(StorageUnavailable, match="storage is back"):
            file.read()
        assert file.read().equals(table)
        lake.storage.delete("articles/p.parquet")
    with pytest.raises(UserError, match="is gone; run again"):
        lake.part("articles/p.parquet").open()


def test_reading_columns_of_a_part_takes_few_requests(
    object_store: ObjectStoreServer, storage: ObjectStorage, prefix: str
) -> None:
    """Without a read buffer, Arrow makes one for each column of each row group: 160."""
    lake = Lake(object_store.uri(prefix))
    texts = [os.urandom(200).hex() for _ in range(20_000)]
    table = pa.table({"id": [str(n) for n in range(20_000)], "text": texts, "n": range(20_000)})
    part = lake.write_part("articles", "p.parquet", table)
    before = object_store.counts().get("GET", 0)
    with part.open() as file:
        assert file.read(["id", "n"]).equals(table.select(["id", "n"]))
    assert object_store.counts().get("GET", 0) - before < 20


def test_folder_markers_of_earlier_versions_are_not_listed(
    object_store: ObjectStoreServer, storage: ObjectStorage, prefix: str
) -> None:
    """Arrow leaves an empty object ``a/b/`` when it deletes ``a/b/c``."""
    files, path = pafs.FileSystem.from_uri(object_store.uri(prefix))
    for folder in ("_staging/merges/articles", "summaries/card/gpt-4.1-mini-0123abcd"):
        files.create_dir(f"{path}/{folder}", recursive=True)
    storage.write("articles/empty.parquet", b"")
    assert [key for key in object_store.keys(prefix) if key.endswith("/")]
    assert storage.list("") == [StoredFile("articles/empty.parquet", 0)]
    assert storage.list("_staging/merges/articles") == []
