"""The samples of a compendium joined into one matrix on a log scale, gaps and all.

Source: refine.bio's normalized compendia. Genes that most samples have are considered. In the
RNA-seq samples those of the lowest counts are set aside; counts become log2(x + 1); zeros
count as missing while genes, then samples, of too many missing values are dropped, and are
zeros again afterwards. What is infinite is missing in the end. Where refine.bio errs or
leaves it open:

- Counts are summed before the logarithm, which is taken once.
- A gene or a sample without any finite value left is dropped: nothing can be imputed from it.
- Shares are compared as the decimals they are written as: 3 of 10 missing is not above 0.3.

Values lie on disk, and are passed over three times; memory depends little on the number of
samples. Not here: which samples are wanted, imputation, quantile normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.compendium.rules import Rules
from refinebio_assets.errors import NothingToDeliver
from refinebio_assets.matrix.join import Join, LeftOut, outer_join
from refinebio_assets.matrix.log_scale import log2_of_counts
from refinebio_assets.metadata.platforms import RNA_SEQ
from refinebio_assets.publish.disk_matrix import DiskMatrix, Spool, Values
from refinebio_assets.publish.group_samples import (
    GatheredSamples,
    GroupSample,
    OnProgress,
    gather,
)

Mask = NDArray[np.bool_]

MEMORY_BYTES: Final = 512 << 20
CELLS_AT_A_TIME: Final = 4_000_000
ORIGINS: Final = ("measured", "imputed", "zero restored", "missing")
MEASURED, IMPUTED, ZERO_RESTORED, MISSING = range(4)

_BYTES_PER_CELL_OF_PANEL: Final = 32


@dataclass(frozen=True, eq=False)
class JoinedMatrix:
    """A compendium's samples before imputation, on disk until it is closed.

    Attributes
    ----------
    matrix
        (samples, genes) on the log2 scale; what is missing is NaN.
    genes
        Sorted.
    samples
        Arrays, then RNA-seq, each by accession.
    is_rnaseq
        (samples,)
    left_out
        In the order in which samples were asked for.
    genes_seen
        That any usable sample has.
    genes_considered
        Of them, those that enough samples have.
    genes_with_low_counts
        Of those, the ones taken out of the RNA-seq samples. Enough arrays keep a gene.
    dropped_genes
        Why a gene that was seen is not in the matrix -> how many.
    missing_per_gene, missing_per_sample
        Shares of the matrix's values.
    zeros_restored
        Values that are RNA-seq counts of 0.
    """

    matrix: DiskMatrix
    genes: pl.Series
    samples: list[str]
    is_rnaseq: Mask
    left_out: list[LeftOut]
    genes_seen: int
    genes_considered: int
    genes_with_low_counts: int
    dropped_genes: dict[str, int]
    missing_per_gene: NDArray[np.float64]
    missing_per_sample: NDArray[np.float64]
    zeros_restored: int

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the values up."""
        self.matrix.close()

    @property
    def share_missing(self) -> float:
        """Mean over genes of the share of missing values; refine.bio's `total_percent_imputed`."""
        return float(self.missing_per_gene.mean())


def _silent(stage: str, done: int, total: int) -> None:
    pass


def join_samples(
    samples: Sequence[GroupSample],
    rules: Rules,
    scratch: Path,
    memory_bytes: int = MEMORY_BYTES,
    on_progress: OnProgress = _silent,
) -> JoinedMatrix:
    """Put samples together as a compendium does, up to imputation; to be closed by the caller.

    The result does not depend on the order of the samples, but for the first of a name, which
    is the one that counts.

    Parameters
    ----------
    scratch
        A folder with room for eight bytes a value.
    memory_bytes
        For values; some 400 MB beside it, and 12 bytes a gene for each different list of genes.
    on_progress
        Is told what is done with ("read", "genes counted", "samples counted", "joined"), of
        how many, how many.

    Raises
    ------
    NothingToDeliver
        No sample, or no gene, is left.
    """
    first = {each.sample: each for each in reversed(samples)}
    wanted = sorted(first.values(), key=lambda each: (each.technology == RNA_SEQ, each.sample))
    left_out = [
        LeftOut(each.sample, "A sample of this name is there already.")
        for each in samples
        if first[each.sample] is not each
    ]
    with ExitStack() as files:
        spool = files.enter_context(Spool(scratch))
        # As for experiments, so that counts stay counts.
        gathered = gather(wanted, "EXPERIMENT", spool, memory_bytes, on_progress)
        join = outer_join(gathered.lists)
        left_out += gathered.left_out
        if not join.samples:
            raise _nothing("no sample can be used", _in_order(left_out, samples))
        is_rnaseq = np.array([first[each].technology == RNA_SEQ for each in join.samples])
        rows = _Rows(join, gathered, spool)
        chosen = _choose_genes(rows, is_rnaseq, rules, on_progress)
        left_out += _left_out(join, chosen.without, "It has none of the genes considered.")
        if not chosen.kept.any():
            raise _nothing("no gene is left", _in_order(left_out, samples))
        numbers = np.setdiff1d(np.arange(len(join.samples)), chosen.without)
        final = _FinalRows(rows, is_rnaseq, chosen)
        counted = _choose_samples(final, numbers, rules, on_progress)
        left_out += [LeftOut(join.samples[each], why) for each, why in counted.left_out.items()]
        if not len(counted.kept):
            raise _nothing("no sample is left", _in_order(left_out, samples))
        some = np.flatnonzero(counted.known_per_gene)
        shape = (len(counted.kept), len(some))
        matrix = DiskMatrix(scratch, shape, memory_bytes // _BYTES_PER_CELL_OF_PANEL)
        files.enter_context(matrix)
        step = max(1, CELLS_AT_A_TIME // matrix.genes)
        for start in range(0, matrix.samples, step):
            block = np.stack([final[each][some] for each in counted.kept[start : start + step]])
            matrix.write_samples(start, block)
            on_progress("joined", start + len(block), matrix.samples)
        spool.close()
        files.pop_all()
    genes = np.flatnonzero(chosen.kept)[some]
    return JoinedMatrix(
        matrix=matrix,
        genes=join.genes.gather(chosen.considered[genes]),
        samples=[join.samples[each] for each in counted.kept],
        is_rnaseq=is_rnaseq[counted.kept],
        left_out=_in_order(left_out, samples),
        genes_seen=len(join.genes),
        genes_considered=len(chosen.considered),
        genes_with_low_counts=int(chosen.low.sum()),
        dropped_genes=_dropped(len(join.genes), chosen, genes),
        missing_per_gene=1 - counted.known_per_gene[some] / matrix.samples,
        missing_per_sample=1 - counted.known_per_sample / matrix.genes,
        zeros_restored=counted.zeros,
    )


def origin_of(values: NDArray[np.floating[Any]], is_rnaseq: Mask) -> NDArray[np.uint8]:
    """What each value of the joined matrix is, as an index of `ORIGINS`, if gaps are imputed.

    Parameters
    ----------
    values
        (samples, genes) before imputation.
    is_rnaseq
        (samples,)
    """
    origins = np.zeros(values.shape, np.uint8)
    origins[~np.isfinite(values)] = IMPUTED
    origins[(values == 0) & is_rnaseq[:, None]] = ZERO_RESTORED
    return origins


# --- who is left out, in words --------------------------------------------------------


def _nothing(what: str, left_out: Sequence[LeftOut]) -> NothingToDeliver:
    reasons = "; ".join(f"{each.sample}: {each.reason}" for each in left_out)
    return NothingToDeliver(f"There is no compendium, for {what}. {reasons}".strip()[:2000])


def _left_out(join: Join, numbers: Sequence[int], reason: str) -> list[LeftOut]:
    return [LeftOut(join.samples[each], reason) for each in numbers]


def _in_order(left_out: Sequence[LeftOut], samples: Sequence[GroupSample]) -> list[LeftOut]:
    place = {each.sample: number for number, each in reversed(list(enumerate(samples)))}
    return sorted(left_out, key=lambda each: place[each.sample])


def _dropped(seen: int, chosen: _Genes, genes: NDArray[np.intp]) -> dict[str, int]:
    considered = len(chosen.considered)
    low = int(chosen.low.sum() - chosen.low[genes].sum())
    counts = {
        "in too few samples": seen - considered,
        "low counts": low,
        "missing in too many samples": considered - len(genes) - low,
    }
    return {reason: count for reason, count in counts.items() if count}


# --- what is kept ---------------------------------------------------------------------


class _Rows:
    """The samples of a join, by number: their values for some of its genes, in its order.

    RNA-seq is on the scale of counts; what a sample lacks is NaN.
    """

    def __init__(self, join: Join, gathered: GatheredSamples, spool: Spool) -> None:
        self.join = join
        self._gathered, self._spool = gathered, spool
        self.choose(np.arange(len(join.genes)))

    def choose(self, genes: NDArray[np.intp]) -> None:
        """Have the values of these genes from now on."""
        self._genes = genes
        self._sources: dict[int, NDArray[np.intp]] = {}  # of columns, by identity

    def __getitem__(self, number: int) -> Values:
        column = self.join.columns[number]
        if id(column) not in self._sources:
            source = np.full(len(self.join.genes), -1)  # the last, which is missing
            source[column.rows] = column.source
            self._sources[id(column)] = source[self._genes]
        vector = self._spool.read(self._gathered.vectors[self.join.samples[number]])
        values: Values = np.append(vector, np.float32(np.nan))[self._sources[id(column)]]
        return values


@dataclass(frozen=True, eq=False)
class _Genes:
    """Which genes there will be.

    `considered` are rows of the join. Of each of them, `low` says whether RNA-seq counts are
    too low, `kept` whether it is kept. `without` are the RNA-seq samples that have none.
    """

    considered: NDArray[np.intp]
    low: Mask
    kept: Mask
    without: list[int]


def _choose_genes(rows: _Rows, is_rnaseq: Mask, rules: Rules, on_progress: OnProgress) -> _Genes:
    """Pass over all samples for the genes that are kept; leaves the rows at those considered."""
    total = len(is_rnaseq)
    considered = np.flatnonzero(rows.join.coverage > _at_most(rules.gene_presence, total))
    rows.choose(considered)
    sums = np.zeros(len(considered))
    known_of_arrays = np.zeros(len(considered), np.int64)
    known_of_rnaseq = np.zeros(len(considered), np.int64)
    without = []
    for number in range(total):
        row = rows[number]
        if not is_rnaseq[number]:
            known_of_arrays += ~np.isnan(row)
        elif np.isnan(row).all():
            without.append(number)
        else:
            np.add(sums, row, out=sums, where=np.isfinite(row))
            known_of_rnaseq += _is_above_zero(_logged(row))
        on_progress("genes counted", number + 1, total)
    low = np.zeros(len(considered), np.bool_)
    if len(considered) and is_rnaseq.sum() > len(without):
        low = sums < np.percentile(sums, rules.low_count_percentile)
    left = total - len(without)
    missing = left - known_of_arrays - np.where(low, 0, known_of_rnaseq)
    kept = missing <= _at_most(rules.most_missing_per_gene, left)
    return _Genes(considered, low, kept, without)


class _FinalRows:
    """The samples, by number, as the matrix will have them, but for genes without any value."""

    def __init__(self, rows: _Rows, is_rnaseq: Mask, chosen: _Genes) -> None:
        rows.choose(chosen.considered[chosen.kept])
        self._rows = rows
        self._low = np.flatnonzero(chosen.low[chosen.kept])
        self.genes = int(chosen.kept.sum())
        self.is_rnaseq = is_rnaseq

    def logged(self, number: int) -> Values:
        """With what is infinite."""
        row = self._rows[number]
        if self.is_rnaseq[number]:
            row = _logged(row)
            row[self._low] = np.nan
        return row

    def __getitem__(self, number: int) -> Values:
        row = self.logged(number)
        row[np.isinf(row)] = np.nan
        return row


@dataclass(frozen=True, eq=False)
class _Samples:
    """Which samples there will be, by number, and how many of their values are known."""

    kept: NDArray[np.intp]
    left_out: dict[int, str]
    known_per_gene: NDArray[np.int64]
    known_per_sample: NDArray[np.int64]
    zeros: int


def _choose_samples(
    rows: _FinalRows, numbers: NDArray[np.intp], rules: Rules, on_progress: OnProgress
) -> _Samples:
    kept: list[int] = []
    left_out: dict[int, str] = {}
    known_per_sample: list[int] = []
    known_per_gene = np.zeros(rows.genes, np.int64)
    zeros = 0
    most_missing = _at_most(rules.most_missing_per_sample, rows.genes)
    least = f"{float(100 * (1 - _exact(rules.most_missing_per_sample))):g}"
    for done, number in enumerate(numbers.tolist(), 1):
        row = rows.logged(number)
        known = np.isfinite(row)
        is_rnaseq = rows.is_rnaseq[number]
        present = _is_above_zero(row) if is_rnaseq else ~np.isnan(row)
        count = int(np.count_nonzero(present))
        if rows.genes - count > most_missing:
            left_out[number] = (
                f"It has fewer than {least} % present values: {count:,} of {rows.genes:,} genes"
                f"{', zeros not counted' if is_rnaseq else ''}."
            )
        elif not known.any():
            left_out[number] = "It has no finite value."
        else:
            kept.append(number)
            known_per_sample.append(int(np.count_nonzero(known)))
            known_per_gene += known
            if is_rnaseq:
                zeros += int(np.count_nonzero(row == 0))
        on_progress("samples counted", done, len(numbers))
    return _Samples(
        np.array(kept, np.intp),
        left_out,
        known_per_gene,
        np.array(known_per_sample, np.int64),
        zeros,
    )


def _logged(counts: Values) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):
        return log2_of_counts(counts).astype(np.float32, copy=False)


def _is_above_zero(logged: Values) -> Mask:
    """What of an RNA-seq sample counts as present: not missing, and not a zero."""
    present: Mask = ~(np.isnan(logged) | (logged == 0))
    return present


def _exact(share: float) -> Fraction:
    return Fraction(str(share))


def _at_most(share: float, total: int) -> int:
    """The largest number that is not above the share of a total."""
    return math.floor(_exact(share) * total)
