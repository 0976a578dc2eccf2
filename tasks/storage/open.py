"""`open_storage`: the storage behind a path or a URI."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.storage.base import Storage
from article_flows.tasks.storage.local import LocalStorage

URI = re.compile(r"^([a-z][a-z0-9+.-]+)://", re.IGNORECASE)


def open_storage(root: str) -> Storage:
    """Open the storage at a path or at a URI of an object store.

    Args:
        root: A folder, a ``file://`` URI, or a URI such as ``s3://bucket/prefix``.

    Raises:
        UserError: The store is not supported, the URI contains a key, or the path is a file.

    Example:
        >>> open_storage("file:///data/my%20lake").location("articles")
        '/data/my lake/articles'
    """
    scheme = URI.match(root)
    if scheme is None:
        return LocalStorage(root)
    if scheme[1].lower() == "file":
        return LocalStorage(_path_of_file_uri(root))
    # Imported only when needed: local lakes should not pay for loading obstore.
    from article_flows.tasks.storage.object_store import ObjectStorage

    return ObjectStorage(root)


def _path_of_file_uri(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.netloc.lower() not in ("", "localhost"):
        raise UserError(f"lake {uri}: is on another machine; mount it and give its path")
    return unquote(parts.path)
