"""List and read the objects of an S3-compatible, Google Cloud or Azure object store."""

from __future__ import annotations

import contextlib
import fnmatch
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar, cast
from urllib.parse import unquote, urlsplit

from article_flows.tasks.common.errors import SourceUnavailable, StorageUnavailable, UserError
from article_flows.tasks.reading.base.byte_source import ByteSource
from article_flows.tasks.reading.base.streams import PIECE_BYTES, StreamedFile, read_blocks
from article_flows.tasks.storage.base import StoredFile
from article_flows.tasks.storage.object_store import ObjectFile
from article_flows.tasks.storage.retries import RETRY_TIMEOUT_S, BucketNotFound, Retries
from article_flows.tasks.storage.uri import Address, list_objects, open_store

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss")
"""The supported schemes of object URIs."""


class SourceRetries(Retries):
    """The retries of a lake's storage, but with errors that do not blame the lake."""

    def call(self, what: str, operation: Callable[[], T]) -> T:
        """Call `Retries.call`, but raise SourceUnavailable if the store stays unavailable."""
        try:
            return super().call(what, operation)
        except StorageUnavailable as error:
            raise SourceUnavailable(str(error)) from error


class _Bucket(NamedTuple):
    store: ObjectStore
    retries: Retries


@lru_cache(maxsize=64)
def _bucket(uri: str) -> _Bucket:
    """Open a bucket by its URI and options; all objects in it share the connection."""
    address = Address.parse(uri, "source")
    try:
        store = open_store(address)
    except StorageUnavailable as error:
        raise SourceUnavailable(str(error)) from error
    return _Bucket(store, SourceRetries(address.base, RETRY_TIMEOUT_S, "source"))


@dataclass(frozen=True)
class BucketFile(ByteSource):
    """An object in a bucket.

    Attributes:
        bucket: URI of the bucket, with options.
        key: The object's key, not percent-encoded.
    """

    bucket: str
    key: str

    @property
    def file_name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name

    @property
    def identity(self) -> str:
        """Bucket and key."""
        return f"{self.bucket}#{self.key}"

    def open(self) -> BinaryIO:
        """Open it as a stream; failed requests are retried.

        Raises:
            FileNotFoundError: The object does not exist, or no longer.
            UserError: Access is denied, or the store stays unavailable.
        """
        return cast(BinaryIO, StreamedFile(cast(BinaryIO, self._raw_file()), read_blocks))

    def open_seekable(self) -> BinaryIO:
        """Open it for random access by range requests."""
        return cast(BinaryIO, io.BufferedReader(self._raw_file(), PIECE_BYTES))

    def _raw_file(self) -> ObjectFile:
        store, retries = _bucket(self.bucket)
        return ObjectFile(store, self.key, retries)


class FoundObject(NamedTuple):
    """An object that a spec matches.

    Attributes:
        name: As shown to the user.
        below: Its path relative to the spec.
        size: In bytes.
    """

    file: BucketFile
    name: str
    below: str
    size: int


def find_objects(spec: str) -> tuple[list[FoundObject], bool]:
    """List the objects that a URI matches, sorted by key, and whether it names a single object.

    Args:
        spec: URI of an object or a prefix, or one with wildcards (``*``, ``**``, ``[…]``). A ``?``
            starts its options.

    Raises:
        UserError: The URI is invalid, matches nothing, or the store is unavailable.
    """
    address = Address.parse(spec, "source")
    quoted = urlsplit(spec).path.strip("/")
    parts = urlsplit(spec)
    root = f"{parts.scheme}://{parts.netloc}"
    uri = f"{root}?{address.query}" if address.query else root
    literal = re.match(r"(?:[^*[]*/)?(?=[^/]*[*[])|.*", quoted)
    prefix = "/".join(filter(None, unquote(literal[0] if literal else quoted).split("/")))
    pattern = _pattern(quoted) if re.search(r"[*[]", quoted) else None
    listed, single = _list(uri, prefix, root, is_pattern=pattern is not None)
    found = []
    for key, size in listed:
        below = PurePosixPath(key).name if single else key[len(prefix) :].lstrip("/")
        if single or pattern is None or pattern.fullmatch(key):
            name = f"{root}/{key}"
            found.append(FoundObject(BucketFile(uri, key), name, below, size))
    if not found:
        reason = "matches no object" if pattern else "contains no object with data"
        raise UserError(f"{root}/{quoted} {reason}; give the URI of an object or a prefix")
    return sorted(found, key=lambda each: each.file.key), single


def _list(uri: str, prefix: str, root: str, *, is_pattern: bool) -> tuple[list[StoredFile], bool]:
    """List the object with this key or the objects below this prefix, and whether it is a key."""
    store, retries = _bucket(uri)
    what = prefix or "the bucket"
    try:
        if prefix and not is_pattern:
            with contextlib.suppress(FileNotFoundError):
                size = retries.call(f"find {what}", lambda: store.head(prefix)["size"])
                return [StoredFile(prefix, size)], True
        found = retries.call(f"list {what}", lambda: list_objects(store, prefix))
    except BucketNotFound as error:
        raise UserError(f"{root} does not exist; correct the bucket's name") from error
    if not found:
        raise UserError(f"{root}/{prefix} does not exist; give the URI of an object or a prefix")
    return found, False


def _pattern(quoted: str) -> re.Pattern[str]:
    """Compile a glob for keys: ``*`` does not match a slash, ``**`` does."""
    regex = ""
    parts = [unquote(part) for part in quoted.split("/") if part]
    for number, part in enumerate(parts, start=1):
        last = number == len(parts)
        if part == "**":
            regex += ".*" if last else "(?:.*/)?"
            continue
        # fnmatch returns (?s:…)\Z, and its * matches slashes.
        body = fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z")
        regex += body.replace(".*", "[^/]*") + ("" if last else "/")
    return re.compile(regex, re.DOTALL)
