"""The Parquet files that hold expression values, one per experiment and organism.

Long rows sorted by gene, then sample (see docs/architecture.md for the measurements
behind this). Values are float32 from here on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from refinebio_assets.rnaseq.tximport import GeneQuantification

ROWS_PER_GROUP = 32_768


def write_gene_counts(
    path: Path, experiment: str, quantified: Sequence[GeneQuantification]
) -> None:
    """Write RNA-seq values: columns gene, sample, value, counts, effective_length, tpm.

    `value` is length-scaled TPM; `counts` the unscaled estimated counts. Several
    quantifications (samples measured with different indices) are put side by side.
    """
    rows = pl.concat([_long(experiment, each) for each in quantified])
    rows.sort("gene", "sample", maintain_order=True).write_parquet(
        path, compression="zstd", row_group_size=ROWS_PER_GROUP, statistics=True
    )


def samples_of(path: Path) -> set[str]:
    """The samples that an expression file holds."""
    return set(pl.scan_parquet(path).select("sample").unique().collect()["sample"])


def _long(experiment: str, each: GeneQuantification) -> pl.DataFrame:
    genes, samples = len(each.genes), len(each.samples)
    columns = {
        "value": each.length_scaled_tpm(),
        "counts": each.counts,
        "effective_length": each.length,
        "tpm": each.abundance,
    }
    return pl.DataFrame(
        {
            "gene": np.repeat(np.array(each.genes), samples),
            "sample": np.tile(np.array(each.samples), genes),
            **{name: matrix.ravel().astype(np.float32) for name, matrix in columns.items()},
        }
    ).with_columns(pl.lit(experiment).alias("experiment"))
