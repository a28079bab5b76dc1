"""Fetching a raw file from a URL that fsspec understands; a cut transfer is continued.

Files on this machine are not copied: they are read where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import dagster as dg
from pydantic import Field

from refinebio_assets.errors import DownloadFailed, RawFileMissing
from refinebio_assets.resources.storage import disk_full_named, move_file

CHUNK = 1 << 22


class Downloads(dg.ConfigurableResource):
    """Transfers over the network."""

    attempts: int = Field(default=5, ge=1, description="Tries for one file.")

    def fetch(self, url: str, target: Path, on_progress: Callable[[int, int | None], None]) -> Path:
        """The file of a URL: where it is, if it is on this machine, else fetched to `target`.

        The bytes arrive in `<target>.part`, which a later call continues.

        Raises
        ------
        RawFileMissing
            If there is no such file.
        DownloadFailed
            If the transfer broke off on every attempt.
        """
        local = local_path(url)
        if local is not None:
            if not local.is_file():
                raise RawFileMissing(f"There is no file {local}.")
            return local
        import stamina

        with disk_full_named(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            for attempt in stamina.retry_context(
                on=DownloadFailed, attempts=self.attempts, timeout=None
            ):
                with attempt:
                    _continue(url, target, on_progress)
        return target


def local_path(url: str) -> Path | None:
    """The path that a URL means on this machine; None for a remote one."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return Path(url).absolute()
    return Path(rest[rest.find("/") :]) if scheme == "file" and "/" in rest else None


def _continue(url: str, target: Path, on_progress: Callable[[int, int | None], None]) -> None:
    part = target.with_name(f"{target.name}.part")
    size = None
    with part.open("ab") as partial:
        for chunk, size in _chunks(url, partial):
            partial.write(chunk)
            on_progress(partial.tell(), size)
        done = partial.tell()
    if size is not None and done != size:
        raise DownloadFailed(f"{url} gave {done} of {size} bytes.")
    if done == 0:
        part.unlink()
        raise DownloadFailed(f"{url} gave no bytes.")
    move_file(part, target)


def _chunks(url: str, partial: IO[bytes]) -> Iterator[tuple[bytes, int | None]]:
    """What `partial` lacks of the file, piece by piece, each with the file's size if known."""
    try:
        try:
            with _opened(url, cache_type="none") as source:
                size: int | None = getattr(source, "size", None)
                if size is not None and partial.tell() > size:
                    partial.seek(0)
                    partial.truncate()
                source.seek(partial.tell())
                yield b"", size
                while chunk := source.read(CHUNK):
                    yield chunk, size
        except ValueError:  # a server that gives no ranges: once more from the beginning
            skip = partial.tell()
            with _opened(url, block_size=0) as source:
                while chunk := source.read(CHUNK):
                    yield chunk[skip:], None
                    skip = max(skip - len(chunk), 0)
    except Exception as error:
        if isinstance(error, FileNotFoundError) and _says_missing(error):
            raise RawFileMissing(f"There is no file {url}.") from error
        raise DownloadFailed(f"{url} broke off: {error}.") from error


@contextmanager
def _opened(url: str, **how: Any) -> Iterator[Any]:
    import aiohttp
    import fsspec

    # aiohttp's own limit is five minutes for a whole transfer.
    patience = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=120)
    options = {"client_kwargs": {"timeout": patience}} if url.startswith("http") else {}
    filesystem, path = fsspec.url_to_fs(url, **options)
    with filesystem.open(path, "rb", **how) as source:
        yield source


def _says_missing(error: FileNotFoundError) -> bool:
    """Whether a source really says so: fsspec makes this of every failure over HTTP."""
    import aiohttp

    if isinstance(error.__cause__, aiohttp.ClientResponseError):
        return error.__cause__.status in (404, 410)
    return not isinstance(error.__cause__, (aiohttp.ClientError, TimeoutError))
