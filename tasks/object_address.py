"""An address in an object store, a lake's or a source's: what a URI holds, what it opens."""

from __future__ import annotations

import os
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from tasks.errors import UserError
from tasks.storage_retry import Retries

_CONNECT_S, _REQUEST_S = 5.0, 15.0
"""Seconds to wait for a connection, and for the next byte of an answer."""

_REGION_S = 20.0
"""Seconds for which a bucket's region is asked for: nothing is lost yet, and somebody waits."""

_OPTIONS = {
    "s3": ("region", "scheme", "endpoint_override", "force_virtual_addressing"),
    "gs": ("scheme", "endpoint_override", "retry_limit_seconds"),
    "abfs": (
        "blob_storage_authority",
        "dfs_storage_authority",
        "enable_tls",
        "credential_kind",
        "tenant_id",
        "client_id",
    ),
}
"""What may follow the ``?`` of an address, by store; no secret is among it."""

_ALIASES = {"gcs": "gs", "abfss": "abfs"}
_MULTIPART_BYTES = 4 << 20
"""Up to here Arrow writes an object in one request (it begins to cut at 5 MB)."""


class Address(NamedTuple):
    """A URI of an object store, taken apart.

    Attributes:
        uri: as the user gave it.
        store: ``s3``, ``gs`` or ``abfs``.
        base: the URI without options, no ``/`` at its end.
        query: the options, as in the URI.
        bucket: the bucket; for Azure whatever stands there.
        prefix: where the lake or source is in it, not quoted.
        noun: what is there, as messages call it.
    """

    uri: str
    store: str
    base: str
    query: str
    bucket: str
    prefix: str
    noun: str = "lake"

    @classmethod
    def parse(cls, uri: str, noun: str = "lake") -> Self:
        """Take a URI apart; raises UserError, which shows no key, if there is something wrong."""
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise UserError(f"{noun}: the address is no URI ({error})") from error
        scheme = parts.scheme.lower()
        store = _ALIASES.get(scheme, scheme)
        shown = f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        if store not in _OPTIONS:
            raise UserError(
                f"{noun} {shown}: {scheme}:// is not supported; give a folder, or a URI that "
                "begins with s3://, gs:// or abfs://"
            )
        if parts.password is not None or (store == "s3" and parts.username is not None):
            raise UserError(
                f"{noun} {shown}: the address holds a key; leave it out and set it in the "
                "environment (for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
            )
        for option in parse_qs(parts.query, keep_blank_values=True):
            if option not in _OPTIONS[store]:
                known = ", ".join(_OPTIONS[store])
                raise UserError(
                    f"{noun} {shown}: unknown option {option}; known are {known}"
                    "; a key belongs in the environment"
                )
        if not parts.netloc:
            raise UserError(f"{noun} {shown}: names no bucket; write {scheme}://bucket/prefix")
        if parts.fragment or "#" in uri:
            raise UserError(f"{noun} {shown}: has a # in it; write %23")
        base = f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
        prefix = "/".join(filter(None, unquote(parts.path).split("/")))
        return cls(uri, store, base, parts.query, parts.netloc, prefix, noun)

    @property
    def is_s3(self) -> bool:
        """Whether it is S3 or something that speaks it."""
        return self.store == "s3"

    @property
    def one_request(self) -> int:
        """Bytes up to which a new object appears whole. At Azure none does: Arrow makes an empty
        one first."""
        return 0 if self.store == "abfs" else _MULTIPART_BYTES

    def below(self, name: str) -> str:
        """The URI of something below it, by its quoted name."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.base}/{name}{query}" if name else f"{self.base}{query}"


def open_file_system(address: Address) -> tuple[pafs.FileSystem, str]:
    """The file system of an address, and the path of the lake or source in it.

    Keys come from the environment (``AWS_ACCESS_KEY_ID`` and so on) or the machine's role.

    Raises:
        UserError: an option is wrong, there is no such bucket, or its store cannot be reached.
    """
    try:
        if not address.is_s3:
            system, path = pafs.FileSystem.from_uri(address.uri)
            return system, path.rstrip("/")
        options = {key: values[-1] for key, values in parse_qs(address.query).items()}
        path = f"{address.bucket}/{address.prefix}".rstrip("/")
        return _s3(address, options), path
    except (pa.ArrowException, ValueError) as error:
        raise UserError(f"{address.noun} {address.uri}: {' '.join(str(error).split())}") from error


def _s3(address: Address, options: dict[str, Any]) -> pafs.S3FileSystem:
    if "force_virtual_addressing" in options:
        options["force_virtual_addressing"] = options["force_virtual_addressing"] == "true"
    elsewhere = {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} & os.environ.keys()
    if "region" not in options and "endpoint_override" not in options and not elsewhere:
        bucket = address.bucket
        options["region"] = Retries(address.uri, _REGION_S, address.noun).call(
            f"find the region of bucket {bucket}", lambda: pafs.resolve_s3_region(bucket)
        )
    return pafs.S3FileSystem(
        **options,
        connect_timeout=_CONNECT_S,
        request_timeout=_REQUEST_S,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=2),
        # Small objects take one request, and no thread of Arrow's holds a part that failed.
        allow_delayed_open=True,
        background_writes=False,
    )
