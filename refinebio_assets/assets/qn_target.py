"""`qn_target`: an organism's reference distribution, from its commonest Affymetrix platform.

Partition: `organisms`. Versions lie under qn_targets/<ORGANISM>/<version>/; a target that is
the same as the one before makes no new version.
"""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from refinebio_assets import __version__
from refinebio_assets.assets import previews
from refinebio_assets.assets.progress import Progress
from refinebio_assets.metadata.platforms import MICROARRAY
from refinebio_assets.partitions import organisms
from refinebio_assets.resources.qn_targets import NUMBERS, RECORD, BuiltTarget, targets_of
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse

if TYPE_CHECKING:
    from refinebio_assets.matrix.sample_files import SamplesOfFile
    from refinebio_assets.matrix.targets import Target

# Of a sample in several experiments, the first counts.
_ARRAYS = """
SELECT any_value(platform), min(experiment), sample FROM arrays
WHERE organism = ? AND method IN ('SCANfast', 'SCAN')
GROUP BY sample ORDER BY min(experiment), sample
"""
LISTED = 50
ALARM_BELOW = 0.05  # p-value against the target before


class QnTargetConfig(dg.Config):
    """Settings of a target; the defaults are the reference system's."""

    minimum_samples: int = Field(
        default=100, ge=1, description="Arrays of one platform that a target needs at least."
    )


@dg.asset(
    deps=[dg.AssetDep("warehouse")],
    group_name="aggregation",
    kinds={"parquet"},
    partitions_def=organisms,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    check_specs=[
        dg.AssetCheckSpec(
            "like_the_one_before",
            asset="qn_target",
            description="The new target's distribution is that of the one before "
            f"(Kolmogorov-Smirnov, p at least {ALARM_BELOW}).",
        )
    ],
)
def qn_target(
    context: dg.AssetExecutionContext,
    config: QnTargetConfig,
    storage: Storage,
    warehouse_database: Warehouse,
) -> dg.MaterializeResult:
    """An organism's quantile-normalisation target.

    The mean of the sorted values of all arrays, processed from CEL files, of the platform
    that the organism has most of.
    """
    from refinebio_assets.matrix.sample_files import read_samples
    from refinebio_assets.matrix.targets import commonest_platform, make_target

    organism = context.partition_key
    with warehouse_database.connect(storage) as database:
        rows = database.execute(_ARRAYS, [organism]).fetchall()
    platform = commonest_platform((row[0] for row in rows), config.minimum_samples)
    mine = [(experiment, sample) for of, experiment, sample in rows if of == platform]
    files = _files(organism, mine, storage)
    progress = Progress(context.log.info, f"{organism}: read", 2 * len(mine), "samples")

    def samples():  # type: ignore[no-untyped-def]  # an iterator that also tells of itself
        for each in read_samples(files):
            progress.advance()
            yield each

    target = make_target(samples, config.minimum_samples)
    before = targets_of(storage, organism)
    record = _record(organism, platform, target, before)
    if record["version"] == len(before):
        context.log.info(f"{organism}: the same target as version {record['version']}")
    else:
        _publish(target, record, storage)
    return dg.MaterializeResult(
        metadata=_metadata(record, target),
        check_results=[_against_the_one_before(record)],
        data_version=dg.DataVersion(record["sha256"]),
    )


def _files(
    organism: str, samples: list[tuple[str, str]], storage: Storage
) -> list["SamplesOfFile"]:
    from refinebio_assets.matrix.sample_files import SamplesOfFile

    by_experiment: dict[str, list[str]] = {}
    for experiment, sample in samples:
        by_experiment.setdefault(experiment, []).append(sample)
    return [
        SamplesOfFile(storage.expression_file(organism, MICROARRAY, experiment), names)
        for experiment, names in by_experiment.items()
    ]


def _record(
    organism: str, platform: str, target: "Target", before: list[BuiltTarget]
) -> dict[str, Any]:
    from refinebio_assets.matrix.ks import two_sample_test

    digest = hashlib.sha256(target.values.tobytes()).hexdigest()
    last = before[-1] if before else None
    if last is not None and last.sha256 == digest and last.record["samples"] == target.samples:
        return last.record
    statistic, p_value = (
        two_sample_test(target.values, last.numbers()) if last is not None else (None, None)
    )
    version = last.version + 1 if last is not None else 1
    return {
        "organism": organism,
        "version": version,
        "platform": platform,
        "num_samples": len(target.samples),
        "num_genes": len(target.genes),
        "samples": target.samples,
        "ks_statistic": statistic,
        "ks_p_value": p_value,
        "sha256": digest,
        "file": f"qn_targets/{organism}/{version}/{NUMBERS}",
        "code_version": __version__,
        "recorded_at": datetime.now(UTC).isoformat(),
        "left_out": target.left_out,
    }


def _publish(target: "Target", record: dict[str, Any], storage: Storage) -> None:
    import polars as pl

    from refinebio_assets.matrix.quantile import write_target

    final = storage.qn_targets(record["organism"]) / str(record["version"])
    with storage.publish_folder(final) as new:
        write_target(new / NUMBERS, target.values)
        pl.DataFrame({"value": target.values}).write_parquet(new / "target.parquet")
        pl.DataFrame({"gene": target.genes}).write_parquet(new / "genes.parquet")
        _write_json(new / RECORD, record)


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=1) + "\n")


def _metadata(record: dict[str, Any], target: "Target") -> dict[str, Any]:
    import numpy as np

    heights = np.histogram(target.values, bins=60)[0] / len(target.values)
    left_out = [{"sample": sample, "reason": reason} for sample, reason in target.left_out.items()]
    return {
        **{name: record[name] for name in ("version", "platform", "sha256", "file")},
        "n_samples": record["num_samples"],
        "n_genes": record["num_genes"],
        "samples": ", ".join(record["samples"][:LISTED])
        + (" …" if len(record["samples"]) > LISTED else ""),
        "left_out": previews.table(left_out),
        "distribution": previews.densities(
            {"target": (heights / heights.sum()).tolist()}, "target"
        ),
    }


def _against_the_one_before(record: dict[str, Any]) -> dg.AssetCheckResult:
    p_value = record["ks_p_value"]
    if p_value is None:
        told = "It is the first."
    else:
        told = (
            f"Kolmogorov-Smirnov statistic {record['ks_statistic']:.4g}, p-value {p_value:.4g} "
            "against the one before."
        )
    return dg.AssetCheckResult(
        check_name="like_the_one_before",
        passed=p_value is None or p_value >= ALARM_BELOW,
        severity=dg.AssetCheckSeverity.WARN,
        description=told,
    )
