"""Object store URIs of lakes and sources: parse them (`Address`) and open them (`open_store`)."""

from __future__ import annotations

import contextlib
import os
import re
from configparser import ConfigParser, ParsingError
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import from_url

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.storage.base import StoredFile
from article_flows.tasks.storage.retries import Retries, one_line_message

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S, _REQUEST_TIMEOUT_S = 5.0, 20.0, 600.0
"""Timeouts in seconds: to connect, between two reads of a response, and of the whole request."""

_RETRY: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=5)}
"""obstore's own retries, for single requests that a busy store rejects. `retries.py` handles
longer outages."""

_REGION_TIMEOUT_S = 20.0
"""How long to retry the lookup of a bucket's region, in seconds. Short: the user is waiting, and no
work is lost yet."""

_OPTIONS = {
    "s3": ("region", "scheme", "endpoint_override", "force_virtual_addressing"),
    "gs": ("scheme", "endpoint_override"),
    "abfs": ("tenant_id", "client_id"),
}
"""Query parameters that each store accepts; none is a secret."""

_SAME_IN_OBSTORE = {"region", "tenant_id", "client_id"}
"""Options that have the same name in obstore."""

_ALIASES = {"gcs": "gs", "abfss": "abfs"}
_FILE = re.compile(r"\.[A-Za-z]{2,8}$")


class Address(NamedTuple):
    """A parsed object store URI.

    Attributes:
        uri: The URI as the user wrote it.
        store: ``s3``, ``gs`` or ``abfs``.
        base: The URI without its query and trailing ``/``.
        query: The URI's query string.
        bucket: The bucket; for Azure, the URI's whole authority part.
        prefix: The unquoted prefix of the lake or source in the bucket.
        noun: What messages call the content ("lake", "source").

    Example:
        >>> address = Address.parse("s3://bucket/my/lake?region=eu-central-1")
        >>> address.bucket, address.prefix
        ('bucket', 'my/lake')
        >>> address.child_uri("articles")
        's3://bucket/my/lake/articles?region=eu-central-1'
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
        """Parse a URI.

        Raises:
            UserError: The URI is invalid; the message shows no key.
        """
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise UserError(f"{noun}: the address is not a URI ({error})") from error
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
                f"{noun} {shown}: the address contains a key; remove it and set it in the "
                "environment (for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
            )
        for option in parse_qs(parts.query, keep_blank_values=True):
            if option not in _OPTIONS[store]:
                known = ", ".join(_OPTIONS[store])
                raise UserError(
                    f"{noun} {shown}: unknown option {option}; the options are {known}"
                    "; set a key in the environment"
                )
        if not parts.netloc:
            raise UserError(f"{noun} {shown}: names no bucket; write {scheme}://bucket/prefix")
        if parts.fragment or "#" in uri:
            raise UserError(f"{noun} {shown}: has a # in it; write %23")
        base = f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
        prefix = "/".join(filter(None, unquote(parts.path).split("/")))
        return cls(uri, store, base, parts.query, parts.netloc, prefix, noun)

    def child_uri(self, name: str) -> str:
        """Return the URI of a file or folder below this address, by its quoted name."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.base}/{name}{query}" if name else f"{self.base}{query}"


def list_objects(store: ObjectStore, prefix: str) -> list[StoredFile]:
    """Return all objects below a prefix, sorted by name.

    Other programs, and earlier versions of this one, mark folders with empty objects, which are
    listed without their trailing ``/``. An empty object is therefore returned only if its name has
    a file extension.
    """
    found = (StoredFile(meta["path"], meta["size"]) for page in store.list(prefix) for meta in page)
    return sorted(each for each in found if each.size or _FILE.search(each.name))


def open_store(address: Address) -> ObjectStore:
    """Open the store of an address, restricted to its prefix.

    Credentials come from the environment (``AWS_ACCESS_KEY_ID`` and so on), AWS's credentials file,
    or the machine's role.

    Raises:
        UserError: An option is invalid, the bucket does not exist, or the store cannot be reached.
    """
    options = {key: values[-1] for key, values in parse_qs(address.query).items()}
    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=_CONNECT_TIMEOUT_S),
        "read_timeout": timedelta(seconds=_READ_TIMEOUT_S),
        "timeout": timedelta(seconds=_REQUEST_TIMEOUT_S),
    }
    config: Any = {key: options[key] for key in _SAME_IN_OBSTORE & options.keys()}
    server = options.get("endpoint_override", "")
    if server:
        scheme = options.get("scheme", "https")
        virtual = options.get("force_virtual_addressing") == "true"
        url = f"{scheme}://{address.bucket}.{server}" if virtual else f"{scheme}://{server}"
        if address.store == "gs":
            config["base_url"] = url
        else:
            config |= {"endpoint": url, "virtual_hosted_style_request": virtual}
        client["allow_http"] = scheme == "http"
    if address.store == "s3":
        # Not every S3-compatible server can delete several objects in one request.
        config["disable_bulk_delete"] = True
        config |= _profile_credentials()
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if endpoint and not server:
            client["allow_http"] = endpoint.startswith("http://")
        elif "region" not in options and not server:
            config["region"] = _region(address)
    root = f"{address.store}://{address.bucket}"
    url = f"{root}/{quote(address.prefix)}" if address.prefix else root
    try:
        return from_url(url, config=config, client_options=client, retry_config=_RETRY)
    except (BaseError, ValueError) as error:
        raise UserError(f"{address.noun} {address.uri}: {one_line_message(error)}") from error


def _profile_credentials() -> dict[str, str]:
    """Return the keys from AWS's credentials file, unless the environment has keys.

    obstore does not read that file itself.
    """
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return {}
    path = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    profiles = ConfigParser(strict=False, interpolation=None)
    with contextlib.suppress(ParsingError):
        profiles.read(Path(path).expanduser())
    profile = os.environ.get("AWS_PROFILE", "default")
    section = dict(profiles.items(profile)) if profiles.has_section(profile) else {}
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {name: section[name] for name in names if name in section}


def _region(address: Address) -> str:
    from pyarrow.fs import resolve_s3_region  # imported here because it starts the AWS SDK

    region: str = Retries(address.uri, _REGION_TIMEOUT_S, address.noun).call(
        f"find the region of bucket {address.bucket}", lambda: resolve_s3_region(address.bucket)
    )
    return region
