"""The references that are built: which organism has which index, and where it lies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets.errors import MissingIndex, UnsupportedOrganism
from refinebio_assets.resources.downloads import local_path
from refinebio_assets.resources.storage import Storage, read_json

if TYPE_CHECKING:
    from refinebio_assets.sources.reference_catalogue import PlatformReference, Reference

LENGTHS = ("short", "long")
TRANSCRIPTS = "transcripts.fa.gz"
GENE_MAP = "gene_map.parquet"


@dataclass(frozen=True)
class BuiltIndex:
    """A finished Salmon index of an organism's transcriptome."""

    organism: str
    length: str
    folder: Path
    sha256: str
    created_at: str
    database: str
    release: str
    assembly: str


def transcriptome_folder(reference: Path) -> Path:
    """Where the transcripts and the gene map of one release lie."""
    return reference / "transcriptome"


def gene_map_path(reference: Path) -> Path:
    """The gene map of one release."""
    return transcriptome_folder(reference) / GENE_MAP


def index_folder(reference: Path, length: str) -> Path:
    """Where the short or long index of one release lies."""
    return reference / f"salmon_index_{length}"


def transcriptome_record(reference: Path) -> dict[str, Any] | None:
    """What the `transcriptome` asset recorded; None where it is not built."""
    return read_json(transcriptome_folder(reference) / "reference.json")


def newest_transcriptome(storage: Storage, organism: str) -> tuple[dict[str, Any], Path] | None:
    """The record and the reference folder of the transcriptome that was built last."""
    built = [
        (record, reference)
        for reference in (storage.root / "reference" / organism).glob("*")
        if (record := transcriptome_record(reference))
    ]
    return max(built, key=lambda each: str(each[0]["created_at"]), default=None)


def fingerprint(entry: Reference | PlatformReference) -> str:
    """Changes when a catalogue entry, or a local file that it names, changes."""
    stamps = []
    for url in (url for urls in entry.files.values() for url in urls):
        path = local_path(url)
        if path is not None and path.exists():
            stamps.append((path.stat().st_size, path.stat().st_mtime_ns))
    return hashlib.sha256(repr((entry, stamps)).encode()).hexdigest()


def is_built(storage: Storage, entry: Reference) -> bool:
    """Whether transcriptome and both indices were made from this very entry."""
    reference = storage.reference(entry.organism, entry.release)
    record = transcriptome_record(reference)
    return (
        record is not None
        and record.get("fingerprint") == fingerprint(entry)
        and all((index_folder(reference, length) / "index.json").exists() for length in LENGTHS)
    )


def indices_of(storage: Storage, organism: str, length: str) -> list[BuiltIndex]:
    """The organism's indices of that length, of every release, the one built last first."""
    root = storage.root / "reference" / organism
    found = []
    for path in root.glob(f"*/salmon_index_{length}/index.json"):
        record = read_json(path)
        if record is not None:
            found.append(BuiltIndex(**{**record, "folder": path.parent}))
    return sorted(found, key=lambda each: str(each.created_at), reverse=True)


def newest_index(storage: Storage, organism: str, length: str) -> BuiltIndex:
    """The index of that length that was built last.

    Raises
    ------
    UnsupportedOrganism
        If nothing is known of the organism.
    MissingIndex
        If it has no such index yet.
    """
    built = indices_of(storage, organism, length)
    if built:
        return built[0]
    root = storage.root / "reference" / organism
    if not root.exists() and not (storage.reference_catalogues() / f"{organism}.json").exists():
        raise UnsupportedOrganism(f"The reference catalogue has no entry for {organism}.")
    raise MissingIndex(f"{organism} has no {length} Salmon index.")
