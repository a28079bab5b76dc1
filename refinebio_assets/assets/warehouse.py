"""`warehouse`: the DuckDB catalogue over everything published."""

import dagster as dg

from refinebio_assets.assets import previews
from refinebio_assets.partitions import register_organisms
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse


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
    return dg.MaterializeResult(
        metadata={
            **{f"rows_{table}": rows for table, rows in counts.items()},
            "path": dg.MetadataValue.path(storage.catalogue()),
            "preview": previews.table(
                [{"table": table, "rows": rows} for table, rows in counts.items()], most=30
            ),
        }
    )
