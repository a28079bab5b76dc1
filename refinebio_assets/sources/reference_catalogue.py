"""The reference catalogue: where an organism's transcriptome, and an array's probes, come from.

A YAML file with one entry per organism and per array platform (docs/references.md). An
organism has either `genome` and `annotation` (an Ensembl-style FASTA and GTF), or
`transcripts` and `gene_map` (ready transcript FASTA files and the tables or GTFs that say
which gene each belongs to). A platform has `probes`, and where they are not per gene
already, `genes`.
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
_FILES_OF_PLATFORM = ("probes", "genes", "id_map", "choices")
FROM_TRANSCRIPTOME = "transcriptome"


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

    @property
    def files(self) -> dict[str, tuple[str, ...]]:
        """The files by their key in the catalogue."""
        return {key: getattr(self, key) for key in _FILES}


@dataclass(frozen=True)
class PlatformReference:
    """One array platform's entry; files are paths or URLs.

    `probes` says what lies on the array. `genes` says to which gene its cells belong;
    FROM_TRANSCRIPTOME has that found out by matching the probes to the transcriptome of
    `organism`. `id_map` translates the ids of submitted tables. `choices` (Illumina) names
    the one gene of probes that have several.
    """

    platform: str
    release: str
    organism: str | None
    probes: tuple[str, ...]
    genes: tuple[str, ...] = ()
    id_map: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, tuple[str, ...]]:
        """The files by their key in the catalogue."""
        found = {key: getattr(self, key) for key in _FILES_OF_PLATFORM}
        return {**found, "genes": ()} if self.from_transcriptome else found

    @property
    def from_transcriptome(self) -> bool:
        """Whether the genes are to be found by matching probes to transcripts."""
        return self.genes == (FROM_TRANSCRIPTOME,)


@dataclass(frozen=True)
class Catalogue:
    """What one catalogue file describes."""

    organisms: list[Reference]
    platforms: list[PlatformReference]


def read_reference_catalogue(location: str) -> Catalogue:
    """The organisms and platforms that a catalogue file (path or fsspec URL) describes.

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
    sections = content if isinstance(content, dict) else {}
    if not sections or set(sections) - {"organisms", "platforms"}:
        raise InvalidReference(f"{location} has no mapping named 'organisms' or 'platforms'.")
    folder = location[: location.rfind("/") + 1]
    organisms = [
        _reference(name, entry, location, folder)
        for name, entry in _entries(sections, "organisms", location)
    ]
    platforms = [
        _platform(name, entry, location, folder)
        for name, entry in _entries(sections, "platforms", location)
    ]
    counted = Counter([each.organism for each in organisms] + [each.platform for each in platforms])
    twice = [name for name, times in counted.items() if times > 1]
    if twice:
        raise InvalidReference(f"{location} has {twice[0]} twice.")
    return Catalogue(organisms, platforms)


def _entries(sections: dict[str, Any], kind: str, location: str) -> list[tuple[str, Any]]:
    entries = sections.get(kind, {})
    if not isinstance(entries, dict):
        raise InvalidReference(f"{location}: {kind!r} is not a mapping.")
    return [(str(name), entry) for name, entry in entries.items()]


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


def _platform(name: str, entry: Any, location: str, folder: str) -> PlatformReference:
    where = f"{location}, {name}"
    if not isinstance(entry, dict):
        raise InvalidReference(f"{where} is not a mapping.")
    unknown = [key for key in entry if key not in {*_FILES_OF_PLATFORM, "release", "organism"}]
    if unknown:
        raise InvalidReference(f"{where} has the unknown key {unknown[0]!r}.")
    missing = [key for key in ("release", "probes") if not entry.get(key)]
    if missing:
        raise InvalidReference(f"{where} lacks {', '.join(missing)}.")
    files = {key: _locations(entry.get(key), folder) for key in _FILES_OF_PLATFORM}
    if entry.get("genes") == FROM_TRANSCRIPTOME:
        files["genes"] = (FROM_TRANSCRIPTOME,)
        if not entry.get("organism"):
            raise InvalidReference(f"{where}: genes from the transcriptome need an organism.")
    try:
        return PlatformReference(
            platform=valid_accession(name, what="platform"),
            release=valid_accession(str(entry["release"]), what="release"),
            organism=organism_name(str(entry["organism"])) if entry.get("organism") else None,
            **files,
        )
    except RefinebioError as error:
        raise InvalidReference(f"{where}: {error}") from error


def _locations(value: Any, folder: str) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value] if value else []
    return tuple(
        each if "://" in each or each.startswith("/") else f"{folder}{each}"
        for each in map(str, listed)
    )
