"""Fetching raw files; a cut transfer is continued, and nothing is kept that is not whole.

HTTP(S) goes through `resources.http`: its limits, retries and mirror hold here too. FTP
addresses of the large archives are asked over HTTPS, where the same trees are served.
Other schemes (s3, ftp, memory, …) are those that fsspec knows. Files on this machine are
not copied: they are read where they are. Not here: digests, which the callers know.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from refinebio_assets.errors import (
    AccessionAbsent,
    DiskFull,
    DownloadFailed,
    RawFileMissing,
    RefinebioError,
    SourceRefused,
    SourceUnavailable,
    UnsupportedRawFile,
)
from refinebio_assets.resources.answers import TryAgain, broken_off, wants_decoding
from refinebio_assets.resources.http import Http
from refinebio_assets.resources.identity import hidden
from refinebio_assets.resources.mirror import mirrored
from refinebio_assets.resources.storage import disk_full_named, move_file

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 22
OnProgress = Callable[[int, int | None], None]

# Hosts that serve over HTTPS what they serve over FTP; public-sources.md, section 1.
_ALSO_HTTPS = re.compile(
    r"ftp://(?=(ftp\.(sra\.)?ebi\.ac\.uk|ftp\.ncbi\.nlm\.nih\.gov|ftp\.ensembl\.org"
    r"|ftp\.ensemblgenomes\.(ebi\.ac\.uk|org))/)",
    re.IGNORECASE,
)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)\Z")


class Downloads(dg.ConfigurableResource):
    """Transfers over the network."""

    attempts: int = Field(default=5, ge=1, description="Tries for one file.")
    max_bytes: int = Field(
        default=200 << 30, ge=1, description="Largest file that is fetched, in bytes."
    )
    keep_free: int = Field(
        default=1 << 30, ge=0, description="Bytes of the disk that a transfer must leave free."
    )
    connect_timeout: float = Field(default=30, gt=0, description="Seconds to wait for a host.")
    idle_timeout: float = Field(default=120, gt=0, description="Seconds to wait for more bytes.")
    first_wait: float = Field(
        default=1, ge=0, description="Seconds before the second try; later waits grow."
    )

    def fetch(self, url: str | Sequence[str], target: Path, on_progress: OnProgress) -> Path:
        """The file of a URL: where it is, if it is on this machine, else fetched to `target`.

        The bytes arrive in `<target>.part`, which a later call continues if the source's
        file is still the same. Of several URLs, the next is tried where one does not give
        the file.

        Raises
        ------
        RawFileMissing
            If there is no such file at any of them.
        DownloadFailed
            If the transfer broke off on every attempt.
        SourceRefused
            If a source forbids it, or the URL is wrong.
        UnsupportedRawFile
            If it is larger than `max_bytes`.
        DiskFull
            Before the transfer, if the size is known.
        """
        locations = [url] if isinstance(url, str) else list(url)
        if not locations:
            raise RawFileMissing("No location is known for the file.")
        errors: list[RefinebioError] = []
        for location in locations:
            try:
                return self._fetch(location, target, on_progress)
            except DiskFull:
                raise
            except RefinebioError as error:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        # A second try helps if it may help at one of the locations.
        worst = next((error for error in errors if error.transient), errors[-1])
        worst.message += f" {len(errors)} locations were tried."
        raise worst

    def _fetch(self, url: str, target: Path, on_progress: OnProgress) -> Path:
        url = over_https(url)
        place = mirrored(url)
        local = local_path(place)
        if local is not None:
            if not local.is_file():
                raise RawFileMissing(f"There is no file {local}.")
            return local
        http = Http(
            attempts=self.attempts,
            connect_timeout=self.connect_timeout,
            idle_timeout=self.idle_timeout,
            first_wait=self.first_wait,
        )
        over_http = place.startswith(("http://", "https://"))
        with disk_full_named(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                for attempt in http.tries():
                    with attempt, _Part.locked(target) as part:
                        pieces = self._over_http if over_http else self._over_fsspec
                        self._receive(pieces(url, part, http), url, part, on_progress)
            except AccessionAbsent as error:
                raise RawFileMissing(f"There is no file {url}: {error.message}") from None
            except SourceUnavailable as error:
                raise DownloadFailed(error.message) from None
        return target

    def _receive(
        self, chunks: Iterator[bytes], url: str, part: _Part, on_progress: OnProgress
    ) -> None:
        for chunk in chunks:
            part.file.write(chunk)
            on_progress(part.have(), part.size)
            self._check_size(url, part.have(), part)
        done, size = part.have(), part.size
        if size is not None and done != size:
            if done > size:
                part.restart()
            raise TryAgain(f"{url} gave {done} of {size} bytes.")
        if done == 0:
            raise TryAgain(f"{url} gave no bytes.")
        part.finish()

    def _check_size(self, url: str, size: int, part: _Part) -> None:
        if size > self.max_bytes:
            part.restart()
            raise UnsupportedRawFile(
                f"{url} has {size:,} bytes or more; at most {self.max_bytes:,} are fetched.",
                remedy="Raise `max_bytes` of the downloads resource if the file is worth it.",
            )

    def _check_room(self, url: str, part: _Part) -> None:
        """Before the transfer: is the file small enough, and is there room for it?"""
        if part.size is None:
            return
        self._check_size(url, part.size, part)
        missing = part.size - part.have()
        free = shutil.disk_usage(part.target.parent).free
        if missing + self.keep_free > free:
            raise DiskFull(
                f"{url} needs {missing:,} bytes more, and {self.keep_free:,} are to stay free; "
                f"{free:,} are left under {part.target.parent}."
            )

    def _over_http(self, url: str, part: _Part, http: Http) -> Iterator[bytes]:
        with http.ask(url, part.headers(url)) as response:
            about = _About.of(response, url)
            if response.status_code != 200 and not part.is_continued_by(response, about):
                part.restart()
                raise TryAgain(f"{url} is another file than before; it is fetched anew.")
            if response.status_code == 200:
                part.restart()
                part.describe(about)
            self._check_room(url, part)
            if response.status_code == 416:
                return
            decode = wants_decoding(response, url)
            while True:
                with broken_off(url):
                    # read1 gives what has come; read would lose it where the rest never comes
                    chunk = response.raw.read1(CHUNK, decode_content=decode)
                if not chunk:
                    return
                if part.have() == 0 and _is_error_page(response, chunk, url):
                    raise TryAgain(f"{url} gave a web page in the file's place.")
                yield chunk

    def _over_fsspec(self, url: str, part: _Part, _http: Http) -> Iterator[bytes]:
        try:
            with _opened(url, cache_type="none") as source:
                about = _About(url, getattr(source, "size", None))
                if part.about != about:
                    part.restart()
                    part.describe(about)
                self._check_room(url, part)
                source.seek(part.have())
                while chunk := source.read(CHUNK):
                    yield chunk
        except FileNotFoundError:
            raise AccessionAbsent(f"its {url.partition('://')[0]} source says so.") from None
        except RefinebioError:
            raise
        except Exception as error:
            raise TryAgain(f"{url} broke off: {error}.") from error


def local_path(url: str) -> Path | None:
    """The path that a URL means on this machine; None for a remote one."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return Path(url).absolute()
    return Path(rest[rest.find("/") :]) if scheme == "file" and "/" in rest else None


def over_https(url: str) -> str:
    """The HTTPS form of an FTP address of NCBI, EMBL-EBI or Ensembl; others as they are."""
    return _ALSO_HTTPS.sub("https://", url)


# --- the part that is there -----------------------------------------------------------------


@dataclass(frozen=True)
class _About:
    """What identifies the content of a URL as far as the source tells."""

    url: str
    size: int | None = None
    etag: str | None = None
    modified: str | None = None

    @classmethod
    def of(cls, response: requests.Response, url: str) -> _About:
        headers = response.headers
        length = headers.get("Content-Length", "")
        known = length.isdecimal() and not wants_decoding(response, url)
        return cls(
            hidden(url),
            int(length) if known else None,
            headers.get("ETag"),
            headers.get("Last-Modified"),
        )


class _Part:
    """`<target>.part`, and beside it, in `<target>.part.json`, of what it is a part."""

    def __init__(self, target: Path, file: IO[bytes]) -> None:
        self.target, self.file = target, file
        self._note = target.with_name(f"{target.name}.part.json")
        self.about = self._noted()

    @classmethod
    @contextmanager
    def locked(cls, target: Path) -> Iterator[_Part]:
        """The part, which one process at a time may write."""
        path = target.with_name(f"{target.name}.part")
        while True:
            with path.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not _is_still(path, file):
                    continue  # whoever held it has finished the file
                try:
                    yield cls(target, file)
                finally:
                    if _is_still(path, file) and os.fstat(file.fileno()).st_size == 0:
                        path.unlink()
                return

    def have(self) -> int:
        """The bytes that are there: asked of the disk, not remembered."""
        self.file.flush()
        return os.fstat(self.file.fileno()).st_size

    @property
    def size(self) -> int | None:
        """The size of the whole file, if its source tells."""
        return self.about.size if self.about else None

    def headers(self, url: str) -> dict[str, str]:
        """Ask for what is missing, if the file is the one that was begun."""
        plain = {"Accept-Encoding": "identity"}
        if self.have() == 0 or self.about is None or self.about.url != hidden(url):
            return plain
        validator = self.about.etag
        if validator is None or validator.startswith("W/"):
            validator = self.about.modified
        condition = {"If-Range": validator} if validator else {}
        return {**plain, **condition, "Range": f"bytes={self.have()}-"}

    def is_continued_by(self, response: requests.Response, about: _About) -> bool:
        """Whether an answer with status 206 or 416 belongs to the bytes that are there."""
        told = response.headers.get("Content-Range", "")
        if self.about is None:
            return False
        for mine, theirs in (
            (self.about.etag, about.etag),
            (self.about.modified, about.modified),
        ):
            if mine and theirs and mine != theirs:
                return False
        if response.status_code == 416:
            return told == f"bytes */{self.have()}" and self.size == self.have()
        match = _RANGE.match(told)
        if match is None or self.size is None:
            return False
        first, last, total = map(int, match.groups())
        return (first, last + 1, total) == (self.have(), self.size, self.size)

    def describe(self, about: _About) -> None:
        """Note of what the part is one."""
        self.about = about
        self._note.write_text(json.dumps(asdict(about)))

    def restart(self) -> None:
        """Forget what is there."""
        self.file.flush()
        self.file.truncate(0)
        self.about = None
        self._note.unlink(missing_ok=True)

    def finish(self) -> None:
        """It is whole: give it its name."""
        self.file.flush()
        move_file(Path(self.file.name), self.target)
        self._note.unlink(missing_ok=True)

    def _noted(self) -> _About | None:
        try:
            noted = json.loads(self._note.read_text())
            return _About(**noted)
        except (FileNotFoundError, ValueError, TypeError):
            return None


def _is_still(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _is_error_page(response: requests.Response, chunk: bytes, url: str) -> bool:
    """Whether a service answers 200 with words for people (an outage, a private record)."""
    named_html = url.lower().partition("?")[0].endswith((".html", ".htm"))
    says_html = "html" in response.headers.get("Content-Type", "").lower()
    beginning = chunk[:256].lstrip().lower()
    return says_html and not named_html and beginning.startswith((b"<!doctype html", b"<html"))


@contextmanager
def _opened(url: str, **how: Any) -> Iterator[Any]:
    import fsspec

    try:
        filesystem, path = fsspec.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise SourceRefused(f"{url} cannot be fetched: {error}.") from None
    with filesystem.open(path, "rb", **how) as source:
        yield source
