"""A mirror in place of the public hosts: which file or URL stands in for which.

Not here: reading it (`resources.http`, `resources.downloads`).
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from refinebio_assets.errors import SourceRefused

_LONGEST_NAME = 200


def mirrored(url: str, mirror: str | None = None) -> str:
    """Where a URL is really read: itself, or its place in the mirror.

    `https://host/path?query` is `<mirror>/host/path?query`; the same for http and ftp. For
    a mirror URL nothing else changes. A mirror folder is laid out as
    `wget --force-directories` does it: the path is percent-decoded; a query is part of the
    file's name after a '?', as it is sent, but with '/' as %2F; a path that ends with '/'
    or is a folder means the file `index.html` in it. A name of more than 200 bytes ends in
    the SHA-256 of the query in the query's place. Hosts that are not public (localhost,
    private addresses, names without a dot) have no mirror.

    Parameters
    ----------
    mirror
        By default $REFINEBIO_MIRROR.

    Returns
    -------
    A URL, or the path of a file that may or may not exist.

    Raises
    ------
    SourceRefused
        For a URL that is none, or whose path would leave the mirror.
    """
    mirror = mirror or os.environ.get("REFINEBIO_MIRROR")
    if not mirror:
        return url
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise SourceRefused(f"{url[:200]!r} is not a URL: {error}.") from None
    if parts.scheme not in ("http", "https", "ftp") or not is_public(host):
        return url
    query = f"?{parts.query}" if parts.query else ""
    if "://" in mirror and not mirror.startswith("file://"):
        return f"{mirror.rstrip('/')}/{host}{parts.path}{query}"
    return str(_mirror_file(Path(mirror.removeprefix("file://")), host, parts.path, query))


def _mirror_file(mirror: Path, host: str, path: str, query: str) -> Path:
    segments = [unquote(segment) for segment in path.split("/") if segment]
    wrong = any(each in (".", "..") or "/" in each or "\0" in each for each in segments)
    if wrong or host in (".", "..") or "/" in host:
        raise SourceRefused(f"{path[:200]!r} at {host[:100]} names no file of the mirror.")
    file = mirror.joinpath(host, *segments)
    try:
        if not segments or path.endswith("/") or file.is_dir():
            file /= "index.html"
    except OSError as error:
        raise SourceRefused(f"{path[:200]!r} at {host}: {error.strerror}.") from None
    name = file.name + quote(query, safe="?=&+,;:@!$'()*~%[]|<>\" ")
    if len(name.encode()) > _LONGEST_NAME and query:
        import hashlib

        name = f"{file.name}?{hashlib.sha256(query[1:].encode()).hexdigest()}"
    return file.with_name(name)


def is_public(host: str) -> bool:
    """Whether a host is one of the public internet, by its name or address alone."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        private = (".localhost", ".local", ".internal", ".lan", ".test")
        return "." in host and not host.endswith(private)
