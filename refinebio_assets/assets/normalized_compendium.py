"""`normalized_compendium`: all samples of an organism as one matrix without gaps, in releases.

Partition: `organisms`. Releases lie under compendia/<ORGANISM>/<version>/ and are never
changed; what would be the same as the one before makes no new release.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from refinebio_assets.assets import previews
from refinebio_assets.assets.compendium_files import MadeRelease, make_release
from refinebio_assets.errors import FailedChecks
from refinebio_assets.partitions import organisms
from refinebio_assets.resources.compendia import publish_release, releases_of
from refinebio_assets.resources.compendium_selection import select_for_compendium
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse

if TYPE_CHECKING:
    from refinebio_assets.compendium.exclusion import ExclusionRules
    from refinebio_assets.compendium.rules import Rules


class CompendiumConfig(dg.Config):
    """Settings of a compendium; the defaults are the reference system's."""

    gene_presence: float = Field(
        default=0.5, description="Genes in more than this share of the samples are considered."
    )
    low_count_percentile: float = Field(
        default=10.0,
        description="RNA-seq: genes whose summed counts are below this percentile are dropped.",
    )
    most_missing_per_gene: float = Field(
        default=0.3, description="Genes missing in a larger share of the samples are dropped."
    )
    most_missing_per_sample: float = Field(
        default=0.5, description="Samples without a larger share of the genes are dropped."
    )
    engine: str = Field(
        default="svd",
        description="svd: imputed block by block; none: not imputed; fancyimpute: by the "
        "original, in memory, for comparison.",
    )
    rank: int = Field(default=10, description="Rank of the approximation that fills gaps.")
    quantile_normalize: bool = Field(
        default=True, description="Whether samples are brought to the organism's target."
    )
    hold_out_samples: int = Field(
        default=2000,
        description="With so many samples the error of imputation is measured; 0: not at all.",
    )
    genus: bool = Field(
        default=True,
        description="Whether organisms of the genus are taken in that share an array platform.",
    )
    warm_start: bool = Field(
        default=True, description="Whether imputation starts from the release before."
    )
    single_cell_from: float = Field(
        default=0.5,
        description="Samples that are this probably of single cells are left out; above 1, none.",
    )
    withdrawn: bool = Field(
        default=True, description="Whether samples that their source withdrew are left out."
    )
    least_percent_mapped: float = Field(
        default=10.0, description="RNA-seq samples of which less maps are left out."
    )
    least_mapped: int = Field(
        default=100_000, description="RNA-seq samples with fewer mapped fragments are left out."
    )
    least_correlation: float = Field(
        default=0.5, description="Arrays less like the others of their experiment are left out."
    )
    most_percent_saturated: float = Field(
        default=20.0, description="Arrays with more probes at the largest intensity are left out."
    )

    def rules(self) -> "Rules":
        """What is done with samples, checked."""
        from refinebio_assets.compendium.rules import Rules, read_rules

        return read_rules({name: getattr(self, name) for name in Rules.__dataclass_fields__})

    def exclusion(self) -> "ExclusionRules":
        """Which samples should not be in."""
        from refinebio_assets.compendium.exclusion import ExclusionRules

        names = ExclusionRules.__dataclass_fields__
        return ExclusionRules(**{name: getattr(self, name) for name in names})


@dg.asset(
    deps=["warehouse", "qn_target"],
    group_name="aggregation",
    kinds={"parquet", "h5ad", "zip"},
    partitions_def=organisms,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    check_specs=[
        dg.AssetCheckSpec(
            "matrix_is_its_metadata",
            asset="normalized_compendium",
            blocking=True,
            description="The samples of the matrix are the rows of its metadata, in one order.",
        ),
        dg.AssetCheckSpec(
            "nothing_missing",
            asset="normalized_compendium",
            blocking=True,
            description="No value is missing or infinite after imputation.",
        ),
        dg.AssetCheckSpec(
            "distributed_as_the_target",
            asset="normalized_compendium",
            blocking=True,
            description="Samples have the target's values at their ranks.",
        ),
        dg.AssetCheckSpec(
            "technologies_comparable",
            asset="normalized_compendium",
            description="Technology explains little of the variance, and replicates agree.",
        ),
        dg.AssetCheckSpec(
            "imputation_better_than_means",
            asset="normalized_compendium",
            description="Hidden values are imputed better than by the gene's mean.",
        ),
    ],
)
def normalized_compendium(
    context: dg.AssetExecutionContext,
    config: CompendiumConfig,
    storage: Storage,
    warehouse_database: Warehouse,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """Arrays and RNA-seq of an organism on one scale: joined, imputed, normalised to its target.

    Says of every value whether it was measured, and lists the samples that are not in it. A
    release that fails a blocking check is not published.
    """
    organism = context.partition_key
    rules = config.rules()
    with warehouse_database.connect(storage) as database:
        selection = select_for_compendium(
            organism,
            database,
            storage,
            rules=rules,
            exclusion=config.exclusion(),
            genus=config.genus,
        )
        before = releases_of(storage, "normalized", organism)
        earlier = before[-1] if before else None
        if earlier is not None and earlier.record["inputs"] == selection.inputs(rules):
            context.log.info(f"{organism}: nothing has changed since release {earlier.version}")
            yield from _checks(earlier.record)
            yield dg.MaterializeResult(
                metadata={**_numbers(earlier.record), "new_release": False},
                data_version=dg.DataVersion(earlier.record["sha256"]),
            )
            return
        version = earlier.version + 1 if earlier else 1
        with (
            storage.staging() as scratch,
            publish_release(storage, "normalized", organism, version) as folder,
        ):
            made = make_release(
                selection,
                rules,
                version,
                earlier=earlier if config.warm_start else None,
                database=database,
                storage=storage,
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
        "organisms",
        "num_samples",
        "num_experiments",
        "num_genes",
        "num_left_out",
        "percent_imputed",
        "percent_zero_restored",
        "held_out_rmse",
        "iterations",
        "started_from",
        "num_bytes",
        "sha256",
        "file",
    )
    return {name: record[name] for name in shown if record[name] is not None}


def _metadata(made: MadeRelease) -> dict[str, Any]:
    return {
        **_numbers(made.record),
        "new_release": True,
        "rules": dg.MetadataValue.json(made.record["rules"]),
        "comparability_card": dg.MetadataValue.md(made.card.text),
        "left_out": previews.table(
            made.left_out.select("sample", "experiment", "rule", "reason").head(50).to_dicts(), 50
        ),
        **{f"plot_{name}": previews.picture(plot.svg, name) for name, plot in made.plots.items()},
    }


def _checks(record: dict[str, Any]) -> list[dg.AssetCheckResult]:
    severities = {True: dg.AssetCheckSeverity.ERROR, False: dg.AssetCheckSeverity.WARN}
    return [
        dg.AssetCheckResult(
            check_name=each["check"],
            passed=each["passed"],
            severity=severities[each["blocking"]],
            description=each["words"],
        )
        for each in record["checks"]
    ]
