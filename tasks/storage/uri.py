"""Addresses in object stores, of lakes and of sources: parse a URI, and open its store."""

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

_CONNECT_S, _SILENCE_S, _REQUEST_S = 5.0, 20.0, 600.0
"""Seconds to wait for a connection, for the next byte of an answer, and for all of it."""

_RETRY: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=5)}
"""What obstore tries again by itself: single requests that a busy store turns away. What fails
after that is an outage, and is `retries.py`'s."""

_REGION_S = 20.0
"""Seconds for which a bucket's region is asked for: nothing is lost yet, and somebody waits."""

_OPTIONS = {
    "s3": ("region", "scheme", "endpoint_override", "force_virtual_addressing"),
    "gs": ("scheme", "endpoint_override"),
    "abfs": ("tenant_id", "client_id"),
}
"""What may follow the ``?`` of an address, by store; no secret is among it."""

_AS_THEY_ARE = {"region", "tenant_id", "client_id"}
"""Options that obstore calls the same."""

_ALIASES = {"gcs": "gs", "abfss": "abfs"}
_FILE = re.compile(r"\.[A-Za-z]{2,8}$")


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

    def below(self, name: str) -> str:
        """The URI of something below it, by its quoted name."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.base}/{name}{query}" if name else f"{self.base}{query}"


def list_objects(store: ObjectStore, prefix: str) -> list[StoredFile]:
    """List all objects below a prefix, in order of name.

    Other programs, and earlier versions of this one, mark folders with empty objects, whose names
    come without their ``/``: an empty object counts only if its name ends as a file's does.
    """
    found = (StoredFile(meta["path"], meta["size"]) for page in store.list(prefix) for meta in page)
    return sorted(each for each in found if each.size or _FILE.search(each.name))


def open_store(address: Address) -> ObjectStore:
    """Open the store of an address, restricted to its prefix.

    Keys come from the environment (``AWS_ACCESS_KEY_ID`` and so on), AWS's credentials file, or the
    machine's role.

    Raises:
        UserError: an option is wrong, there is no such bucket, or its store cannot be reached.
    """
    options = {key: values[-1] for key, values in parse_qs(address.query).items()}
    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=_CONNECT_S),
        "read_timeout": timedelta(seconds=_SILENCE_S),
        "timeout": timedelta(seconds=_REQUEST_S),
    }
    config: Any = {key: options[key] for key in _AS_THEY_ARE & options.keys()}
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
        # Not every server that speaks S3 can delete many objects in one request.
        config["disable_bulk_delete"] = True
        config |= _keys_of_profile()
        elsewhere = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if elsewhere and not server:
            client["allow_http"] = elsewhere.startswith("http://")
        elif "region" not in options and not server:
            config["region"] = _region(address)
    root = f"{address.store}://{address.bucket}"
    url = f"{root}/{quote(address.prefix)}" if address.prefix else root
    try:
        return from_url(url, config=config, client_options=client, retry_config=_RETRY)
    except (BaseError, ValueError) as error:
        raise UserError(f"{address.noun} {address.uri}: {one_line_message(error)}") from error


def _keys_of_profile() -> dict[str, str]:
    """The keys in AWS's credentials file, which obstore does not read; none if there are others."""
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return {}
    path = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    profiles = ConfigParser(strict=False, interpolation=None)
    with contextlib.suppress(ParsingError):
        profiles.read(Path(path).expanduser())
    profile = os.environ.get("AWS_PROFILE", "default")
    given = dict(profiles.items(profile)) if profiles.has_section(profile) else {}
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {name: given[name] for name in names if name in given}


def _region(address: Address) -> str:
    from pyarrow.fs import resolve_s3_region  # it starts AWS's SDK, for this alone

    region: str = Retries(address.uri, _REGION_S, address.noun).call(
        f"find the region of bucket {address.bucket}", lambda: resolve_s3_region(address.bucket)
    )
    return region
