"""Several samples next to each other: one matrix, and how alike they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

Values = NDArray[np.float32]

BINS = 60
MOST_COMPARED = 200
LEAST_GENES_COMPARED = 100


def means_by_gene(rows: pl.DataFrame) -> tuple[list[str], NDArray[np.float64]]:
    """Genes, sorted, and the mean of each one's rows (columns gene, value); missing left out."""
    known = rows.filter(pl.col("value").is_not_null() & pl.col("value").is_not_nan())
    means = known.group_by("gene").agg(pl.col("value").mean()).sort("gene")
    return means["gene"].to_list(), means["value"].to_numpy()


def side_by_side(samples: Mapping[str, tuple[Sequence[str], Values]]) -> tuple[list[str], Values]:
    """All genes, sorted, and values, genes × samples; NaN where a sample has none.

    Parameters
    ----------
    samples
        Genes, unique and sorted, and their values. Samples that share one list of genes are
        put together without looking any up.
    """
    shared = {id(genes): genes for genes, _ in samples.values()}
    genes = sorted(set().union(*shared.values()))
    if len(shared) == 1 and len(genes) == len(next(iter(shared.values()))):
        return genes, np.column_stack([values for _, values in samples.values()])
    place = {gene: row for row, gene in enumerate(genes)}
    values = np.full((len(genes), len(samples)), np.nan, np.float32)
    for column, (theirs, of_sample) in enumerate(samples.values()):
        values[[place[gene] for gene in theirs], column] = of_sample
    return genes, values


def median_correlations(values: Values) -> list[float | None]:
    """Each sample's median Pearson correlation with up to MOST_COMPARED others.

    Over the genes that all samples have; None where these, or the samples, are too few.
    """
    complete = values[~np.isnan(values).any(axis=1)]
    if values.shape[1] < 2 or len(complete) < LEAST_GENES_COMPARED:
        return [None] * values.shape[1]
    centred = complete - complete.mean(axis=0)
    scaled = centred / np.maximum(np.sqrt((centred**2).sum(axis=0)), np.finfo(np.float32).tiny)
    step = -(-values.shape[1] // MOST_COMPARED)
    found = scaled.T @ scaled[:, ::step]
    found[np.arange(0, values.shape[1], step), np.arange(found.shape[1])] = np.nan
    return [float(value) for value in np.nanmedian(found, axis=1)]


def histograms(values: Values) -> list[list[float]]:
    """The heights of each sample's histogram, over bins that are the same for all."""
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.001, 0.999]) if finite.size else (0.0, 1.0)
    edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    return [
        (np.histogram(column, edges)[0] / max(np.isfinite(column).sum(), 1)).tolist()
        for column in values.T
    ]
