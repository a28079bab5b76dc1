"""A raw file as it lay on disk when it was verified: its size, time and digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

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
