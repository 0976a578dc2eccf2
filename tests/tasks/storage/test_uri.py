"""Object store URIs: what they may contain, and that a key in one is never shown."""

from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.storage.object_store import ObjectStorage
from article_flows.tasks.storage.uri import Address, open_store
from tests.object_store import ACCESS_KEY, SECRET_KEY, ObjectStoreServer


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://AKIA:hidden@bucket/lake", "contains a key"),
        ("s3://hidden@bucket/lake", "contains a key"),
        ("gs://anonymous:hidden@bucket/lake", "contains a key"),
        ("abfs://container:hidden@account.dfs.core.windows.net/lake", "contains a key"),
        ("s3://bucket/lake?secret_key=hidden", "unknown option secret_key; the options are region"),
        ("abfs://c@a.dfs.core.windows.net/x?client_secret=hidden", "unknown option client_secret"),
        ("s3://bucket/lake?regoin=hidden", "unknown option regoin; the options are region"),
        ("gs://bucket/lake?region=hidden", "unknown option region"),
        ("s3:///lake", "names no bucket"),
        ("s3://?region=us-east-1", "names no bucket"),
        ("hdfs://user:hidden@host:9000/lake", "hdfs:// is not supported"),
        ("s3://bucket/la#ke", "write %23"),
        ("s3://bucket/lake#", "write %23"),
        ("s3://[bucket/lake", "is not a URI"),
    ],
)
def test_an_invalid_address_is_rejected_in_one_line_without_its_key(uri: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        Lake(uri)
    assert message in str(caught.value)
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


def test_addresses_of_every_store_are_parsed() -> None:
    azure = Address.parse("abfss://container@account.dfs.core.windows.net/a/lake/?tenant_id=t")
    assert (azure.store, azure.prefix) == ("abfs", "a/lake")
    assert (
        azure.child_uri("x")
        == "abfss://container@account.dfs.core.windows.net/a/lake/x?tenant_id=t"
    )
    google = Address.parse("gcs://bucket")
    assert (google.store, google.bucket, google.prefix) == ("gs", "bucket", "")
    assert google.child_uri("x/y") == "gcs://bucket/x/y"


def test_the_options_of_an_address_reach_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def store(uri: str) -> Any:
        return open_store(Address.parse(uri))

    given = store("s3://bucket/a%20b/c?endpoint_override=localhost:9000&scheme=http")
    assert (given.config["endpoint"], given.prefix) == ("http://localhost:9000", "a b/c")
    virtual = store("s3://bucket?endpoint_override=s3.example&force_virtual_addressing=true")
    assert virtual.config["endpoint"] == "https://bucket.s3.example"
    assert store("s3://bucket?region=eu-west-1").config["region"] == "eu-west-1"
    assert store("gs://bucket/p?endpoint_override=localhost&scheme=http").prefix == "p"
    azure = store("abfss://container@account.dfs.core.windows.net/lake?tenant_id=t")
    assert azure.config["account_name"] == "account"
    assert azure.config["container_name"] == "container"
    assert azure.prefix == "lake"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "mine")
    assert store("abfs://container/lake").prefix == "lake"
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    with pytest.raises(UserError, match="Account must be specified") as caught:
        store("abfs://container/lake")
    assert "\n" not in str(caught.value)


def test_keys_are_read_from_a_profile_of_the_credentials_file(
    object_store: ObjectStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = f"aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    (tmp_path / "credentials").write_text(f"[default]\nregion = x\n[team]\n{keys}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "team")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    ObjectStorage(object_store.uri("profile")).write("x", b"1")
    assert object_store.keys("profile/") == ["profile/x"]
