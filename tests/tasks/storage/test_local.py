"""The `Storage` protocol, tested on a local folder and on a bucket of a real S3 server."""

import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.storage.base import Storage, StoredFile
from article_flows.tasks.storage.local import LocalStorage
from article_flows.tasks.storage.open import open_storage
from tests.object_store import ObjectStoreServer
from tests.tasks.summarize.job_support import file_size_limit

LARGE = bytes(range(256)) * (20 << 12)
"""20 MB: uploaded in several requests."""
ODD = [
    "一篇 文章.bin",
    "50% off.bin",
    "a%20b.bin",
    "what?.bin",
    "a#b&c=d+e.bin",
    "language=zh/part.bin",
    "ü/é.bin",
    'it\'s "so".bin',
    "a;b,c:d@e!.bin",
    "(x)[y]{z}*~^.bin",
]


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The path or URI of an empty lake."""
    if request.param == "folder":
        return str(tmp_path / "一个 lake")
    store: ObjectStoreServer = request.getfixturevalue("object_store")
    return store.uri(f"storage/{uuid4().hex}")


@pytest.fixture
def storage(root: str) -> Storage:
    return open_storage(root)


def names(storage: Storage, folder: str = "") -> list[str]:
    """Return the files below a folder without staged ones, whose location is an internal detail."""
    return [file.name for file in storage.list(folder) if not file.name.startswith("_staging/")]


def staged(storage: Storage, content: bytes) -> Path:
    path = storage.scratch / uuid4().hex
    path.write_bytes(content)
    return path


def test_a_written_file_is_listed_read_and_replaced(storage: Storage) -> None:
    storage.write("b/one.json", b"1")
    storage.write("a/deep/er/two.json", b"twenty-two")
    storage.write("b/empty.json", b"")
    everything = [
        StoredFile("a/deep/er/two.json", 10),
        StoredFile("b/empty.json", 0),
        StoredFile("b/one.json", 1),
    ]
    assert [file for file in storage.list("") if "_staging" not in file.name] == everything
    assert storage.list("b") == everything[1:]
    assert storage.list("a/deep") == everything[:1]
    assert [storage.read(file.name) for file in everything] == [b"twenty-two", b"", b"1"]
    storage.write("b/one.json", b"another")
    assert storage.read("b/one.json") == b"another"
    assert storage.list("b")[1] == StoredFile("b/one.json", 7)


def test_reading_a_missing_file_fails_and_deleting_it_does_not(storage: Storage) -> None:
    assert storage.list("") == storage.list("articles") == []
    for read in (storage.read, storage.open):
        with pytest.raises(FileNotFoundError):
            read("articles/none.json")
    storage.delete("articles/none.json")
    storage.write("articles/one.json", b"1")
    assert storage.list("articles/one") == storage.list("article") == []


def test_a_deleted_file_is_no_longer_listed(storage: Storage) -> None:
    storage.write("a/b/one.json", b"1")
    storage.write("a/b/two.json", b"2")
    storage.delete("a/b/one.json")
    assert names(storage) == ["a/b/two.json"]
    storage.delete("a/b/two.json")
    storage.delete("a/b/two.json")
    assert names(storage) == []


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_a_published_file_is_complete_and_leaves_scratch(storage: Storage, content: bytes) -> None:
    path = staged(storage, content)
    storage.publish(path, "a/part.bin")
    assert not path.exists()
    assert storage.read("a/part.bin") == content
    assert storage.list("a") == [StoredFile("a/part.bin", len(content))]
    assert names(storage) == ["a/part.bin"]
    storage.publish(staged(storage, b"another"), "a/part.bin")
    assert storage.read("a/part.bin") == b"another"


@pytest.mark.parametrize("name", ODD)
def test_names_may_contain_any_character_of_a_file_name(storage: Storage, name: str) -> None:
    storage.write(f"odd/{name}", name.encode())
    storage.publish(staged(storage, name.encode()), f"odd/published/{name}")
    assert storage.list("odd") == sorted(
        StoredFile(f"odd/{folder}{name}", len(name.encode())) for folder in ("", "published/")
    )
    assert storage.read(f"odd/{name}") == name.encode()
    with storage.open(f"odd/{name}") as file:
        assert file.read() == name.encode()
    location = storage.location(f"odd/{name}")
    if storage.folder is None:
        files, path = pafs.FileSystem.from_uri(location)
    else:
        files, path = pafs.LocalFileSystem(), location
    assert files.open_input_stream(path).read() == name.encode()
    storage.delete(f"odd/{name}")
    assert names(storage, "odd") == [f"odd/published/{name}"]


def test_an_open_file_can_be_read_at_any_position(storage: Storage) -> None:
    storage.publish(staged(storage, LARGE), "large.bin")
    with storage.open("large.bin") as file:
        assert file.seek(0, 2) == len(LARGE)
        # Forwards in steps, as the columns of a part are read; backwards; and past the end.
        for start in [*range(0, len(LARGE), 700_001), 5, len(LARGE) - 3, len(LARGE) + 9, 12]:
            file.seek(start)
            assert file.read(1000) == LARGE[start : start + 1000]
            assert file.tell() == max(start, min(start + 1000, len(LARGE)))
        file.seek(1 << 20)
        assert file.read() == LARGE[1 << 20 :]
        assert file.read(10) == b""


@pytest.mark.slow
def test_a_listing_during_publication_shows_only_complete_files(storage: Storage) -> None:
    """Including large ones, which reach an object store in several requests."""
    contents = {f"table/{n}.bin": LARGE[: (11 << 20) + n] for n in range(4)}
    contents |= {f"table/small-{n}.bin": bytes(1000 + n) for n in range(20)}
    done, seen = threading.Event(), set[StoredFile]()

    def look() -> None:
        while not done.is_set():
            for file in storage.list("table"):
                seen.add(file)
                with storage.open(file.name) as opened:
                    seen.add(StoredFile(file.name, opened.seek(0, 2)))

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(look) for _ in range(2)]
        try:
            for name, content in contents.items():
                for _ in range(2):
                    storage.publish(staged(storage, content), name)
        finally:
            done.set()
        for reader in readers:
            reader.result()
    complete = {StoredFile(name, len(content)) for name, content in contents.items()}
    assert seen <= complete
    assert set(storage.list("table")) == complete


def test_several_threads_can_write_and_read_concurrently(storage: Storage) -> None:
    def work(number: int) -> bool:
        content = json.dumps(["x"] * number).encode()
        storage.write(f"own/{number}.json", content)
        storage.write("shared.json", content)
        storage.publish(staged(storage, content), f"parts/{number}.bin")
        # Perhaps another thread's content, of another length, but never a mixture.
        json.loads(storage.read("shared.json"))
        return storage.read(f"own/{number}.json") == content

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(40))) == [True] * 40
    assert len(storage.list("own")) == len(storage.list("parts")) == 40


def test_a_reader_never_sees_a_mixture_of_a_file_and_its_replacement(storage: Storage) -> None:
    storage.write("a", b"[0]")
    done = threading.Event()

    def replace() -> None:
        for number in itertools.count():
            storage.write("a", json.dumps([number] * (1 + number % 2 * 50)).encode())
            if done.is_set():
                return

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        for _ in range(60):
            numbers = json.loads(storage.read("a"))
            assert numbers == numbers[:1] * len(numbers)
            assert len(numbers) in (1, 51)
    finally:
        done.set()
        writer.join()


def test_scratch_is_the_same_folder_while_the_storage_exists(storage: Storage) -> None:
    folder = storage.scratch
    assert folder == storage.scratch
    assert folder.is_dir()
    (folder / "left.bin").touch()
    assert names(storage) == []
    del storage
    # The test's fixture still refers to the storage.
    assert folder.is_dir()


def test_scratch_is_removed_with_its_storage(root: str) -> None:
    folder = open_storage(root).scratch
    assert not folder.exists()


def test_pandas_and_pyarrow_read_a_table_by_its_location(root: str) -> None:
    lake = Lake(root)
    table = pa.table({"id": ["a", "b"], "n": [1, 2]})
    folder = "summaries/card/some-model"
    for number in range(3):
        lake.write_part(folder, f"part {number}.parquet", table)
    lake.write_part(folder, "gone.parquet", table)
    lake.storage.write(f"{folder}/_recipe.json", b"{}")
    # Arrow leaves an empty object for the folder of a deleted file.
    lake.storage.delete(f"{folder}/gone.parquet")
    location = lake.location(folder)
    assert pd.read_parquet(location)["n"].tolist() == [1, 2] * 3
    assert pq.read_table(location).num_rows == 6
    assert ds.dataset(location, format="parquet").count_rows() == 6
    assert [pq.read_table(str(part)).num_rows for part in lake.parts(folder)] == [2, 2, 2]
    assert pd.read_parquet(str(lake.parts(folder)[0])).shape == (2, 2)


@pytest.fixture
def local(tmp_path: Path) -> LocalStorage:
    return LocalStorage(str(tmp_path / "lake"))


def test_a_file_uri_opens_a_local_folder(tmp_path: Path) -> None:
    folder = tmp_path / "一 lake"
    for uri in (folder.as_uri(), f"FILE://localhost{folder.as_uri().removeprefix('file://')}"):
        assert open_storage(uri).folder == folder
    with pytest.raises(UserError, match="another machine"):
        open_storage("file://server/share/lake")


def test_a_folder_that_cannot_be_listed_does_not_look_empty(local: LocalStorage) -> None:
    local.write("articles", b"a file where a folder belongs")
    with pytest.raises(UserError, match=r"articles cannot be read \(Not a directory\)"):
        local.list("articles")


def test_a_full_disk_keeps_the_old_file_and_leaves_no_trace_of_the_new_one(
    local: LocalStorage,
) -> None:
    local.write("a.json", b"old")
    path = staged(local, b"")
    with file_size_limit(100), pytest.raises(UserError, match=r"cannot be written \(File too"):
        local.write("a.json", bytes(1000))
    assert local.read("a.json") == b"old"
    assert [each for each in local.scratch.iterdir() if each.name != ".lock"] == [path]


@pytest.fixture
def no_files_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("no_files_left")
def test_an_object_storage_leaves_no_local_files_behind(
    object_store: ObjectStoreServer,
) -> None:
    bucket = open_storage(object_store.uri("life"))
    (bucket.scratch / "left.bin").touch()
    bucket.publish(staged(bucket, b"x"), "a.bin")
