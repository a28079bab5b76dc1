"""The metadata files of a dataset: JSON documents and tables of its experiments and samples.

Names, fields and their order are refine.bio's. In the tables, samples stand in the order of
the matrix's columns; samples of the experiment that are in another matrix of the dataset
follow. Where refine.bio leaves the samples that fail while matrices are made in the metadata,
here they are filtered samples, as `refinebio_assets.publish.records` has them. Documents and
tables are written sample by sample: beside the records, some hundred bytes a sample are held.
Not here: the values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from refinebio_assets.publish.json_files import Elements, Members, write_json
from refinebio_assets.publish.metadata_table import OWN_PREFIX, annotation_cells, write_table
from refinebio_assets.publish.recipe import Recipe
from refinebio_assets.publish.records import ExperimentRecord, FilteredSample, SampleRecord
from refinebio_assets.tables import HARMONISED_FIELDS

AGGREGATED: Final = "aggregated_metadata.json"
FILTERED: Final = "filtered_samples_metadata"

_ACCESSION: Final = "refinebio_accession_code"
_EXPERIMENT: Final = "experiment_accession"
_ANNOTATIONS: Final = "refinebio_annotations"
_MOMENT: Final = "%Y-%m-%dT%H:%M:%S"


@dataclass(frozen=True)
class DistributionCheck:
    """What the Kolmogorov-Smirnov check after quantile normalisation found."""

    statistic: float | None = None
    p_value: float | None = None
    warning: str | None = None


@dataclass(frozen=True)
class DatasetMetadata:
    """All that a dataset says of itself.

    Attributes
    ----------
    recipe
        With the samples that are meant in place of ALL.
    created_at
        With its time zone.
    experiments
        Those of the recipe, in its order.
    samples
        Those that are delivered, each once, in the recipe's order.
    groups
        Experiment, organism or ALL -> the samples of its matrix, in order.
    filtered
        Those that were asked for and left out.
    check
        None where samples were not normalised.
    compendium_version
        Of a compendium, where by SPECIES the groups alone say which table a sample is in:
        organisms of a genus are together.
    """

    recipe: Recipe
    created_at: datetime
    experiments: Sequence[ExperimentRecord]
    samples: Sequence[SampleRecord]
    groups: Mapping[str, Sequence[str]]
    filtered: Sequence[FilteredSample] = ()
    check: DistributionCheck | None = None
    compendium_version: int | None = None

    def created(self) -> str:
        """When it was made, in UTC, as all files say it."""
        return _moment(self.created_at)


@dataclass(frozen=True)
class WrittenMetadata:
    """The files that were written, by their names in the archive, in its order.

    `warnings` say in words what of the submitted could not be shown in the tables.
    """

    files: dict[str, Path]
    warnings: list[str]


def write_metadata(
    dataset: DatasetMetadata, folder: Path, *, most_submitted: int | None = None
) -> WrittenMetadata:
    """Write all metadata files of a dataset.

    Parameters
    ----------
    dataset
        What they are to say.
    folder
        Where they go, under the names that they have in the archive.
    most_submitted
        How many columns the tables may have of what was submitted: those that most samples
        have (of equally common ones the first by name).

    Raises
    ------
    ValueError
        `created_at` has no time zone.
    """
    created = dataset.created()
    asked_under = _asked_under(dataset.recipe)
    places = {each.accession: place for place, each in enumerate(dataset.samples)}
    files: dict[str, Path] = {}

    def target(name: str) -> Path:
        files[name] = folder / name
        files[name].parent.mkdir(parents=True, exist_ok=True)
        return files[name]

    def objects(names: Iterable[str]) -> Iterable[dict[str, Any]]:
        return (sample_object(dataset.samples[places[name]]) for name in names)

    ordered = sorted(places)
    samples = Members(zip(ordered, objects(ordered), strict=True))
    write_json(target(AGGREGATED), _aggregated(dataset, created, samples, places))
    if dataset.filtered:
        _write_filtered(dataset, asked_under, most_submitted, target)
    columns = _columns(
        (_row(sample_object(each), asked_under, each) for each in dataset.samples), most_submitted
    )
    for group, names in _table_groups(dataset, places).items():
        safe = file_name(group)
        records = (dataset.samples[places[name]] for name in names)
        rows = (_row(sample_object(each), asked_under, each) for each in records)
        columns.write(target(f"{safe}/metadata_{safe}.tsv"), rows)
        if dataset.recipe.aggregate_by == "SPECIES":
            document = {"species": group, "samples": Elements(objects(names))}
            write_json(target(f"{safe}/metadata_{safe}.json"), document)
    return WrittenMetadata(files, columns.warnings())


def sample_object(sample: SampleRecord) -> dict[str, Any]:
    """What refine.bio's metadata say of a sample."""
    processor = sample.processor
    made_by = (
        {
            "refinebio_processor_id": processor.id,
            "refinebio_processor_name": processor.name,
            "refinebio_processor_version": processor.version,
        }
        if processor
        else {}
    )
    return {
        "refinebio_title": sample.title,
        _ACCESSION: sample.accession,
        "refinebio_organism": sample.organism,
        "refinebio_source_database": sample.source_database,
        "refinebio_source_archive_url": sample.source_archive_url,
        **{
            f"{OWN_PREFIX}{each.name}": sample.harmonised.get(each.name, "")
            for each in HARMONISED_FIELDS
        },
        "refinebio_platform": sample.platform,
        "refinebio_processed": sample.processed,
        _ANNOTATIONS: list(sample.annotations),
        **made_by,
    }


def file_name(group: str) -> str:
    """A group's name as it may name files and folders: what isn't ASCII is dropped."""
    return group.encode("ascii", "ignore").decode()


# --- documents ------------------------------------------------------------------------


def _aggregated(
    dataset: DatasetMetadata, created: str, samples: Members, delivered: Mapping[str, int]
) -> dict[str, Any]:
    recipe, check = dataset.recipe, dataset.check or DistributionCheck()
    left_out = {each.sample.accession for each in dataset.filtered} - delivered.keys()
    of_matrices = {
        "aggregate_by": recipe.aggregate_by,
        "scale_by": recipe.scale_by,
        "quantile_normalized": recipe.quantile_normalize,
        "ks_statistic": check.statistic,
        "ks_pvalue": check.p_value,
        "ks_warning": check.warning,
    }
    experiments = {each.accession: each for each in dataset.experiments}
    version = dataset.compendium_version
    return {
        "num_experiments": len(dataset.experiments),
        "num_samples": len(delivered),
        "quant_sf_only": recipe.quant_sf_only,
        "created_at": created,
        "samples": samples,
        "experiments": Members(
            (name, _experiment_object(experiments[name], left_out)) for name in sorted(experiments)
        ),
        **({} if recipe.quant_sf_only else of_matrices),
        **({} if version is None else {"compendium_version": version}),
    }


def _experiment_object(experiment: ExperimentRecord, left_out: set[str]) -> dict[str, Any]:
    return {
        "title": experiment.title,
        "accession_code": experiment.accession,
        "organisms": list(experiment.organisms),
        "sample_accession_codes": [each for each in experiment.samples if each not in left_out],
        "description": experiment.description,
        "protocol_description": experiment.protocol_description,
        "technology": experiment.technology,
        "submitter_institution": experiment.submitter_institution,
        "has_publication": experiment.has_publication,
        "publication_title": experiment.publication_title,
        "publication_doi": experiment.publication_doi,
        "pubmed_id": experiment.pubmed_id,
        "source_first_published": _moment(experiment.source_first_published),
        "source_last_modified": _moment(experiment.source_last_modified),
    }


def _moment(moment: datetime | None) -> str:
    if moment is None:
        return ""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone.")
    return moment.astimezone(UTC).strftime(_MOMENT)


# --- tables ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """A sample's own fields, and the cells of what was submitted."""

    fields: Mapping[str, Any]
    submitted: Mapping[str, str]


def _row(fields: Mapping[str, Any], asked_under: Mapping[str, str], sample: SampleRecord) -> _Row:
    own = {name: value for name, value in fields.items() if name != _ANNOTATIONS}
    experiment = asked_under.get(sample.accession, "")
    return _Row({**own, _EXPERIMENT: experiment}, annotation_cells(sample.annotations))


@dataclass(frozen=True)
class _Columns:
    """Accession and experiment, the other fields sorted, then what was submitted, sorted.

    What is submitted under the name of a field has no column (`hidden`: name -> samples),
    nor have the rarest of the rest where there are too many (`rare`: how many).
    """

    fields: tuple[str, ...]
    submitted: tuple[str, ...]
    hidden: Mapping[str, int]
    rare: int

    def write(self, path: Path, rows: Iterable[_Row]) -> None:
        fields = set(self.fields)
        cells = (
            {
                **{name: text for name, text in row.submitted.items() if name not in fields},
                **row.fields,
            }
            for row in rows
        )
        write_table(path, [*self.fields, *self.submitted], cells)

    def warnings(self) -> list[str]:
        told = [
            f"The submitted key {name!r} (samples: {number}) is called like a field of the "
            f"dataset: it is in {AGGREGATED} only."
            for name, number in sorted(self.hidden.items())
        ]
        if self.rare:
            told.append(
                f"Of {len(self.submitted) + self.rare:,} submitted keys the tables have the "
                f"{len(self.submitted):,} that most samples have; all are in {AGGREGATED}."
            )
        return told


def _columns(rows: Iterable[_Row], most_submitted: int | None) -> _Columns:
    first = (_ACCESSION, _EXPERIMENT)
    fields: set[str] = set()
    named: Counter[str] = Counter()
    for row in rows:
        fields.update(row.fields)
        named.update(row.submitted.keys())
    hidden = {name for name in named if name in fields or name.startswith(OWN_PREFIX)}
    ranked = sorted(named.keys() - hidden, key=lambda name: (-named[name], name))
    shown = ranked[:most_submitted]
    return _Columns(
        fields=(*first, *sorted(fields.difference(first))),
        submitted=tuple(sorted(shown)),
        hidden={name: named[name] for name in hidden},
        rare=len(ranked) - len(shown),
    )


def _table_groups(dataset: DatasetMetadata, places: Mapping[str, int]) -> dict[str, list[str]]:
    """The samples of each table, those of the matrix first.

    A sample that two experiments have is in the tables of both, whichever it was asked for
    under.
    """
    by = dataset.recipe.aggregate_by
    members: dict[str, list[str]] = {}
    if by == "ALL":
        members["ALL"] = list(places)
    elif by == "SPECIES" and dataset.compendium_version is not None:
        members = {group: [] for group in dataset.groups}
    elif by == "SPECIES":
        for sample in dataset.samples:
            members.setdefault(sample.organism, []).append(sample.accession)
    else:
        for each in dataset.experiments:
            here = {name for name in each.samples if name in places}
            members[each.accession] = sorted(here, key=places.__getitem__)
    return {
        group: list(dict.fromkeys([*dataset.groups.get(group, ()), *names]))
        for group, names in members.items()
    }


def _asked_under(recipe: Recipe) -> dict[str, str]:
    """Sample -> the first experiment under which it was asked for."""
    found: dict[str, str] = {}
    for experiment, listed in recipe.samples.items():
        for sample in listed:
            found.setdefault(sample, experiment)
    return found


def _write_filtered(
    dataset: DatasetMetadata,
    asked_under: Mapping[str, str],
    most_submitted: int | None,
    target: Callable[[str], Path],
) -> None:
    places: dict[str, int] = {}
    for place, each in enumerate(dataset.filtered):  # of two experiments: the first reason
        places.setdefault(each.sample.accession, place)

    def rows() -> Iterable[_Row]:
        found = (dataset.filtered[place] for place in places.values())
        return (_row(_filtered_object(each), asked_under, each.sample) for each in found)

    objects = ((name, _filtered_object(dataset.filtered[places[name]])) for name in sorted(places))
    write_json(target(f"{FILTERED}.json"), Members(objects))
    _columns(rows(), most_submitted).write(target(f"{FILTERED}.tsv"), rows())


def _filtered_object(filtered: FilteredSample) -> dict[str, Any]:
    return {
        **sample_object(filtered.sample),
        "reason": filtered.reason,
        "experiment_accession_code": filtered.experiment,
        **({"filename": filtered.filename} if filtered.filename else {}),
    }
