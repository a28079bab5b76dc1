"""The answers that a survey read, kept as they came beside the records that were made of them.

`documents/<EXPERIMENT>/` in REFINEBIO_HOME holds those of the last survey that succeeded,
`documents/<EXPERIMENT>.rejected/` those of a survey that ended at an answer it could not
read: gzip files (what came as gzip is left so), and `index.json`, which has an entry for
each answer, in the order of asking. Answers stream to the disk while they are read. Not
here: whether they are kept at all (`resources.settings`), and asking (`resources.http`).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, BinaryIO, Literal

from isal import isal_zlib

from refinebio_assets.compression import is_gzip
from refinebio_assets.errors import RefinebioError, SourceAnswerInvalid
from refinebio_assets.metadata.accessions import valid_accession
from refinebio_assets.resources.http import with_query
from refinebio_assets.resources.identity import hidden
from refinebio_assets.resources.storage import Storage
from refinebio_assets.sources.web import Web

MOST_BYTES = 1 << 30
"""What the answers of one experiment may take on the disk; what would exceed it is not kept."""
TOO_LARGE = "not kept: too large"
CUT = "not read to its end"

_PIECE = 1 << 20
_HEAD = 512
_GZIP = 31  # window bits that mean: as gzip
_LONGEST_NAME = 100
_PERSONAL = re.compile(
    r"(?i)([?&;](?:api_?key|email|tool|[^=&;#]*(?:token|signature|secret|password|credential)"
    r"[^=&;#]*)=)[^&;#]*"
)
_LOGIN = re.compile(r"(://)[^/?#]*@")


@dataclass(frozen=True)
class Document:
    """One answer: what was asked, what came, and the file that holds it.

    `bytes` and `sha256` are of the answer, not of its compressed file; `content_type` is
    judged by its first bytes. `file` is None, and `note` says why, if it is not kept;
    `note` also says that the survey stopped reading before the end.
    """

    url: str
    file: str | None
    bytes: int
    sha256: str
    content_type: str
    fetched_at: str
    note: str | None = None


class Recorder:
    """A web that keeps in a folder what is read through it (`sources.web.Web`)."""

    def __init__(self, web: Web, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.documents: list[Document] = []
        self._web, self._folder, self._left = web, folder, most_bytes

    def get(self, url: str, params: Mapping[str, str] | None = None) -> bytes:
        """As `Web.get`."""
        body = self._web.get(url, params)
        with self.written(with_query(url, params)) as document:
            document.write(body)
            document.is_whole = True
        return body

    def open(self, url: str) -> AbstractContextManager[BinaryIO]:
        """As `Web.open`."""
        return self._opened(url)

    @contextmanager
    def _opened(self, url: str) -> Iterator[BinaryIO]:
        with self._web.open(url) as stream, self.written(url) as document:
            copied = io.BufferedReader(_Copied(stream, document), _PIECE)
            try:
                yield copied
            except SourceAnswerInvalid:  # whoever looks at it wants the rest too
                with suppress(RefinebioError):
                    while not document.is_too_large and copied.read(_PIECE):
                        pass
                raise

    @contextmanager
    def written(self, url: str) -> Iterator[Written]:
        """A document to be filled with what is found at a place; listed also if that fails."""
        name = f"{len(self.documents) + 1:04d}-{_last_part(redacted(url))}"
        asked_at = datetime.now(UTC).isoformat(timespec="seconds")
        with (self._folder / name).open("wb") as file:
            document = Written(file, self._left)
            try:
                yield document
            finally:
                document.finish()
                self._left -= document.stored
                self.documents.append(
                    Document(
                        url=redacted(url),
                        file=None if document.is_too_large else name,
                        bytes=document.bytes,
                        sha256=document.digest(),
                        content_type=content_type(document.head),
                        fetched_at=asked_at,
                        note=_note(document),
                    )
                )

    def publish(self, storage: Storage, experiment: str) -> None:
        """Make these the documents of an experiment; earlier ones, rejected ones too, are gone."""
        self._publish(storage, folder_of(storage, experiment))
        shutil.rmtree(folder_of(storage, experiment, "rejected"), ignore_errors=True)

    def reject(self, storage: Storage, accession: str) -> Path:
        """Keep these aside of an experiment's documents; returns where."""
        final = folder_of(storage, accession, "rejected")
        self._publish(storage, final)
        return final

    def _publish(self, storage: Storage, final: Path) -> None:
        with storage.publish_folder(final) as staged:
            for each in self.documents:
                if each.file is not None:
                    (self._folder / each.file).rename(staged / each.file)
            index = {"documents": [asdict(each) for each in self.documents]}
            (staged / "index.json").write_text(json.dumps(index, indent=1) + "\n")


@contextmanager
def recording(storage: Storage, accession: str, web: Web) -> Iterator[Recorder]:
    """A recorder for one survey; the caller publishes what it holds.

    Raises
    ------
    SourceAnswerInvalid
        That of the survey: the answers are kept first, and the remedy says where.
    """
    with storage.staging() as folder:
        recorder = Recorder(web, folder)
        try:
            yield recorder
        except SourceAnswerInvalid as error:
            if not recorder.documents:
                raise
            where = recorder.reject(storage, accession)
            advise(error, f"Look at the answers kept in {where}; the source may have changed.")
            raise
        shutil.rmtree(folder_of(storage, accession, "rejected"), ignore_errors=True)


def advise(error: SourceAnswerInvalid, remedy: str) -> None:
    """Give the error a remedy, unless it has one of its own."""
    if error.remedy == SourceAnswerInvalid.remedy:
        error.remedy = remedy  # type: ignore[misc]  # an instance may know better advice


def folder_of(storage: Storage, experiment: str, kind: Literal["", "rejected"] = "") -> Path:
    """The folder of an experiment's documents, or of those rejected."""
    name = valid_accession(experiment)
    return storage.root / "documents" / (f"{name}.{kind}" if kind else name)


def redacted(url: str) -> str:
    """A URL without what is personal: keys, e-mail addresses, signatures, logins."""
    return hidden(_LOGIN.sub(r"\1", _PERSONAL.sub(r"\1…", url)))


def content_type(head: bytes) -> str:
    """What a document's first bytes say that it is."""
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return "application/x-empty"
    if is_gzip(head):
        return "application/gzip"
    if begin[:1] in (b"{", b"["):
        return "application/json"
    if begin.startswith((b"<!doctype html", b"<html")):
        return "text/html"
    if begin[:1] == b"<":
        return "application/xml"
    return "application/octet-stream" if b"\0" in head else "text/plain"


# --- while an answer is read ------------------------------------------------------------------


class Written:
    """A document on its way to the disk: compressed if it is not, dropped if it is too large."""

    def __init__(self, file: IO[bytes], most_bytes: int) -> None:
        self.bytes = 0
        self.stored = 0
        self.head = b""
        self.is_whole = False
        self.is_too_large = False
        self._file, self._most = file, most_bytes
        self._sha256 = hashlib.sha256()
        self._gzip = isal_zlib.compressobj(wbits=_GZIP)

    def write(self, content: bytes) -> None:
        """Take the next bytes."""
        self._sha256.update(content)
        self.bytes += len(content)
        missing = _HEAD - len(self.head)
        if missing > 0:
            self.head += content[:missing]
            if len(self.head) < _HEAD:
                return
            self._store(self.head)
            content = content[missing:]
        for start in range(0, len(content), _PIECE):
            self._store(content[start : start + _PIECE])

    def finish(self) -> None:
        """No more comes."""
        if len(self.head) < _HEAD:
            self._store(self.head)
        if not is_gzip(self.head):
            self._write(self._gzip.flush())

    def digest(self) -> str:
        """The SHA-256 of what came."""
        return self._sha256.hexdigest()

    def _store(self, piece: bytes) -> None:
        self._write(piece if is_gzip(self.head) else self._gzip.compress(piece))

    def _write(self, data: bytes) -> None:
        if self.stored + len(data) > self._most:
            self.is_too_large = True
            self.stored = 0
            self._file.truncate(0)
        if not self.is_too_large:
            self._file.write(data)
            self.stored += len(data)


class _Copied(io.RawIOBase):
    """A stream, of which what is read is written as well."""

    def __init__(self, stream: BinaryIO, document: Written) -> None:
        super().__init__()
        self._stream, self._document = stream, document

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        self._document.write(piece)
        self._document.is_whole |= not piece
        return len(piece)


def _note(document: Written) -> str | None:
    if document.is_too_large:
        return TOO_LARGE
    return None if document.is_whole else CUT


def _last_part(url: str) -> str:
    """The end of a URL's path as a file name that ends with .gz."""
    path = re.split(r"[?#]", url, maxsplit=1)[0].rstrip("/")
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", path.rpartition("/")[2])[-_LONGEST_NAME:]
    return name if name.endswith((".gz", ".tgz")) else f"{name}.gz"
