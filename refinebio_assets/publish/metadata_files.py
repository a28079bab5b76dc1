"""The metadata files of a dataset: JSON documents and tables of its experiments and samples.

Names, fields and their order are refine.bio's. JSON is UTF-8, indented by 4, with sorted
keys; a number that isn't finite is null. In the tables, samples stand in the order of the
matrix's columns; samples of the experiment that are in another matrix of the dataset follow.
Where refine.bio leaves the samples that fail while matrices are made in the metadata, here
they are filtered samples, as `refinebio_assets.publish.records` has them. Not here: the
values.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

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
    """

    recipe: Recipe
    created_at: datetime
    experiments: Sequence[ExperimentRecord]
    samples: Sequence[SampleRecord]
    groups: Mapping[str, Sequence[str]]
    filtered: Sequence[FilteredSample] = ()
    check: DistributionCheck | None = None

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


def write_metadata(dataset: DatasetMetadata, folder: Path) -> WrittenMetadata:
    """Write all metadata files of a dataset.

    Parameters
    ----------
    dataset
        What they are to say.
    folder
        Where they go, under the names that they have in the archive.

    Raises
    ------
    ValueError
        `created_at` has no time zone.
    """
    asked_under = _asked_under(dataset.recipe)
    objects = {each.accession: sample_object(each) for each in dataset.samples}
    rows = {
        each.accession: _row(objects[each.accession], asked_under, each) for each in dataset.samples
    }
    files: dict[str, Path] = {}

    def target(name: str) -> Path:
        files[name] = folder / name
        files[name].parent.mkdir(parents=True, exist_ok=True)
        return files[name]

    _write_json(target(AGGREGATED), _aggregated(dataset, objects))
    if dataset.filtered:
        _write_filtered(dataset, asked_under, target)
    columns = _columns(rows.values())
    for group, names in _table_groups(dataset).items():
        safe = file_name(group)
        columns.write(target(f"{safe}/metadata_{safe}.tsv"), [rows[name] for name in names])
        if dataset.recipe.aggregate_by == "SPECIES":
            document = {"species": group, "samples": [objects[name] for name in names]}
            _write_json(target(f"{safe}/metadata_{safe}.json"), document)
    return WrittenMetadata(files, _warnings(rows.values(), columns))


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


def _aggregated(dataset: DatasetMetadata, samples: Mapping[str, Any]) -> dict[str, Any]:
    recipe, check = dataset.recipe, dataset.check or DistributionCheck()
    left_out = {each.sample.accession for each in dataset.filtered} - set(samples)
    of_matrices = {
        "aggregate_by": recipe.aggregate_by,
        "scale_by": recipe.scale_by,
        "quantile_normalized": recipe.quantile_normalize,
        "ks_statistic": check.statistic,
        "ks_pvalue": check.p_value,
        "ks_warning": check.warning,
    }
    return {
        "num_experiments": len(dataset.experiments),
        "num_samples": len(samples),
        "quant_sf_only": recipe.quant_sf_only,
        "created_at": dataset.created(),
        "samples": samples,
        "experiments": {
            each.accession: _experiment_object(each, left_out) for each in dataset.experiments
        },
        **({} if recipe.quant_sf_only else of_matrices),
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


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        json.dump(
            _finite(document), file, indent=4, sort_keys=True, ensure_ascii=False, allow_nan=False
        )
        file.write("\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


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

    What is submitted under the name of a field has no column.
    """

    fields: tuple[str, ...]
    submitted: tuple[str, ...]

    def write(self, path: Path, rows: Iterable[_Row]) -> None:
        cells = (
            {
                **{name: row.fields.get(name) for name in self.fields},
                **{name: row.submitted.get(name) for name in self.submitted},
            }
            for row in rows
        )
        write_table(path, [*self.fields, *self.submitted], cells)


def _columns(rows: Collection[_Row]) -> _Columns:
    first = (_ACCESSION, _EXPERIMENT)
    fields = {name for row in rows for name in row.fields}
    named = {name for row in rows for name in row.submitted} - fields
    shown = sorted(name for name in named if not name.startswith(OWN_PREFIX))
    return _Columns((*first, *sorted(fields.difference(first))), tuple(shown))


def _warnings(rows: Iterable[_Row], columns: _Columns) -> list[str]:
    shown = set(columns.submitted)
    hidden = Counter(name for row in rows for name in row.submitted if name not in shown)
    return [
        f"The submitted key {name!r} (samples: {number}) is called like a field of the dataset: "
        f"it is in {AGGREGATED} only."
        for name, number in sorted(hidden.items())
    ]


def _table_groups(dataset: DatasetMetadata) -> dict[str, list[str]]:
    """The samples of each table, those of the matrix first.

    A sample that two experiments have is in the tables of both, whichever it was asked for
    under.
    """
    by = dataset.recipe.aggregate_by
    if by == "ALL":
        members = {"ALL": [each.accession for each in dataset.samples]}
    elif by == "SPECIES":
        members = {}
        for sample in dataset.samples:
            members.setdefault(sample.organism, []).append(sample.accession)
    else:
        members = {
            each.accession: _of_experiment(each, dataset.samples) for each in dataset.experiments
        }
    return {
        group: list(dict.fromkeys([*dataset.groups.get(group, ()), *names]))
        for group, names in members.items()
    }


def _of_experiment(experiment: ExperimentRecord, samples: Sequence[SampleRecord]) -> list[str]:
    all_of_it = set(experiment.samples)
    return [each.accession for each in samples if each.accession in all_of_it]


def _asked_under(recipe: Recipe) -> dict[str, str]:
    """Sample -> the first experiment under which it was asked for."""
    found: dict[str, str] = {}
    for experiment, listed in recipe.samples.items():
        for sample in listed:
            found.setdefault(sample, experiment)
    return found


def _write_filtered(
    dataset: DatasetMetadata, asked_under: Mapping[str, str], target: Callable[[str], Path]
) -> None:
    objects: dict[str, Any] = {}
    rows = []
    for each in dataset.filtered:
        if each.sample.accession in objects:  # left out of two experiments: the first reason
            continue
        objects[each.sample.accession] = fields = {
            **sample_object(each.sample),
            "reason": each.reason,
            "experiment_accession_code": each.experiment,
            **({"filename": each.filename} if each.filename else {}),
        }
        rows.append(_row(fields, asked_under, each.sample))
    _write_json(target(f"{FILTERED}.json"), objects)
    _columns(rows).write(target(f"{FILTERED}.tsv"), rows)
