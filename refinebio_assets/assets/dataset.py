"""`dataset`: the samples that somebody asked for, put together, as a zip.

Partition: `datasets`, whose keys are the hashes of what was asked for and of the data it
uses. What is made lies under datasets/<id>/.
"""

import json
from typing import Any

import dagster as dg

from refinebio_assets import __version__
from refinebio_assets.assets import previews
from refinebio_assets.assets.dataset_files import MadeDataset, make_dataset
from refinebio_assets.assets.stage import as_error
from refinebio_assets.errors import InvalidRequest, RefinebioError
from refinebio_assets.partitions import datasets, needs_some_of
from refinebio_assets.resources.dataset_selection import changes, select
from refinebio_assets.resources.datasets import RECORD, dataset_folder, request_of
from refinebio_assets.resources.storage import Storage, move_file
from refinebio_assets.resources.warehouse import Warehouse


@dg.asset(
    deps=["warehouse", needs_some_of("qn_target")],
    group_name="datasets",
    kinds={"zip"},
    partitions_def=datasets,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    check_specs=[
        dg.AssetCheckSpec(
            "matrix_is_its_metadata",
            asset="dataset",
            blocking=True,
            description="The columns of every matrix are the rows of its metadata, in one order.",
        ),
        dg.AssetCheckSpec(
            "all_samples_delivered", asset="dataset", description="Nothing asked for is left out."
        ),
        dg.AssetCheckSpec(
            "alike_after_normalisation",
            asset="dataset",
            description="Samples' upper halves are alike (Kolmogorov-Smirnov).",
        ),
    ],
)
def dataset(
    context: dg.AssetExecutionContext, storage: Storage, warehouse_database: Warehouse
) -> dg.MaterializeResult:
    """One zip with a matrix and metadata for each experiment, organism, or of all.

    Fails if nothing can be delivered; lists what was left out, and why.
    """
    name = context.partition_key
    asked = request_of(storage, name)
    try:
        with warehouse_database.connect(storage) as database:
            selection = select(asked.recipe, database, storage)
            changed = changes(asked.versions, selection.versions())
            if changed:
                raise InvalidRequest(
                    f"The data have changed since it was asked for: {'; '.join(changed[:5])}.",
                    remedy="Ask for it again.",
                )
            with storage.staging() as scratch:
                made = make_dataset(name, selection, database, storage, scratch, context.log.info)
                _publish(made, name, context.run.run_id, storage)
    except Exception as fault:
        _note_failure(name, as_error(fault), context.run.run_id, storage)
        raise
    return dg.MaterializeResult(metadata=_metadata(made), check_results=_checks(made))


def _publish(made: MadeDataset, name: str, run_id: str, storage: Storage) -> None:
    """The zip first; the record, by which it is known to be whole, last."""
    move_file(made.archive, dataset_folder(storage, name) / f"{name}.zip")
    storage.write_json(
        dataset_folder(storage, name) / RECORD, {**made.record, "status": "made", "run_id": run_id}
    )


def _note_failure(name: str, error: RefinebioError, run_id: str, storage: Storage) -> None:
    told = {"status": "failed", "reason": str(error), "run_id": run_id}
    record = {**told, "code_version": __version__}
    storage.write_json(dataset_folder(storage, name) / RECORD, record)


def _metadata(made: MadeDataset) -> dict[str, Any]:
    filtered = [
        {"sample": each.sample.accession, "experiment": each.experiment, "reason": each.reason}
        for each in made.filtered
    ]
    return {
        **{name: made.record[name] for name in ("num_samples", "num_filtered", "num_bytes")},
        "sha256": made.record["sha256"],
        "file": made.record["file"],
        "recipe": dg.MetadataValue.json(_in_short(json.loads(made.record["recipe"]))),
        "matrices": previews.table(
            [
                {"matrix": each.name, "genes": each.genes, "samples": each.samples}
                for each in made.matrices
            ]
        ),
        "filtered": previews.table(filtered),
        **{f"plot_{name}": previews.picture(plot.svg, name) for name, plot in made.plots.items()},
    }


def _in_short(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe with the numbers of samples: there may be thousands."""
    return {**recipe, "samples": {name: len(each) for name, each in recipe["samples"].items()}}


def _checks(made: MadeDataset) -> list[dg.AssetCheckResult]:
    warnings = made.check.warning if made.check else None
    return [
        dg.AssetCheckResult(
            check_name="matrix_is_its_metadata",
            passed=not made.inconsistencies,
            severity=dg.AssetCheckSeverity.ERROR,
            description="; ".join(made.inconsistencies) or "They are.",
        ),
        dg.AssetCheckResult(
            check_name="all_samples_delivered",
            passed=not made.filtered,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(made.filtered)} are left out; their reasons are in the zip.",
        ),
        dg.AssetCheckResult(
            check_name="alike_after_normalisation",
            passed=warnings is None,
            severity=dg.AssetCheckSeverity.WARN,
            description=warnings or "They are, or there was nothing to compare.",
        ),
    ]
