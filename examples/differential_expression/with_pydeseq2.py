"""Differential expression of an experiment in the catalogue, by PyDESeq2.

PyDESeq2 takes whole counts and no lengths. So it is given length-scaled TPM, from which
differences in transcript usage are taken out; `--values counts` shows what happens without.
It wants `pip install pydeseq2`, which needs nothing that this project has in another version.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import duckdb
import pandas as pd
from pydeseq2.dds import DeseqDataSet
from pydeseq2.default_inference import DefaultInference
from pydeseq2.ds import DeseqStats

COLUMNS = ("length_scaled_tpm", "counts")


def main() -> None:
    """Compare two groups of samples; write one row for each gene."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("catalogue", type=Path, help="refinebio.duckdb")
    parser.add_argument("experiment")
    parser.add_argument("field", help="submitted attribute that tells the groups apart")
    parser.add_argument("reference", help="its value in the one group")
    parser.add_argument("treated", help="its value in the other")
    parser.add_argument("output", type=Path, help="TSV to write")
    parser.add_argument("--values", choices=COLUMNS, default="length_scaled_tpm")
    asked = parser.parse_args()

    with duckdb.connect(str(asked.catalogue), read_only=True) as catalogue:
        groups = read_groups(catalogue, asked.experiment, asked.field)
        groups = groups[groups["condition"].isin([asked.reference, asked.treated])]
        counts = read_counts(catalogue, asked.experiment, asked.values).loc[groups.index]
    counts = counts.loc[:, counts.sum() > 0]

    inference = DefaultInference(n_cpus=1)
    dataset = DeseqDataSet(
        counts=counts, metadata=groups, design="~condition", inference=inference, quiet=True
    )
    dataset.deseq2()
    contrast = ["condition", asked.treated, asked.reference]
    statistics = DeseqStats(dataset, contrast=contrast, inference=inference, quiet=True)
    statistics.summary()
    found = statistics.results_df.rename_axis("gene").sort_values("pvalue")
    found.to_csv(asked.output, sep="\t")
    print(f"{(found['padj'] < 0.05).sum()} of {len(found)} genes differ (padj < 0.05)")


def read_groups(catalogue: duckdb.DuckDBPyConnection, experiment: str, field: str) -> pd.DataFrame:
    """What each sample's submitter said in one field: column `condition`, index `sample`."""
    question = (
        "SELECT sample, any_value(value) AS condition FROM sample_attributes "
        "WHERE experiment = ? AND key = ? AND sample IN "
        "(SELECT sample FROM quantifications WHERE experiment = ?) "
        "GROUP BY sample ORDER BY sample"
    )
    return catalogue.execute(question, [experiment, field, experiment]).df().set_index("sample")


def read_counts(catalogue: duckdb.DuckDBPyConnection, experiment: str, values: str) -> pd.DataFrame:
    """Samples × genes, whole numbers; `values` is one of COLUMNS."""
    question = f"SELECT sample, gene, {values} AS value FROM gene_counts WHERE experiment = ?"  # noqa: S608
    rows = catalogue.execute(question, [experiment]).df()
    table = rows.pivot(index="sample", columns="gene", values="value")
    return table.dropna(axis="columns").round().astype("int64")


if __name__ == "__main__":
    main()
