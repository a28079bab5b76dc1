"""`warehouse`: the DuckDB catalogue over everything published."""

import dagster as dg

from refinebio_assets.assets import previews
from refinebio_assets.partitions import register_organisms
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse
from refinebio_assets.resources.warehouse_checks import CHECKS, Finding


@dg.asset(
    deps=[
        "experiment_metadata",
        "gene_counts",
        "gene_map",
        "microarray_expression",
        "probe_annotation",
    ],
    group_name="warehouse",
    kinds={"duckdb"},
    check_specs=[
        dg.AssetCheckSpec(name, asset="warehouse", description=what)
        for name, what in CHECKS.items()
    ],
)
def warehouse(
    context: dg.AssetExecutionContext, storage: Storage, warehouse_database: Warehouse
) -> dg.MaterializeResult:
    """`refinebio.duckdb`: metadata tables and views over the Parquet files.

    Rebuilt from the files and swapped in by rename; readers are never interrupted.
    """
    counts = warehouse_database.build(storage)
    # Organisms with values can be aggregated, whether or not they have a reference.
    register_organisms(context.instance, warehouse_database.organisms(storage))
    context.log.info(f"{counts.get('samples', 0):,} samples in the catalogue")
    findings = warehouse_database.check(storage)
    return dg.MaterializeResult(
        metadata={
            **{f"rows_{table}": rows for table, rows in counts.items()},
            "path": dg.MetadataValue.path(storage.catalogue()),
            "preview": previews.table(
                [{"table": table, "rows": rows} for table, rows in counts.items()], most=30
            ),
        },
        check_results=[
            _result(name, [each for each in findings if each.check == name]) for name in CHECKS
        ],
    )


def _result(name: str, findings: list[Finding]) -> dg.AssetCheckResult:
    """Passed, a warning or a failure, in words."""
    wrong = [each for each in findings if each.num_wrong]
    severe = any(each.is_error for each in wrong)
    return dg.AssetCheckResult(
        check_name=name,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
        description="; ".join(map(str, wrong)) or f"{len(findings)} questions, nothing wrong",
        metadata={
            "asked": previews.table(
                [
                    {"table": each.table, "wrong": each.num_wrong, "found": str(each)}
                    for each in findings
                ],
                most=60,
            )
        },
    )
