"""Objects in a store (S3 and what speaks it, Google's, Azure's): found, and read in place."""

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
from article_flows.tasks.reading.base.streams import PIECE_BYTES, StreamedFile, as_is
from article_flows.tasks.storage.base import StoredFile
from article_flows.tasks.storage.object_store import ObjectFile
from article_flows.tasks.storage.retries import PATIENCE_S, BucketNotFound, Retries
from article_flows.tasks.storage.uri import Address, list_objects, open_store

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss")
"""How the URI of an object begins, before ``://``."""


class SourceRetries(Retries):
    """Tries again as for a lake; a source that stays away is no lake that is down."""

    def call(self, what: str, operation: Callable[[], T]) -> T:
        """As `Retries.call`, but SourceUnavailable for a store that stays away."""
        try:
            return super().call(what, operation)
        except StorageUnavailable as error:
            raise SourceUnavailable(str(error)) from error


class _Bucket(NamedTuple):
    store: ObjectStore
    retries: Retries


@lru_cache(maxsize=64)
def _bucket(uri: str) -> _Bucket:
    """Open a bucket by its URI with options, once for all objects in it."""
    address = Address.parse(uri, "source")
    try:
        store = open_store(address)
    except StorageUnavailable as error:
        raise SourceUnavailable(str(error)) from error
    return _Bucket(store, SourceRetries(address.base, PATIENCE_S, "source"))


@dataclass(frozen=True)
class BucketFile(ByteSource):
    """An object.

    Attributes:
        bucket: its bucket's URI, with options.
        key: its name in the bucket, not quoted.
    """

    bucket: str
    key: str

    @property
    def file_name(self) -> str:
        """The last part of its key."""
        return PurePosixPath(self.key).name

    @property
    def identity(self) -> str:
        """Bucket and key."""
        return f"{self.bucket}#{self.key}"

    def open(self) -> BinaryIO:
        """Open it as a stream; what fails is tried again.

        Raises:
            FileNotFoundError: there is no such object (any more).
            UserError: it may not be read, or its store stays away.
        """
        return cast(BinaryIO, StreamedFile(cast(BinaryIO, self._file()), as_is))

    def open_seekable(self) -> BinaryIO:
        """Open it for reading here and there."""
        return cast(BinaryIO, io.BufferedReader(self._file(), PIECE_BYTES))

    def _file(self) -> ObjectFile:
        store, retries = _bucket(self.bucket)
        return ObjectFile(store, self.key, retries)


class FoundObject(NamedTuple):
    """An object that a spec means: where, what the user calls it, its path below the spec."""

    place: BucketFile
    name: str
    below: str
    size: int


def find_objects(spec: str) -> tuple[list[FoundObject], bool]:
    """List the objects that a URI means, in order of their keys, and tell whether it is just one.

    The URI is an object's, a prefix's, or has ``*`` or ``[…]`` in it; a ``?`` begins its options.

    Raises:
        UserError: the URI is wrong, leads to nothing, or its store does not answer.
    """
    address = Address.parse(spec, "source")
    quoted = urlsplit(spec).path.strip("/")
    parts = urlsplit(spec)
    root = f"{parts.scheme}://{parts.netloc}"
    uri = f"{root}?{address.query}" if address.query else root
    fixed = re.match(r"(?:[^*[]*/)?(?=[^/]*[*[])|.*", quoted)
    prefix = "/".join(filter(None, unquote(fixed[0] if fixed else quoted).split("/")))
    pattern = _pattern(quoted) if re.search(r"[*[]", quoted) else None
    listed, single = _list(uri, prefix, root, is_pattern=pattern is not None)
    found = []
    for key, size in listed:
        below = PurePosixPath(key).name if single else key[len(prefix) :].lstrip("/")
        if single or pattern is None or pattern.fullmatch(key):
            name = f"{root}/{key}"
            found.append(FoundObject(BucketFile(uri, key), name, below, size))
    if not found:
        reason = "matches no object" if pattern else "holds no object with data"
        raise UserError(f"{root}/{quoted} {reason}; name an object, or a prefix of some")
    return sorted(found, key=lambda each: each.place.key), single


def _list(uri: str, prefix: str, root: str, *, is_pattern: bool) -> tuple[list[StoredFile], bool]:
    """List the object of that name, or those below a prefix, and tell whether it is just one."""
    store, retries = _bucket(uri)
    what = prefix or "the bucket"
    try:
        if prefix and not is_pattern:
            with contextlib.suppress(FileNotFoundError):
                size = retries.call(f"find {what}", lambda: store.head(prefix)["size"])
                return [StoredFile(prefix, size)], True
        found = retries.call(f"list {what}", lambda: list_objects(store, prefix))
    except BucketNotFound as error:
        raise UserError(f"{root} does not exist; mend the bucket's name") from error
    if not found:
        raise UserError(f"{root}/{prefix} does not exist; name an object, or a prefix of some")
    return found, False


def _pattern(quoted: str) -> re.Pattern[str]:
    """A pattern of keys: ``*`` stays within a folder, ``**`` does not."""
    regex = ""
    parts = [unquote(part) for part in quoted.split("/") if part]
    for number, part in enumerate(parts, start=1):
        last = number == len(parts)
        if part == "**":
            regex += ".*" if last else "(?:.*/)?"
            continue
        # fnmatch gives (?s:…)\Z, and lets * and ? go over slashes.
        body = fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z")
        regex += body.replace(".*", "[^/]*") + ("" if last else "/")
    return re.compile(regex, re.DOTALL)
