"""The quantile-normalisation targets that are made: their versions, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets.errors import MissingTarget
from refinebio_assets.resources.storage import Storage, read_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RECORD = "target.json"
NUMBERS = "target.tsv"


@dataclass(frozen=True)
class BuiltTarget:
    """One version of an organism's target; `record` has the columns of `tables.QN_TARGETS`."""

    organism: str
    version: int
    sha256: str
    folder: Path
    record: dict[str, Any]

    @property
    def path(self) -> Path:
        """The target as one number per line, ascending."""
        return self.folder / NUMBERS

    def numbers(self) -> NDArray[np.float64]:
        """The target, ascending."""
        from refinebio_assets.matrix.quantile import read_target

        return read_target(self.path)


def targets_of(storage: Storage, organism: str) -> list[BuiltTarget]:
    """All versions of an organism's target, the oldest first."""
    found = []
    for path in storage.qn_targets(organism).glob(f"*/{RECORD}"):
        record = read_json(path)
        if record is not None:
            found.append(
                BuiltTarget(organism, record["version"], record["sha256"], path.parent, record)
            )
    return sorted(found, key=lambda each: each.version)


def newest_target(storage: Storage, organism: str) -> BuiltTarget:
    """The organism's current target.

    Raises
    ------
    MissingTarget
    """
    found = targets_of(storage, organism)
    if not found:
        raise MissingTarget(f"{organism} has no quantile-normalisation target.")
    return found[-1]


def all_targets(storage: Storage) -> list[BuiltTarget]:
    """Every version of every organism."""
    folders = sorted((storage.root / "qn_targets").glob("*"))
    return [each for folder in folders for each in targets_of(storage, folder.name)]
