"""Where an experiment's record comes from, and an organism's reference: sheets, catalogues,
public sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from refinebio_assets.errors import (
    ExperimentNotFound,
    InvalidSampleSheet,
    MissingProbeAnnotation,
    SourceAnswerInvalid,
    UnsupportedOrganism,
)
from refinebio_assets.metadata.accessions import source_of, valid_accession
from refinebio_assets.resources.downloads import local_path
from refinebio_assets.resources.settings import KEEP_DOCUMENTS, read_keep_documents
from refinebio_assets.resources.storage import Storage, read_json

if TYPE_CHECKING:
    from refinebio_assets.resources.documents import Document, Recorder
    from refinebio_assets.sources.records import Experiment
    from refinebio_assets.sources.reference_catalogue import (
        Catalogue,
        PlatformReference,
        Reference,
    )
    from refinebio_assets.sources.web import Web


def register_sample_sheet(storage: Storage, location: str) -> list[Experiment]:
    """Remember a sample sheet for each experiment in it, and return the experiments."""
    from refinebio_assets.sources.local import read_sample_sheet

    location = _absolute(location)
    surveyed = read_sample_sheet(location)
    for each in surveyed:
        path = storage.sample_sheets() / f"{each.experiment}.json"
        storage.write_json(path, {"sample_sheet": location})
    return surveyed


@dataclass(frozen=True)
class Finding:
    """What a survey found: the record, the answers that were kept, and what ENA no longer has.

    `missing_fields` are names that a run's record would have been asked for.
    """

    experiment: Experiment
    documents: tuple[Document, ...] = ()
    missing_fields: tuple[str, ...] = ()


def survey(storage: Storage, accession: str, web: Web) -> Experiment:
    """The record alone of what `look_up` finds."""
    return look_up(storage, accession, web).experiment


def look_up(storage: Storage, accession: str, web: Web) -> Finding:
    """Read an experiment's record from its source, corrected by the override file if any.

    A registered sample sheet comes first; otherwise the form of the accession tells the
    public source. A sample's or run's accession gives the experiment that it belongs to.
    The answers that were read (or the sheet) are kept, unless the settings say otherwise.

    Raises
    ------
    ExperimentNotFound, InvalidSampleSheet, InvalidOverrides, InvalidSettings
    AccessionAbsent, SourceUnavailable, SourceRefused, SourceAnswerInvalid
    """
    from refinebio_assets.resources.documents import advise, recording

    entry = read_json(storage.sample_sheets() / f"{valid_accession(accession)}.json")
    sheet = entry["sample_sheet"] if entry else None
    if not read_keep_documents(storage):
        try:
            return _look_up(storage, accession, sheet, web)
        except SourceAnswerInvalid as error:
            advise(error, f"Its answers are kept with `{KEEP_DOCUMENTS}: true` in settings.yaml.")
            raise
    with recording(storage, accession, web) as recorder:
        found = _look_up(storage, accession, sheet, recorder)
        if sheet:
            _copy_sheet(sheet, found.experiment.source_sha256, recorder)
        recorder.publish(storage, found.experiment.experiment)
        return replace(found, documents=tuple(recorder.documents))


def _look_up(storage: Storage, accession: str, sheet: str | None, web: Web) -> Finding:
    from refinebio_assets.metadata.overrides import read_overrides

    found = Finding(_in_sheet(sheet, accession)) if sheet else _public(accession, web)
    overrides = storage.metadata_overrides()
    if not overrides.exists():
        return found
    return replace(found, experiment=read_overrides(overrides).apply(found.experiment))


def _in_sheet(sheet: str, accession: str) -> Experiment:
    from refinebio_assets.sources.local import read_sample_sheet

    for each in read_sample_sheet(sheet):
        if each.experiment == accession:
            return each
    raise ExperimentNotFound(f"{sheet} does not name {accession} any more.")


def _copy_sheet(sheet: str, sha256: str, recorder: Recorder) -> None:
    with recorder.written(sheet) as document:
        for piece in _content(sheet):
            document.write(piece)
        document.is_whole = True
    if document.digest() != sha256:
        raise InvalidSampleSheet(f"{sheet} changed while it was read.", remedy="Survey it again.")


def _content(location: str) -> Iterator[bytes]:
    import fsspec

    try:
        with fsspec.open(location, "rb") as file:
            while piece := file.read(1 << 20):
                yield piece
    except Exception as error:
        raise InvalidSampleSheet(f"{location} cannot be read: {error}.") from error


def _public(accession: str, web: Web) -> Finding:
    from refinebio_assets.sources import arrayexpress, ena, geo, sra

    source = source_of(accession)
    if source is None:
        raise ExperimentNotFound(f"No sample sheet is registered for {accession}.")
    if source == "GEO":
        return Finding(geo.survey(accession, web))
    if source == "ARRAY_EXPRESS":
        return Finding(arrayexpress.survey(accession, web))
    fields = ena.negotiate(ena.available_fields(web))
    return Finding(sra.survey(accession, web, fields=fields), missing_fields=fields.missing)


def register_references(storage: Storage, location: str) -> Catalogue:
    """Remember a reference catalogue for each organism and platform in it; return its entries."""
    from refinebio_assets.sources.reference_catalogue import read_reference_catalogue

    location = _absolute(location)
    found = read_reference_catalogue(location)
    names = [each.organism for each in found.organisms]
    for name in (*names, *(each.platform for each in found.platforms)):
        path = storage.reference_catalogues() / f"{name}.json"
        storage.write_json(path, {"catalogue": location})
    return found


def reference_entry(storage: Storage, organism: str) -> Reference:
    """The catalogue's entry for an organism.

    Raises
    ------
    UnsupportedOrganism, InvalidReference
    """
    catalogue = _catalogue_of(storage, organism)
    for each in catalogue.organisms if catalogue else ():
        if each.organism == organism:
            return each
    raise UnsupportedOrganism(f"The reference catalogue has no entry for {organism}.")


def platform_entry(storage: Storage, platform: str) -> PlatformReference:
    """The catalogue's entry for an array platform.

    Raises
    ------
    MissingProbeAnnotation, InvalidReference
    """
    catalogue = _catalogue_of(storage, platform)
    for each in catalogue.platforms if catalogue else ():
        if each.platform == platform:
            return each
    raise MissingProbeAnnotation(f"The reference catalogue has no entry for {platform}.")


def _catalogue_of(storage: Storage, name: str) -> Catalogue | None:
    from refinebio_assets.sources.reference_catalogue import read_reference_catalogue

    entry = read_json(storage.reference_catalogues() / f"{name}.json")
    return read_reference_catalogue(entry["catalogue"]) if entry else None


def _absolute(location: str) -> str:
    path = local_path(location)
    return str(path) if path is not None else location
