"""Making the files of a dataset: matrices, metadata, plots, README, and the zip of them all."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets import __version__
from refinebio_assets.assets.progress import Log, by_stage
from refinebio_assets.errors import NothingToDeliver
from refinebio_assets.resources.dataset_records import Key, quant_folders, read_records
from refinebio_assets.resources.dataset_selection import Selection
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import duckdb

    from refinebio_assets.publish.archive import Shape
    from refinebio_assets.publish.matrices import Assembled
    from refinebio_assets.publish.metadata_files import DistributionCheck
    from refinebio_assets.publish.plots import Plot
    from refinebio_assets.publish.readme import MatrixFile
    from refinebio_assets.publish.records import FilteredSample, SampleRecord

QUANT_SF = "quant.sf"
MOST_PLOTTED = 12  # matrices of one dataset


@dataclass(frozen=True)
class MadeDataset:
    """A finished dataset, aside: its zip, and what is to be told of it."""

    archive: Path
    record: dict[str, Any]
    matrices: list[MatrixFile]
    filtered: list[FilteredSample]
    check: DistributionCheck | None
    plots: Mapping[str, Plot]
    inconsistencies: list[str]


@dataclass
class _Delivery:
    """What the groups of a dataset came to."""

    files: dict[str, Path] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[tuple[str, str], str] = field(default_factory=dict)  # group, sample -> reason
    assembled: dict[str, Assembled] = field(default_factory=dict)


def make_dataset(
    name: str,
    selection: Selection,
    database: duckdb.DuckDBPyConnection,
    storage: Storage,
    scratch: Path,
    log: Log,
) -> MadeDataset:
    """Make a dataset in a scratch folder.

    Everything in it follows from the selection, its date too: that of the newest values.

    Raises
    ------
    NothingToDeliver
        Not one sample could be put into a matrix.
    """
    from refinebio_assets.publish.archive import write_archive
    from refinebio_assets.publish.metadata_files import DatasetMetadata, write_metadata
    from refinebio_assets.publish.readme import license_text, readme

    experiments, known = read_records(selection.recipe, database)
    folder = scratch / "files"
    if selection.recipe.quant_sf_only:
        delivery = _copy_quant_files(selection, quant_folders(database), storage, folder)
    else:
        delivery = _assemble(selection, known, storage, folder, scratch, log)
    delivered = list(dict.fromkeys(each for names in delivery.groups.values() for each in names))
    if not delivered:
        raise NothingToDeliver(_why_nothing(selection, delivery))
    chosen = {each.sample: known[each.experiment, each.sample] for each in selection.samples}
    filtered = _filtered(selection, delivery, known)
    check = _check(delivery)
    metadata = DatasetMetadata(
        recipe=selection.recipe,
        created_at=max(each.recorded_at for each in selection.samples),
        experiments=experiments,
        samples=[chosen[each] for each in delivered],
        groups=delivery.groups,
        filtered=filtered,
        check=check,
    )
    written = write_metadata(metadata, folder)
    plots = _plots(delivery, chosen, selection)
    contents = _contents(name, selection, delivery, plots, written.warnings)
    texts = {
        "README.md": readme(metadata, contents),
        "LICENSE.TXT": license_text(),
        **{f"plots/{title}.svg": plot.svg for title, plot in plots.items()},
    }
    for title, text in texts.items():
        (folder / title).parent.mkdir(parents=True, exist_ok=True)
        (folder / title).write_text(text, encoding="utf-8")
    files = {
        **{title: folder / title for title in texts},
        **written.files,
        **delivery.files,
    }
    archive = scratch / f"{name}.zip"
    finished = write_archive(files, archive, shapes=delivery.shapes)
    record = {
        "dataset": name,
        "num_samples": len(delivered),
        "num_filtered": len(filtered),
        "num_matrices": len(delivery.assembled),
        "num_bytes": finished.size,
        "sha1": finished.sha1,
        "sha256": finished.sha256,
        "file": f"datasets/{name}/{name}.zip",
        "recipe": json.dumps(selection.recipe.to_json()),
        "code_version": __version__,
        "recorded_at": metadata.created_at.isoformat(),
    }
    return MadeDataset(
        archive=archive,
        record=record,
        matrices=list(contents.matrices),
        filtered=filtered,
        check=check,
        plots=plots,
        inconsistencies=_inconsistencies(delivery, folder),
    )


# --- values ---------------------------------------------------------------------------


def _assemble(
    selection: Selection,
    known: Mapping[Key, SampleRecord],
    storage: Storage,
    folder: Path,
    scratch: Path,
    log: Log,
) -> _Delivery:
    from refinebio_assets.publish.matrices import GroupSample, assemble
    from refinebio_assets.publish.metadata_files import file_name
    from refinebio_assets.publish.sample_frame import sample_frame

    delivery = _Delivery()
    h5ad = "h5ad" in selection.recipe.formats
    targets = {name: target.numbers() for name, target in selection.targets.items()}
    for group, samples in selection.groups().items():
        wanted = [
            GroupSample(each.sample, each.organism, each.technology, each.path(storage))
            for each in samples
        ]
        safe = file_name(group)
        records = ((each.experiment, known[each.experiment, each.sample]) for each in samples)
        log(f"{group}: {len(wanted):,} samples")
        (folder / safe).mkdir(parents=True, exist_ok=True)
        try:
            made = assemble(
                safe,
                wanted,
                recipe=selection.recipe,
                targets=targets,
                folder=folder / safe,
                scratch=scratch,
                described=sample_frame(records) if h5ad else None,
                on_progress=by_stage(group, log),
            )
        except NothingToDeliver as error:
            log(f"{group}: {error}")
            reason = error.message
            delivery.left_out.update({(group, each.sample): reason for each in samples})
            continue
        delivery.assembled[group] = made
        delivery.groups[group] = list(made.samples)
        delivery.left_out.update({(group, each.sample): each.reason for each in made.left_out})
        for path in made.files.values():
            delivery.files[f"{safe}/{path.name}"] = path
        delivery.shapes.update(_shapes(safe, made))
    return delivery


def _shapes(group: str, made: Assembled) -> dict[str, Shape]:
    from refinebio_assets.publish.archive import Shape

    rows, columns = len(made.genes), len(made.samples)
    sizes = {"parquet": Shape(rows, columns + 1), "h5ad": Shape(columns, rows)}
    return {
        f"{group}/{path.name}": sizes[kind] for kind, path in made.files.items() if kind in sizes
    }


def _copy_quant_files(
    selection: Selection, folders: Mapping[Key, str], storage: Storage, folder: Path
) -> _Delivery:
    """Salmon's own files, without anything computed."""
    from refinebio_assets.publish.metadata_files import file_name
    from refinebio_assets.rnaseq.tximport import is_whole_quant_file

    delivery = _Delivery()
    for group, samples in selection.groups().items():
        safe = file_name(group)
        for each in samples:
            found = folders.get((each.experiment, each.sample))
            path = storage.root / found / QUANT_SF if found else None
            if path is None or not path.exists():
                delivery.left_out[group, each.sample] = "It has no quant.sf."
            elif not is_whole_quant_file(path):
                delivery.left_out[group, each.sample] = "Its quant.sf is cut or malformed."
            else:
                copy = folder / safe / f"{each.sample}_{QUANT_SF}"
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
                delivery.files[f"{safe}/{copy.name}"] = copy
                delivery.groups.setdefault(group, []).append(each.sample)
    return delivery


# --- what is told of them -------------------------------------------------------------


def _filtered(
    selection: Selection, delivery: _Delivery, known: Mapping[Key, SampleRecord]
) -> list[FilteredSample]:
    from refinebio_assets.publish.records import FilteredSample

    found = [
        FilteredSample(known[key], key[0], reason) for key, reason in selection.missing.items()
    ]
    asked = {each.sample: each for each in selection.samples}
    for (group, sample), reason in delivery.left_out.items():
        experiment = group if group in selection.recipe.samples else asked[sample].experiment
        record = known.get((experiment, sample)) or known[asked[sample].experiment, sample]
        found.append(FilteredSample(record, experiment, reason))
    return found


def _check(delivery: _Delivery) -> DistributionCheck | None:
    """As the reference reports it: the last statistic, and the last warning of any matrix."""
    from refinebio_assets.publish.metadata_files import DistributionCheck

    checks = [made.ks for made in delivery.assembled.values() if made.ks is not None]
    if not checks:
        return None
    warnings = [check.warning for check in checks if check.warning]
    last = checks[-1]
    return DistributionCheck(last.statistic, last.p_value, warnings[-1] if warnings else None)


def _contents(
    name: str,
    selection: Selection,
    delivery: _Delivery,
    plots: Mapping[str, Plot],
    warnings: Sequence[str],
) -> Any:
    from refinebio_assets.publish.metadata_files import file_name
    from refinebio_assets.publish.readme import Contents, MatrixFile, TargetUsed

    matrices = [
        MatrixFile(
            f"{file_name(group)}/{made.files['tsv'].name}", len(made.genes), len(made.samples)
        )
        for group, made in delivery.assembled.items()
    ]
    targets = [
        TargetUsed(
            organism,
            target.version,
            target.record["num_samples"],
            target.record["num_genes"],
            target.sha256,
        )
        for organism, target in sorted(selection.targets.items())
    ]
    told = [each for made in delivery.assembled.values() for each in made.warnings]
    return Contents(
        dataset=name,
        software=f"refinebio_assets {__version__}",
        matrices=matrices,
        targets=targets,
        plots={f"plots/{title}.svg": plot.caption for title, plot in plots.items()},
        warnings=[*told, *warnings],
    )


def _plots(
    delivery: _Delivery, samples: Mapping[str, SampleRecord], selection: Selection
) -> dict[str, Plot]:
    """Distributions before and after, and components by technology and experiment.

    Of the first matrices only, where a dataset has many.
    """
    from refinebio_assets.publish.metadata_files import file_name
    from refinebio_assets.publish.plots import Histograms, distributions, scatter

    experiment_of = {each.sample: each.experiment for each in selection.samples}
    plots = {}
    for group, made in list(delivery.assembled.items())[:MOST_PLOTTED]:
        safe = file_name(group)
        panels = {
            title: Histograms(dict(zip(made.samples, shown.heights, strict=True)), shown.edges)
            for title, shown in (
                ("before normalisation", made.before),
                ("after normalisation", made.after),
            )
            if shown is not None
        }
        plots[f"{safe}_distributions"] = distributions(panels)
        if made.components is None:
            continue
        axes = tuple(
            f"PC{number} ({100 * share:.0f} %)"
            for number, share in enumerate(made.components.shares, 1)
        )
        labels = {
            "Technology": [samples[each].technology for each in made.samples],
            "Experiment": [experiment_of[each] for each in made.samples],
        }
        for title, names in labels.items():
            if len(set(names)) > 1 or title == "Experiment":
                plots[f"{safe}_pca_by_{title.lower()}"] = scatter(
                    made.components.coordinates, names, title=title, axes_names=(axes[0], axes[1])
                )
    return plots


def _why_nothing(selection: Selection, delivery: _Delivery) -> str:
    reasons = [*selection.missing.values(), *delivery.left_out.values()]
    told = "; ".join(dict.fromkeys(reasons))
    return f"Not one of {len(reasons)} samples can be delivered: {told[:500]}"


def _inconsistencies(delivery: _Delivery, folder: Path) -> list[str]:
    """Matrices whose columns are not the first rows of their metadata, read from the files.

    A table has further rows for samples of the experiment that another one delivers.
    """
    from refinebio_assets.publish.metadata_files import file_name

    found = []
    for group, made in delivery.assembled.items():
        safe = file_name(group)
        with made.files["tsv"].open(encoding="utf-8") as matrix:
            columns = matrix.readline().rstrip("\n").split("\t")[1:]
        with (folder / safe / f"metadata_{safe}.tsv").open(encoding="utf-8", newline="") as table:
            rows = [row[0] for row in csv.reader(table, delimiter="\t")][1:]
        if columns != rows[: len(columns)]:
            found.append(f"{group}: {len(columns)} columns are not the first of {len(rows)} rows")
    return found
