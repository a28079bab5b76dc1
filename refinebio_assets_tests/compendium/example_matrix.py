"""Matrices of compendia, made up: values, what each is, and names in the order of a release."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.compendium.assembly import MISSING, ORIGINS


@dataclass(frozen=True, eq=False)
class Example:
    genes: pl.Series
    samples: list[str]
    values: NDArray[np.float32]
    origins: NDArray[np.uint8]

    def write_into(self, writer: Any, sizes: list[int]) -> None:
        """Hand everything over in blocks of these sizes, over and over."""
        start = turn = 0
        while start < len(self.samples):
            end = start + sizes[turn % len(sizes)]
            writer.write(self.values[start:end], self.origins[start:end])
            start, turn = end, turn + 1

    def rows(self) -> pl.DataFrame:
        """Long rows, by gene and sample."""
        return pl.DataFrame(
            {
                "gene": np.repeat(self.genes.to_numpy(), len(self.samples)),
                "sample": self.samples * len(self.genes),
                "value": self.values.T.ravel(),
                "origin": [ORIGINS[each] for each in self.origins.T.ravel()],
            }
        ).with_columns(pl.col("value").fill_nan(None))


def example(samples: int, genes: int, *, gaps: bool = False, seed: int = 0) -> Example:
    """Samples that share their values, as quantile-normalised ones do."""
    rng = np.random.default_rng(seed)
    target = np.sort(rng.normal(7, 3, genes)).astype(np.float32)
    values = np.array([rng.permutation(target) for _ in range(samples)], np.float32)
    origins = rng.integers(0, MISSING, (samples, genes)).astype(np.uint8)
    if gaps:
        origins[rng.random((samples, genes)) < 0.2] = MISSING
        values[origins == MISSING] = np.nan
    half = samples // 2
    names = [f"GSM{1000 + 7 * n}" for n in range(half)]
    names += [f"DRR{1000 + 3 * n}" for n in range(samples - half)]
    return Example(
        pl.Series([f"ENSG{3 + 7 * n:011d}" for n in range(genes)]), names, values, origins
    )
