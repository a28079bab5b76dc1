"""The probe annotations that are built: of which array, of which release, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from refinebio_assets.errors import MissingProbeAnnotation
from refinebio_assets.resources.references import fingerprint
from refinebio_assets.resources.storage import Storage, read_json

if TYPE_CHECKING:
    from refinebio_assets.sources.reference_catalogue import PlatformReference

RECORD = "platform.json"


@dataclass(frozen=True)
class BuiltAnnotation:
    """A finished probe annotation: `probes.parquet`, and what else `record` counts.

    `kind` is `cells` for arrays read cell by cell (Affymetrix), `beads` for Illumina's.
    """

    platform: str
    release: str
    kind: Literal["cells", "beads"]
    sha256: str
    folder: Path
    record: dict[str, Any]

    @property
    def probes(self) -> Path:
        """The probes (of beads: with sequence, quality and genes)."""
        return self.folder / "probes.parquet"

    @property
    def genes(self) -> Path | None:
        """Which cell belongs to which gene; None where values stay per probe set."""
        path = self.folder / "genes.parquet"
        return path if path.exists() else None

    @property
    def id_map(self) -> Path | None:
        """Which id of a submitted table means which gene; None where that is not known."""
        path = self.folder / "id_map.parquet"
        return path if path.exists() else None


def annotations_of(storage: Storage, platform: str) -> list[BuiltAnnotation]:
    """The annotations of a platform, of every release, the one built last first."""
    built = [
        BuiltAnnotation(
            platform, record["release"], record["kind"], record["sha256"], path.parent, record
        )
        for path in (storage.platforms() / platform).glob(f"*/{RECORD}")
        if (record := read_json(path)) is not None
    ]
    return sorted(built, key=lambda each: str(each.record["created_at"]), reverse=True)


def newest_annotation(storage: Storage, platform: str) -> BuiltAnnotation:
    """The annotation of a platform that was built last.

    Raises
    ------
    MissingProbeAnnotation
    """
    built = annotations_of(storage, platform)
    if not built:
        raise MissingProbeAnnotation(f"{platform} has no probe annotation.")
    return built[0]


def built_annotations(storage: Storage) -> list[BuiltAnnotation]:
    """The newest annotation of every platform that has one."""
    names = {path.parent.parent.name for path in storage.platforms().glob(f"*/*/{RECORD}")}
    return [newest_annotation(storage, name) for name in sorted(names)]


def annotation_is_built(storage: Storage, entry: PlatformReference) -> bool:
    """Whether the platform's annotation was made from this very entry."""
    record = read_json(storage.platform(entry.platform, entry.release) / RECORD)
    return record is not None and record.get("fingerprint") == fingerprint(entry)
