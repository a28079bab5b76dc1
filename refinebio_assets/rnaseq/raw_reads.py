"""The manifest of a sample's raw reads: which files, what is in them, proven by digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

CHUNK = 1 << 22


@dataclass(frozen=True)
class StoredFile:
    """A file as it lay on disk when it was verified.

    `fetched` is true for a copy that this platform made and may drop after use; a file of
    the user's own is read where it is and never touched.
    """

    source_url: str
    path: str
    bytes: int
    modified_ns: int
    sha256: str
    md5: str
    fetched: bool

    def is_unchanged(self) -> bool:
        """Whether the file is still there with the same size and time."""
        try:
            found = Path(self.path).stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.bytes, self.modified_ns)


@dataclass(frozen=True)
class RawReads:
    """A sample's verified reads. `reads` counts pairs where the layout is PAIRED."""

    format: Literal["FASTQ", "SRA"]
    layout: Literal["SINGLE", "PAIRED"]
    files: tuple[StoredFile, ...]
    reads: int
    bases: int
    mean_length: float
    discarded: tuple[str, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """The read files: one, or mate 1 and mate 2."""
        return [Path(file.path) for file in self.files]

    @property
    def sha256(self) -> list[str]:
        """The digest of every file."""
        return [file.sha256 for file in self.files]

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RawReads:
        """The inverse of `to_json`."""
        files = tuple(StoredFile(**file) for file in content["files"])
        return cls(**{**content, "files": files, "discarded": tuple(content["discarded"])})


def digest_file(path: Path, source_url: str, *, fetched: bool) -> StoredFile:
    """Read a file once and record its size, time and digests."""
    found = path.stat()
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    return StoredFile(
        source_url=source_url,
        path=str(path),
        bytes=found.st_size,
        modified_ns=found.st_mtime_ns,
        sha256=sha256.hexdigest(),
        md5=md5.hexdigest(),
        fetched=fetched,
    )
