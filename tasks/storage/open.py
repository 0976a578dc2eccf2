"""Open the storage that a user names: a path, or a URI of an object store."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.storage.base import Storage
from article_flows.tasks.storage.local import LocalStorage

URI = re.compile(r"^([a-z][a-z0-9+.-]+)://", re.IGNORECASE)


def open_storage(root: str) -> Storage:
    """The storage that a user names: a path, or a URI of an object store.

    Raises:
        UserError: the URI is of no store that is supported, holds a key, or the path is a file.
    """
    scheme = URI.match(root)
    if scheme is None:
        return LocalStorage(root)
    if scheme[1].lower() == "file":
        return LocalStorage(_path_of(root))
    # Only who keeps a lake there needs it.
    from article_flows.tasks.storage.object_store import ObjectStorage

    return ObjectStorage(root)


def _path_of(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.netloc.lower() not in ("", "localhost"):
        raise UserError(f"lake {uri}: is on another machine; mount it, and give its path")
    return unquote(parts.path)
