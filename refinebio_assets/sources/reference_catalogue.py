"""The reference catalogue: for each organism, where its transcriptome comes from.

A YAML file with one entry per organism (docs/references.md). Either `genome` and
`annotation` (an Ensembl-style FASTA and GTF), or `transcripts` and `gene_map` (ready
transcript FASTA files and the tables or GTFs that say which gene each belongs to).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from refinebio_assets.errors import InvalidReference, RefinebioError
from refinebio_assets.metadata.accessions import valid_accession
from refinebio_assets.metadata.organisms import organism_name

_TEXT = ("database", "release", "assembly")
_FILES = ("genome", "annotation", "transcripts", "gene_map")


@dataclass(frozen=True)
class Reference:
    """One organism's entry; files are paths or URLs."""

    organism: str
    taxonomy_id: int | None
    database: str
    release: str
    assembly: str
    genome: tuple[str, ...] = ()
    annotation: tuple[str, ...] = ()
    transcripts: tuple[str, ...] = ()
    gene_map: tuple[str, ...] = ()

    @property
    def from_genome(self) -> bool:
        """Whether transcripts must be cut out of a genome."""
        return bool(self.genome)


def read_reference_catalogue(location: str) -> list[Reference]:
    """The references that a catalogue file (path or fsspec URL) describes.

    Raises
    ------
    InvalidReference
        If the file cannot be read or an entry is incomplete.
    """
    import fsspec
    import yaml

    try:
        with fsspec.open(location, "rt", encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except Exception as error:
        raise InvalidReference(f"{location} cannot be read: {error}.") from error
    if not isinstance(content, dict) or not isinstance(content.get("organisms"), dict):
        raise InvalidReference(f"{location} has no mapping named 'organisms'.")
    folder = location[: location.rfind("/") + 1]
    references = [
        _reference(str(name), entry, location, folder)
        for name, entry in content["organisms"].items()
    ]
    counted = Counter(each.organism for each in references)
    twice = [name for name, times in counted.items() if times > 1]
    if twice:
        raise InvalidReference(f"{location} has {twice[0]} twice.")
    return references


def _reference(name: str, entry: Any, location: str, folder: str) -> Reference:
    where = f"{location}, {name}"
    if not isinstance(entry, dict):
        raise InvalidReference(f"{where} is not a mapping.")
    unknown = [key for key in entry if key not in {*_TEXT, *_FILES, "taxonomy_id"}]
    if unknown:
        raise InvalidReference(f"{where} has the unknown key {unknown[0]!r}.")
    missing = [key for key in _TEXT if not entry.get(key)]
    if missing:
        raise InvalidReference(f"{where} lacks {', '.join(missing)}.")
    files = {key: _locations(entry.get(key), folder) for key in _FILES}
    has_genome = bool(files["genome"] and files["annotation"])
    has_transcripts = bool(files["transcripts"] and files["gene_map"])
    if has_genome == has_transcripts:
        raise InvalidReference(
            f"{where} needs either genome and annotation, or transcripts and gene_map."
        )
    if has_genome and (len(files["genome"]) > 1 or len(files["annotation"]) > 1):
        raise InvalidReference(f"{where}: one genome and one annotation, please.")
    try:
        return Reference(
            organism=organism_name(name),
            taxonomy_id=int(entry["taxonomy_id"]) if entry.get("taxonomy_id") else None,
            database=str(entry["database"]),
            release=valid_accession(str(entry["release"]), what="release"),
            assembly=str(entry["assembly"]),
            **files,
        )
    except (RefinebioError, ValueError, TypeError, OverflowError) as error:
        raise InvalidReference(f"{where}: {error}") from error


def _locations(value: Any, folder: str) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value] if value else []
    return tuple(
        each if "://" in each or each.startswith("/") else f"{folder}{each}"
        for each in map(str, listed)
    )
