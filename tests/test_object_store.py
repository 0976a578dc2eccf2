"""The S3 server that other tests rely on: its API, faults and outages."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyarrow.fs import AwsStandardS3RetryStrategy, FileSelector, FileSystem, FileType, S3FileSystem

from tests.object_store import ACCESS_KEY, BUCKET, SECRET_KEY, ObjectStoreServer, Outage


def client(store: ObjectStoreServer, **options: object) -> S3FileSystem:
    """Return a client without retries and with short timeouts."""
    return S3FileSystem(
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        endpoint_override=store.endpoint,
        scheme="http",
        region="us-east-1",
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1),
        connect_timeout=1,
        request_timeout=1,
        **options,
    )


def write(files: S3FileSystem, name: str, content: bytes = b"text") -> None:
    with files.open_output_stream(f"{BUCKET}/{name}") as stream:
        stream.write(content)


def write_all(files: S3FileSystem, folder: str, count: int) -> list[bool]:
    """Write small objects, one request each; return which writes succeeded."""

    def succeeds(number: int) -> bool:
        try:
            write(files, f"{folder}/{number}")
        except OSError:
            return False
        return True

    return [succeeds(number) for number in range(count)]


def test_pyarrow_needs_only_the_uri(object_store: ObjectStoreServer) -> None:
    files, root = FileSystem.from_uri(object_store.uri("uri/lake"))
    name = f"{root}/summaries/language=zh/一 篇+1%.bin"
    content = bytes(range(256)) * 40_000  # uploaded in two parts
    with files.open_output_stream(name) as stream:
        stream.write(content)

    (found,) = [
        file
        for file in files.get_file_info(FileSelector(root, recursive=True))
        if file.type == FileType.File
    ]
    assert (found.path, found.size) == (name, len(content))
    with files.open_input_file(name) as file:
        assert file.read() == content
        file.seek(1000)
        assert file.read(24) == content[1000:1024]
    assert object_store.keys("uri/") == [name.removeprefix(f"{BUCKET}/")]
    assert object_store.uploads() == []
    files.delete_file(name)
    assert files.get_file_info(name).type == FileType.NotFound


def test_requests_are_counted_by_operation(object_store: ObjectStoreServer) -> None:
    files = client(object_store, allow_delayed_open=True)
    write(files, "counts/a")
    files.open_input_stream(f"{BUCKET}/counts/a").read()
    files.copy_file(f"{BUCKET}/counts/a", f"{BUCKET}/counts/b")
    files.get_file_info(FileSelector(f"{BUCKET}/counts"))
    counts = object_store.counts()
    assert {name: counts[name] for name in ("PUT", "GET", "COPY", "LIST")} == {
        "PUT": 1,
        "GET": 1,
        "COPY": 1,
        "LIST": 1,
    }
    write(files, "counts/large", bytes(11 << 20))
    assert object_store.counts()["MULTIPART"] >= 4


def test_wrong_keys_and_missing_buckets_are_rejected(object_store: ObjectStoreServer) -> None:
    address = {"endpoint_override": object_store.endpoint, "scheme": "http", "region": "us-east-1"}
    stranger = S3FileSystem(access_key="other", secret_key="other", **address)
    with pytest.raises(OSError, match="INVALID_ACCESS_KEY_ID"):
        stranger.get_file_info(FileSelector(f"{BUCKET}/lake"))
    with pytest.raises(OSError, match="NO_SUCH_BUCKET"):
        client(object_store).open_output_stream("nobody/a").close()


def test_the_seed_determines_which_requests_fail(
    object_store: ObjectStoreServer,
) -> None:
    files = client(object_store, allow_delayed_open=True)
    outcomes = []
    for folder in ("first", "second"):
        object_store.fail(0.2, seed=7, operations=["PUT"])
        outcomes.append(write_all(files, f"share/{folder}", 100))
    assert outcomes[0] == outcomes[1]
    faults = object_store.faults()
    assert set(faults) == {"slow_down", "internal", "reset", "applied"}
    assert outcomes[0].count(False) * 2 == sum(faults.values())
    assert 20 <= sum(faults.values()) <= 60
    # Writes that were applied despite their error response are kept.
    kept = len(object_store.keys("share/"))
    assert kept == 200 - sum(faults.values()) + faults["applied"]


def test_client_retries_overcome_a_few_faults(object_store: ObjectStoreServer) -> None:
    files, root = FileSystem.from_uri(object_store.uri("retries"))
    object_store.fail(0.05, seed=3, faults=["slow_down", "internal", "reset"])
    for number in range(30):
        with files.open_output_stream(f"{root}/{number}") as stream:
            stream.write(b"text")
    assert sum(object_store.faults().values()) > 0
    assert len(object_store.keys("retries/")) == 30


@pytest.mark.parametrize("kind", ["refused", "reset", "unavailable", "silent"])
def test_an_outage_fails_all_requests_and_loses_no_object(
    object_store: ObjectStoreServer, kind: Outage
) -> None:
    files = client(object_store, allow_delayed_open=True)
    write(files, f"outage/{kind}/before")
    with object_store.away(kind):
        with pytest.raises(OSError, match="AWS Error"):
            # A copy has no body: with one, curl's low-speed limit takes 6 s longer to notice.
            files.copy_file(f"{BUCKET}/outage/{kind}/before", f"{BUCKET}/outage/{kind}/meanwhile")
        assert object_store.keys(f"outage/{kind}/") == [f"outage/{kind}/before"]
    write(files, f"outage/{kind}/after")
    assert object_store.keys(f"outage/{kind}/") == [
        f"outage/{kind}/after",
        f"outage/{kind}/before",
    ]


def test_only_one_of_several_conditional_writes_succeeds(object_store: ObjectStoreServer) -> None:
    import boto3
    from botocore.exceptions import ClientError

    service = boto3.client(
        "s3",
        endpoint_url=f"http://{object_store.endpoint}",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )
    barrier = threading.Barrier(8)

    def succeeds(number: int) -> bool:
        barrier.wait()
        try:
            service.put_object(
                Bucket=BUCKET, Key="race/lock", Body=str(number).encode(), IfNoneMatch="*"
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(succeeds, range(8))).count(True) == 1
