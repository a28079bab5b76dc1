"""`rnaseq_compendium`: Salmon's files of all RNA-seq samples of an organism, in releases.

Partition: `organisms`. Releases lie under rnaseq_compendia/<ORGANISM>/<version>/ and are never
changed; what would be the same as the one before makes no new release.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from refinebio_assets.assets import previews
from refinebio_assets.assets.rnaseq_compendium_files import (
    NOT_QUANTIFIED,
    MadeRnaseqRelease,
    make_rnaseq_release,
    read_runs,
)
from refinebio_assets.errors import FailedChecks
from refinebio_assets.partitions import organisms
from refinebio_assets.resources.compendia import publish_release, releases_of
from refinebio_assets.resources.rnaseq_compendium_selection import select_runs
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse

MOST_ROWS = 50


class RnaseqCompendiumConfig(dg.Config):
    """Settings of an RNA-seq sample compendium; the default is the reference system's."""

    full_folders: bool = Field(
        default=False,
        description="Whether all that Salmon wrote of a sample is in the zip (aux_info, logs, "
        "cmd_info.json, …), or its quant.sf alone.",
    )
    parallel_reads: int = Field(
        default=4, ge=1, le=64, description="Files read and checked at the same time."
    )


@dg.asset(
    deps=["warehouse"],
    group_name="aggregation",
    kinds={"zip", "parquet"},
    partitions_def=organisms,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    check_specs=[
        dg.AssetCheckSpec(
            "zip_is_whole",
            asset="rnaseq_compendium",
            blocking=True,
            description="The finished zip, unpacked, has the files that were read, and its "
            "metadata tables have their samples.",
        ),
        dg.AssetCheckSpec(
            "all_samples_delivered",
            asset="rnaseq_compendium",
            blocking=True,
            description="The finished zip has every sample that the sample table says is "
            "quantified; a warning where one is left out for a reason, an error without.",
        ),
    ],
)
def rnaseq_compendium(
    context: dg.AssetExecutionContext,
    config: RnaseqCompendiumConfig,
    storage: Storage,
    warehouse_database: Warehouse,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """Salmon's quant.sf of every RNA-seq sample of an organism, in folders by experiment.

    With all metadata, in one zip; what is left out is listed with its reason. A release that
    is not whole is not published.
    """
    organism, whole_folders = context.partition_key, config.full_folders
    before = releases_of(storage, "rnaseq", organism)
    earlier = before[-1].record if before else None
    version = before[-1].version + 1 if before else 1
    with (
        warehouse_database.connect(storage) as database,
        storage.staging() as scratch,
    ):
        selection = select_runs(organism, database, storage)
        same = earlier is not None and earlier["state"] == selection.state(
            whole_folders=whole_folders
        )
        if not same:
            context.log.info(f"{organism}: {len(selection.runs):,} quantified samples")
            runs = read_runs(
                selection,
                storage,
                scratch,
                whole_folders=whole_folders,
                threads=config.parallel_reads,
                log=context.log.info,
            )
            inputs = runs.inputs(selection, whole_folders=whole_folders)
            same = earlier is not None and earlier["inputs"] == inputs
        if earlier is not None and same:
            context.log.info(f"{organism}: nothing has changed since release {earlier['version']}")
            yield from _checks(earlier)
            yield dg.MaterializeResult(
                metadata={**_numbers(earlier), "new_release": False},
                data_version=dg.DataVersion(earlier["sha256"]),
            )
            return
        with publish_release(storage, "rnaseq", organism, version) as folder:
            made = make_rnaseq_release(
                selection,
                runs,
                version,
                whole_folders=whole_folders,
                threads=config.parallel_reads,
                database=database,
                folder=folder,
                scratch=scratch,
                run_id=context.run.run_id,
                log=context.log.info,
            )
            yield from _checks(made.record)
            failed = [
                each["words"]
                for each in made.record["checks"]
                if each["blocking"] and not each["passed"]
            ]
            if failed:
                raise FailedChecks(f"Release {version} is not published: {' '.join(failed)}")
    yield dg.MaterializeResult(
        metadata=_metadata(made), data_version=dg.DataVersion(made.record["sha256"])
    )


def _numbers(record: dict[str, Any]) -> dict[str, Any]:
    shown = (
        "version",
        "num_samples",
        "num_files",
        "num_experiments",
        "num_left_out",
        "num_of_other_experiments",
        "num_probably_single_cell",
        "whole_folders",
        "num_bytes",
        "num_bytes_unpacked",
        "sha256",
        "file",
    )
    return {name: record[name] for name in shown}


def _metadata(made: MadeRnaseqRelease) -> dict[str, Any]:
    experiments = made.experiments.head(MOST_ROWS).to_dicts()
    lost_first = made.left_out.sort(made.left_out["rule"] == NOT_QUANTIFIED, maintain_order=True)
    return {
        **_numbers(made.record),
        "new_release": True,
        "experiments": previews.table(experiments, MOST_ROWS),
        "samples_per_experiment": previews.bars(
            {row["experiment"]: row["samples"] for row in experiments}, "samples"
        ),
        "references": previews.table(made.record["references"]),
        "left_out": previews.table(lost_first.head(MOST_ROWS).to_dicts(), MOST_ROWS),
    }


def _checks(record: dict[str, Any]) -> Iterator[dg.AssetCheckResult]:
    """Also of an earlier release, as they were when it was made."""
    severities = {True: dg.AssetCheckSeverity.ERROR, False: dg.AssetCheckSeverity.WARN}
    for each in record["checks"]:
        yield dg.AssetCheckResult(
            check_name=each["check"],
            passed=each["passed"],
            severity=severities[each["blocking"]],
            description=each["words"],
        )
