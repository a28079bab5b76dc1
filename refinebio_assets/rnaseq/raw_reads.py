"""The manifest of a sample's raw reads: which files, what is in them, proven by digests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from refinebio_assets.stored_file import StoredFile


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
