"""The manifest of a sample's raw data where it is an array: which file, and what kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from refinebio_assets.stored_file import StoredFile

CEL = "CEL"
BEADS = "BEADS"
SUBMITTED = "SUBMITTED"
Kind = Literal["CEL", "BEADS", "SUBMITTED"]


@dataclass(frozen=True)
class RawArray:
    """An Affymetrix CEL file, a table of Illumina bead summaries, or submitted values.

    A table may hold other samples too. `sources` are all files that the sample named,
    of which one was chosen; `columns` names the columns of a table without a header;
    `shared` is true for a file that lies in the experiment's shared folder.
    """

    kind: Kind
    name: str
    file: StoredFile
    sources: tuple[str, ...]
    shared: bool = False
    columns: tuple[str, ...] = ()
    chip_type: str | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.file.path)

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RawArray:
        """The inverse of `to_json`."""
        texts = {name: tuple(content[name]) for name in ("sources", "columns")}
        return cls(**{**content, "file": StoredFile(**content["file"]), **texts})
