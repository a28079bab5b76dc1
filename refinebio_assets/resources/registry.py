"""Where an experiment's record comes from, and an organism's reference: sheets, catalogues,
public sources.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refinebio_assets.errors import ExperimentNotFound, UnsupportedOrganism
from refinebio_assets.metadata.accessions import source_of, valid_accession
from refinebio_assets.resources.downloads import local_path
from refinebio_assets.resources.storage import Storage, read_json

if TYPE_CHECKING:
    from refinebio_assets.sources.records import Experiment
    from refinebio_assets.sources.reference_catalogue import Reference
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


def survey(storage: Storage, accession: str, web: Web) -> Experiment:
    """Read an experiment's record from its source, corrected by the override file if any.

    A registered sample sheet comes first; otherwise the form of the accession tells the
    public source. A sample's or run's accession gives the experiment that it belongs to.

    Raises
    ------
    ExperimentNotFound, InvalidSampleSheet, InvalidOverrides
    AccessionAbsent, SourceUnavailable, SourceRefused, SourceAnswerInvalid
    """
    from refinebio_assets.metadata.overrides import read_overrides

    entry = read_json(storage.sample_sheets() / f"{valid_accession(accession)}.json")
    found = _in_sheet(entry["sample_sheet"], accession) if entry else _public(accession, web)
    overrides = storage.metadata_overrides()
    return read_overrides(overrides).apply(found) if overrides.exists() else found


def _in_sheet(sheet: str, accession: str) -> Experiment:
    from refinebio_assets.sources.local import read_sample_sheet

    for each in read_sample_sheet(sheet):
        if each.experiment == accession:
            return each
    raise ExperimentNotFound(f"{sheet} does not name {accession} any more.")


def _public(accession: str, web: Web) -> Experiment:
    from refinebio_assets.sources import arrayexpress, geo, sra

    surveyors = {"GEO": geo.survey, "SRA": sra.survey, "ARRAY_EXPRESS": arrayexpress.survey}
    source = source_of(accession)
    if source is None:
        raise ExperimentNotFound(f"No sample sheet is registered for {accession}.")
    return surveyors[source](accession, web)


def register_references(storage: Storage, location: str) -> list[Reference]:
    """Remember a reference catalogue for each organism in it, and return its entries."""
    from refinebio_assets.sources.reference_catalogue import read_reference_catalogue

    location = _absolute(location)
    references = read_reference_catalogue(location)
    for each in references:
        path = storage.reference_catalogues() / f"{each.organism}.json"
        storage.write_json(path, {"catalogue": location})
    return references


def reference_entry(storage: Storage, organism: str) -> Reference:
    """The catalogue's entry for an organism.

    Raises
    ------
    UnsupportedOrganism, InvalidReference
    """
    from refinebio_assets.sources.reference_catalogue import read_reference_catalogue

    entry = read_json(storage.reference_catalogues() / f"{organism}.json")
    found = read_reference_catalogue(entry["catalogue"]) if entry else []
    for each in found:
        if each.organism == organism:
            return each
    raise UnsupportedOrganism(f"The reference catalogue has no entry for {organism}.")


def _absolute(location: str) -> str:
    path = local_path(location)
    return str(path) if path is not None else location
