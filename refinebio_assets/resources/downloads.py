"""Fetching a raw file from a URL that fsspec understands; a cut transfer is continued.

Files on this machine are not copied: they are read where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

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

        with disk_full_named(_existing(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            for attempt in stamina.retry_context(on=DownloadFailed, attempts=self.attempts):
                with attempt:
                    _continue(url, target, on_progress)
        return target


def local_path(url: str) -> Path | None:
    """The path that a URL means on this machine; None for a remote one."""
    parts = urlsplit(url)
    if parts.scheme in ("", "file") or "://" not in url:
        return Path(parts.path if parts.scheme == "file" else url).absolute()
    return None


def _continue(url: str, target: Path, on_progress: Callable[[int, int | None], None]) -> None:
    import fsspec

    part = target.with_name(f"{target.name}.part")
    try:
        with fsspec.open(url, "rb") as source, part.open("ab") as partial:
            size: int | None = getattr(source, "size", None)
            done = partial.tell()
            if size is not None and done > size:
                partial.truncate(0)
                done = 0
            if done:
                source.seek(done)
            while chunk := source.read(CHUNK):
                partial.write(chunk)
                done += len(chunk)
                on_progress(done, size)
    except FileNotFoundError as error:
        raise RawFileMissing(f"There is no file {url}.") from error
    except OSError as error:
        if error.errno is not None and not isinstance(error, (ConnectionError, TimeoutError)):
            raise
        raise DownloadFailed(f"{url} broke off: {error}.") from error
    except Exception as error:
        raise DownloadFailed(f"{url} could not be read: {error}.") from error
    if size is not None and done != size:
        raise DownloadFailed(f"{url} gave {done} of {size} bytes.")
    if done == 0:
        part.unlink()
        raise DownloadFailed(f"{url} gave no bytes.")
    move_file(part, target)


def _existing(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.exists())
