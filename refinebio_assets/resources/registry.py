"""Which sample sheet describes an experiment, which catalogue an organism's reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refinebio_assets.errors import ExperimentNotFound, UnsupportedOrganism
from refinebio_assets.metadata.accessions import valid_accession
from refinebio_assets.resources.downloads import local_path
from refinebio_assets.resources.storage import Storage, read_json

if TYPE_CHECKING:
    from refinebio_assets.sources.records import Experiment
    from refinebio_assets.sources.reference_catalogue import Reference


def register_sample_sheet(storage: Storage, location: str) -> list[Experiment]:
    """Remember a sample sheet for each experiment in it, and return the experiments."""
    from refinebio_assets.sources.local import read_sample_sheet

    location = _absolute(location)
    surveyed = read_sample_sheet(location)
    for each in surveyed:
        path = storage.sample_sheets() / f"{each.experiment}.json"
        storage.write_json(path, {"sample_sheet": location})
    return surveyed


def survey(storage: Storage, experiment: str) -> Experiment:
    """Read an experiment's record again from its source.

    Raises
    ------
    ExperimentNotFound, InvalidSampleSheet
    """
    from refinebio_assets.sources.local import read_sample_sheet

    entry = read_json(storage.sample_sheets() / f"{valid_accession(experiment)}.json")
    if entry is None:
        raise ExperimentNotFound(f"No sample sheet is registered for {experiment}.")
    for each in read_sample_sheet(entry["sample_sheet"]):
        if each.experiment == experiment:
            return each
    raise ExperimentNotFound(f"{entry['sample_sheet']} does not name {experiment} any more.")


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
