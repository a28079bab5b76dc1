"""The matrix of one group of a dataset: samples put together as its recipe says.

Source: refine.bio's datasets. The samples' genes are read and cleaned, and their values
brought to a log scale where the recipe and the values ask for it; the genes that all have
are kept, in the order of the first sample's; samples are quantile-normalised, and genes
scaled over the group. Where refine.bio leaves it open or errs:

- A gene of which a sample has no value is not among that sample's genes. What log2 makes of
  negative values (missing) stays in the matrix, and so does that of zeros (-inf), unless
  quantile normalisation gives it the target's smallest value.
- In a group of several organisms each sample is brought to its own organism's target.
- Samples that cannot be used are left out with the reason.

Values are float32 after every step. They lie on disk: memory depends little on the number
of samples. Not here: which groups there are and whose samples they have, and what lies
beside the matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.errors import MissingTarget, NothingToDeliver
from refinebio_assets.matrix.join import Join, LeftOut, inner_join
from refinebio_assets.matrix.ks import UpperHalves, check_upper_halves
from refinebio_assets.matrix.quantile import apply_target
from refinebio_assets.matrix.scale import robustly_scaled, scaled_to_unit_range, standardised
from refinebio_assets.publish.disk_matrix import DiskMatrix, Spool, Values
from refinebio_assets.publish.group_samples import (
    GatheredSamples,
    GroupSample,
    OnProgress,
    gather,
)
from refinebio_assets.publish.matrix_files import (
    CELLS_AT_A_TIME,
    write_h5ad,
    write_parquet,
    write_tsv,
)
from refinebio_assets.publish.overview import (
    Components,
    Distributions,
    Spread,
    bins_for,
    heights,
    principal_components,
)
from refinebio_assets.publish.recipe import Format, Recipe, ScaleBy

__all__ = ["Assembled", "GroupSample", "assemble"]

Reals = NDArray[np.floating[Any]]

MEMORY_BYTES: Final = 512 << 20

_BYTES_PER_CELL_OF_PANEL: Final = 32
_SAMPLES_FOR_BINS: Final = 50
_SCALERS: Final[dict[ScaleBy, Callable[[Reals, Reals], Reals]]] = {
    "STANDARD": standardised,
    "MINMAX": scaled_to_unit_range,
    "ROBUST": robustly_scaled,
}


@dataclass(frozen=True, eq=False)
class Assembled:
    """A group's matrix, as files, and what is to be said of it.

    Attributes
    ----------
    genes, samples
        Of the matrix; samples in the order in which they were asked for.
    left_out
        In that order too.
    files
        Format -> the file.
    ks
        The check of quantile normalisation; None without that, and of a single sample.
    before, after
        How the samples' values are distributed before and after quantile normalisation,
        unscaled; `after` is None without it.
    components
        The samples by principal components of the unscaled values; None where no two
        genes vary.
    warnings
        Sentences for whoever uses the matrix.
    """

    genes: pl.Series
    samples: list[str]
    left_out: list[LeftOut]
    files: dict[Format, Path]
    ks: UpperHalves | None
    before: Distributions
    after: Distributions | None
    components: Components | None
    warnings: list[str]


def _silent(stage: str, done: int, total: int) -> None:
    pass


def assemble(
    name: str,
    samples: Sequence[GroupSample],
    *,
    recipe: Recipe,
    targets: Mapping[str, Reals],
    folder: Path,
    scratch: Path,
    described: pl.DataFrame | None = None,
    memory_bytes: int = MEMORY_BYTES,
    on_progress: OnProgress = _silent,
) -> Assembled:
    """Make a group's matrix and write it as `<folder>/<name>.<format>`.

    The same samples and recipe give the same bytes.

    Parameters
    ----------
    samples
        In the order that the matrix will have. The first of each name counts that has values.
    targets
        Organism -> the target of its quantile normalisation, if the recipe has any.
    scratch
        A folder with room for eight bytes a value.
    described
        What AnnData says of the samples: first column the sample, and a row for each; there
        may be more.
    memory_bytes
        For values; some 400 MB beside it, and about three kilobytes a sample.
    on_progress
        Is told what is done with ("read", "normalised", "written as tsv", …), of how many,
        how many.

    Raises
    ------
    MissingTarget
        An organism has no target.
    NothingToDeliver
        Not one sample can be used.
    """
    missing = sorted({each.organism for each in samples} - targets.keys())
    if recipe.quantile_normalize and missing:
        raise MissingTarget(f"{missing[0]} has no quantile normalisation target.")
    with ExitStack() as files:
        spool = files.enter_context(Spool(scratch))
        gathered = gather(samples, recipe.aggregate_by, spool, memory_bytes, on_progress)
        join = inner_join(gathered.lists)
        left_out = _in_order([*gathered.left_out, *join.left_out], samples)
        if not join.samples:
            reasons = "; ".join(f"{each.sample}: {each.reason}" for each in left_out)
            raise NothingToDeliver(f"{name} has no sample that can be used. {reasons}"[:2000])
        shape = (len(join.samples), len(join.genes))
        cells = memory_bytes // _BYTES_PER_CELL_OF_PANEL
        matrix = files.enter_context(DiskMatrix(scratch, shape, cells))
        organisms = [gathered.organisms[sample] for sample in join.samples]
        used_targets = targets if recipe.quantile_normalize else None
        filled = _fill(matrix, _Rows(join, gathered, spool), organisms, used_targets, on_progress)
        spool.close()
        ks = None
        if used_targets is not None and matrix.samples > 1:
            by_sample: Any = _BySample(matrix)
            ks = check_upper_halves(by_sample, join.samples)
        components = principal_components(matrix, filled.variances)
        if recipe.scale_by != "NONE":
            _scale(matrix, _SCALERS[recipe.scale_by], on_progress)
        if described is not None:
            described = _of_samples(described, join.samples)
        paths = _write(folder / name, matrix, join, recipe, described, on_progress)
    return Assembled(
        genes=join.genes,
        samples=join.samples,
        left_out=left_out,
        files=paths,
        ks=ks,
        before=filled.before,
        after=filled.after,
        components=components,
        warnings=_warnings(filled, organisms, ks),
    )


def _in_order(left_out: Sequence[LeftOut], samples: Sequence[GroupSample]) -> list[LeftOut]:
    place = {each.sample: number for number, each in reversed(list(enumerate(samples)))}
    return sorted(left_out, key=lambda each: place[each.sample])


def _warnings(filled: _Filled, organisms: Sequence[str], ks: UpperHalves | None) -> list[str]:
    warnings = []
    if filled.not_finite:
        warnings.append(
            f"{filled.not_finite} of {len(organisms)} samples have missing or infinite values; "
            "log2 makes them of negative values and of zeros."
        )
    if filled.after is not None and len(set(organisms)) > 1:
        warnings.append(
            "Samples are normalised to the targets of their own organisms: "
            f"{', '.join(sorted(set(organisms)))}."
        )
    if ks is not None and ks.warning is not None:
        warnings.append(ks.warning)
    return warnings


# --- the matrix -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Filled:
    """What was seen of a matrix, of which `not_finite` samples have a value that is not."""

    before: Distributions
    after: Distributions | None
    variances: NDArray[np.float64]
    not_finite: int


class _Rows:
    """The samples of a join, by number: their values for its genes, in its order."""

    def __init__(self, join: Join, gathered: GatheredSamples, spool: Spool) -> None:
        self._join, self._gathered, self._spool = join, gathered, spool
        self._sources: dict[int, NDArray[np.intp]] = {}  # of columns, by identity

    def __getitem__(self, number: int) -> Values:
        column = self._join.columns[number]
        if id(column) not in self._sources:
            self._sources[id(column)] = column.source[np.argsort(column.rows)]
        vector = self._spool.read(self._gathered.vectors[self._join.samples[number]])
        return vector[self._sources[id(column)]]

    def some(self, most: int) -> Iterator[Values]:
        """So many samples at equal distances, and no more."""
        size = len(self._join.samples)
        for number in np.unique(np.linspace(0, size - 1, min(size, most)).astype(int)):
            yield self[number]


def _fill(
    matrix: DiskMatrix,
    rows: _Rows,
    organisms: Sequence[str],
    targets: Mapping[str, Reals] | None,
    on_progress: OnProgress,
) -> _Filled:
    """Put the samples into the matrix, brought to the targets of their organisms if any."""
    before = _empty(matrix, bins_for(rows.some(_SAMPLES_FOR_BINS)))
    after = None
    if targets is not None:
        after = _empty(matrix, bins_for(targets[each] for each in sorted(set(organisms))))
    spread = Spread(matrix.genes)
    not_finite = 0
    step = max(1, CELLS_AT_A_TIME // matrix.genes)
    for first in range(0, matrix.samples, step):
        here = slice(first, min(first + step, matrix.samples))
        block = np.stack([rows[number] for number in range(here.start, here.stop)])
        before.heights[here] = heights(block, before.edges)
        not_finite += int(np.count_nonzero(~np.isfinite(block).all(axis=1)))
        if targets is not None and after is not None:
            _normalise(block, organisms[here], targets)
            after.heights[here] = heights(block, after.edges)
        spread.add(block)
        matrix.write_samples(first, block)
        on_progress("normalised", here.stop, matrix.samples)
    return _Filled(before, after, spread.variances(), not_finite)


def _empty(matrix: DiskMatrix, edges: NDArray[np.float64]) -> Distributions:
    return Distributions(edges, np.empty((matrix.samples, len(edges) - 1), np.float32))


def _normalise(block: Values, organisms: Sequence[str], targets: Mapping[str, Reals]) -> None:
    """Bring samples, (samples, genes), to the targets of their organisms, in place."""
    for organism in dict.fromkeys(organisms):
        rows = np.array([each == organism for each in organisms])
        if rows.all():
            apply_target(block.T, targets[organism], out=block.T)
        else:
            block[rows] = apply_target(block[rows].T, targets[organism]).T


class _BySample:
    """A matrix on disk as the check of upper halves reads it: (genes, samples) by samples."""

    ndim = 2

    def __init__(self, matrix: DiskMatrix) -> None:
        self._matrix = matrix
        self.shape = (matrix.genes, matrix.samples)

    def __getitem__(self, genes_and_sample: tuple[slice, int]) -> Values:
        _, sample = genes_and_sample
        values: Values = self._matrix.read_samples(sample, sample + 1)[0]
        return values


def _scale(
    matrix: DiskMatrix, scaler: Callable[[Reals, Reals], Reals], on_progress: OnProgress
) -> None:
    for panel in matrix.panels:
        values = matrix.read_panel(panel)
        scaler(values.T, values.T)
        matrix.write_panel(panel, values)
        on_progress("scaled", panel.stop, matrix.genes)


# --- files ----------------------------------------------------------------------------


def _of_samples(described: pl.DataFrame, samples: Sequence[str]) -> pl.DataFrame:
    """The rows of the samples, in their order, without the column that names them."""
    name = described.columns[0]
    rows = described.unique(name, keep="first", maintain_order=True)
    wanted = pl.DataFrame({name: list(samples)})
    return wanted.join(rows, on=name, how="left", maintain_order="left").drop(name)


def _write(
    stem: Path,
    matrix: DiskMatrix,
    join: Join,
    recipe: Recipe,
    described: pl.DataFrame | None,
    on_progress: OnProgress,
) -> dict[Format, Path]:
    paths = {each: stem.with_name(f"{stem.name}.{each}") for each in recipe.formats}
    for each, path in paths.items():
        total = matrix.genes if each == "tsv" else matrix.samples

        def told(done: int, each: str = each, total: int = total) -> None:
            on_progress(f"written as {each}", done, total)

        if each == "tsv":
            write_tsv(path, matrix, join.genes, join.samples, told)
        elif each == "parquet":
            write_parquet(path, matrix, join.genes, join.samples, told)
        else:
            write_h5ad(path, matrix, join.genes, join.samples, described, told)
    return paths
