"""The address of a lake in a bucket: what it may hold, and that no key in it is ever shown."""

import pyarrow.fs as pafs
import pytest

from tasks.errors import UserError
from tasks.lake import Lake
from tasks.object_address import Address
from tasks.object_storage import ObjectStorage
from tests.object_store import ObjectStoreServer


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://AKIA:hidden@bucket/lake", "holds a key"),
        ("s3://hidden@bucket/lake", "holds a key"),
        ("gs://anonymous:hidden@bucket/lake", "holds a key"),
        ("abfs://container:hidden@account.dfs.core.windows.net/lake", "holds a key"),
        ("s3://bucket/lake?secret_key=hidden", "unknown option secret_key; known are region"),
        ("abfs://c@a.dfs.core.windows.net/x?client_secret=hidden", "unknown option client_secret"),
        ("s3://bucket/lake?regoin=hidden", "unknown option regoin; known are region"),
        ("gs://bucket/lake?region=hidden", "unknown option region"),
        ("s3:///lake", "names no bucket"),
        ("s3://?region=us-east-1", "names no bucket"),
        ("hdfs://user:hidden@host:9000/lake", "hdfs:// is not supported"),
        ("s3://bucket/la#ke", "write %23"),
        ("s3://bucket/lake#", "write %23"),
        ("s3://[bucket/lake", "is no URI"),
    ],
)
def test_an_address_that_will_not_do_is_refused_in_one_line_without_its_key(
    uri: str, said: str
) -> None:
    with pytest.raises(UserError) as caught:
        Lake(uri)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_the_prefix_may_be_quoted_empty_or_end_in_a_slash(object_store: ObjectStoreServer) -> None:
    for written, key in (("%E4%B8%80%20a%25b", "一 a%b/x"), ("odd//q/", "odd/q/x"), ("", "x")):
        storage = ObjectStorage(object_store.uri(written))
        storage.write("x", b"1")
        assert key in set(object_store.keys())
        assert [file.name for file in storage.list("") if "/" not in file.name] == ["x"]
        files, path = pafs.FileSystem.from_uri(storage.location("x"))
        assert files.open_input_stream(path.replace("//", "/")).read() == b"1"
        storage.delete("x")


def test_every_store_that_arrow_speaks_to_has_its_own_form_of_address() -> None:
    azure = Address.parse("abfss://container@account.dfs.core.windows.net/a/lake/?tenant_id=t")
    assert (azure.store, azure.one_request, azure.prefix) == ("abfs", 0, "a/lake")
    assert azure.below("x") == "abfss://container@account.dfs.core.windows.net/a/lake/x?tenant_id=t"
    google = Address.parse("gcs://bucket")
    assert (google.store, google.bucket, google.prefix) == ("gs", "bucket", "")
    assert google.below("x/y") == "gcs://bucket/x/y"
