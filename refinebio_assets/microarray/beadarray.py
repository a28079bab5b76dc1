"""Illumina bead arrays: a table's signals to expression by gene, as refine.bio makes them.

log2, background correction (limma's nec, which the caller provides) and SCAN, array by array;
then the probes that are good and stand for a gene. Sources: refine.bio's `illumina.R`; Shi,
Oshlack and Smyth, Nucleic Acids Research 38:e204 (2010), for nec; `scan.py` for SCAN. Not
here: the table (`bead_table.py`), which column is what (`bead_columns.py`), which array it
is (`bead_platform.py`), R itself, and the averaging of a gene's probes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.errors import (
    IdentifiersNotRecognised,
    InvalidExpressionTable,
    ModelNotFitted,
    NoDetectionPValues,
    RefinebioError,
    TooFewProbes,
    UnpairedPValues,
)
from refinebio_assets.microarray.bead_annotation import BeadAnnotation
from refinebio_assets.microarray.mixture import Fit
from refinebio_assets.microarray.scan import (
    BEAD_ARRAY_SCAN,
    PreparedPlatform,
    prepare_sequences,
    scan,
)

Matrix = NDArray[np.float64]
Background = Callable[[Matrix, Matrix], Matrix]
"""Values and detection p-values, probes × arrays -> corrected values; NaN stays NaN."""

LEAST_PROBES: Final = 1_000
LOG2_ABOVE: Final = 100.0
_LEAST_P_VALUES: Final = 3  # different ones: nec takes the variance of what lies between them


@dataclass(frozen=True, eq=False)
class BeadExpression:
    """The arrays of one table, by gene.

    Attributes
    ----------
    genes, probe_ids
        What the rows are, in the order of the table; a gene with several probes is repeated.
    values
        Rows × arrays; NaN where a probe was missing, all NaN for an array in `errors`.
    fits
        The mixture of each array; None for an array in `errors`.
    errors
        Array (from 0) -> why it could not be normalised.
    num_probes
        Probes of the table that the platform has, with a sequence; the first row of an id.
    num_missing, num_not_positive
        Of these, how many each array does not have (the latter are part of the former), and
        how many have a signal of 0 or less, which has no logarithm.
    is_log2_taken, is_background_corrected
        What was done to all arrays of the table.
    """

    genes: list[str]
    probe_ids: list[str]
    values: Matrix
    fits: list[Fit | None]
    errors: Mapping[int, RefinebioError]
    num_probes: int
    num_missing: list[int]
    num_not_positive: list[int]
    is_log2_taken: bool
    is_background_corrected: bool


def normalise_bead_arrays(
    ids: Iterable[str | None],
    expression: Matrix,
    p_values: Matrix,
    annotation: BeadAnnotation,
    *,
    choices: Mapping[str, str],
    background: Background,
    threads: int = 2,
) -> BeadExpression:
    """Normalise all arrays of a table.

    log2 is taken where the largest signal of the table is above 100; the background is
    corrected where all signals of the table are above 0. SCAN looks at one array alone, but
    these two decisions, as upstream, are about all of them: give the whole table whichever
    arrays are wanted.

    Where log2 is taken, signals of 0 or less become missing (upstream they fail the whole
    file); a missing probe takes no part in the array's fit, and has no value.

    Parameters
    ----------
    ids
        Probe id of every row. Of a repeated id the first row counts.
    expression, p_values
        Signals as submitted and detection p-values, rows × arrays; NaN is missing.
    annotation
        Of the platform of the table.
    choices
        Probe to gene, for probes with several genes.
    background
        limma's nec: offset 16, not robust. Called at most once.
    threads
        Arrays at the same time.

    Raises
    ------
    TooFewProbes
        Fewer than 1,000 rows are probes of the platform.
    UnpairedPValues
        A p-value is not between 0 and 1.
    InvalidExpressionTable
        All signals are missing.
    IdentifiersNotRecognised
        None of the probes is good and stands for a gene.
    RefinebioError
        What is wrong with the first array, where something is with each; what `background`
        raises.
    """
    places = _annotated_rows(ids, annotation)
    if len(places) < LEAST_PROBES:
        raise TooFewProbes(
            f"{len(places)} rows of the table are probes of its platform; "
            f"at least {LEAST_PROBES} are needed."
        )
    rows, probes = places["row"].to_numpy(), places["probe"].to_numpy()
    kept = annotation.gene_of_probe(choices).gather(probes).alias("gene")
    if kept.null_count() == len(kept):
        raise IdentifiersNotRecognised("None of the table's probes is good and of a known gene.")
    values, p_values = expression[rows], p_values[rows]
    _check_p_values(p_values)
    not_positive = values <= 0
    corrects_background = not not_positive.any()
    takes_log2 = _take_log2(values)
    missing = np.isnan(values).sum(axis=0)

    errors = _unfit_arrays(values, p_values if corrects_background else None)
    arrays = [array for array in range(values.shape[1]) if array not in errors]
    if corrects_background and arrays:
        values[:, arrays] = background(values[:, arrays], p_values[:, arrays])
    del p_values
    fits = _scan_arrays(values, annotation.sequence[probes], arrays, errors, threads)
    if len(errors) == values.shape[1]:
        raise errors[0]

    is_kept = kept.is_not_null().to_numpy()
    return BeadExpression(
        genes=kept.drop_nulls().to_list(),
        probe_ids=annotation.probe_ids.gather(probes[is_kept]).to_list(),
        values=values[is_kept],
        fits=fits,
        errors=errors,
        num_probes=len(rows),
        num_missing=missing.tolist(),
        num_not_positive=not_positive.sum(axis=0).tolist(),
        is_log2_taken=takes_log2,
        is_background_corrected=corrects_background,
    )


def _annotated_rows(ids: Iterable[str | None], annotation: BeadAnnotation) -> pl.DataFrame:
    """Columns `row` of the table and `probe` of the annotation, in the order of the table."""
    known = (
        pl.DataFrame({"id": annotation.probe_ids})
        .with_row_index("probe")
        .filter(pl.Series(annotation.has_sequence))
    )
    texts = ids if isinstance(ids, pl.Series) else list(ids)
    return (
        pl.DataFrame({"id": texts}, schema={"id": pl.String})
        .with_row_index("row")
        .filter(pl.col("id").is_first_distinct())
        .join(known, on="id", how="inner", maintain_order="left")
    )


def _check_p_values(p_values: Matrix) -> None:
    outside = ((p_values < 0) | (p_values > 1)).any(axis=0)  # not so where it is missing
    if outside.any():
        raise UnpairedPValues(
            f"The detection p-values of array {outside.argmax() + 1} are not between 0 and 1: "
            "the columns may be in another order than their names."
        )


def _take_log2(values: Matrix) -> bool:
    """Whether the values are signals; they become logarithms then, in place."""
    known = ~np.isnan(values)
    if not known.any():
        raise InvalidExpressionTable("All signals of the platform's probes are missing.")
    if np.max(values, where=known, initial=-np.inf) <= LOG2_ABOVE:
        return False
    values[values <= 0] = np.nan
    np.log2(values, out=values)
    return True


def _unfit_arrays(values: Matrix, p_values: Matrix | None) -> dict[int, RefinebioError]:
    """Arrays of which nothing can be made; `p_values` where they are needed."""
    errors: dict[int, RefinebioError] = {}
    for array in range(values.shape[1]):
        known = ~np.isnan(values[:, array])
        if known.sum() < LEAST_PROBES:
            errors[array] = TooFewProbes(
                f"{known.sum()} probes have a signal; at least {LEAST_PROBES} are needed."
            )
        elif np.ptp(values[known, array]) == 0:
            errors[array] = ModelNotFitted("All signals are the same.")
        elif p_values is not None:
            different = np.unique(p_values[known, array])
            if np.count_nonzero(~np.isnan(different)) < _LEAST_P_VALUES:
                errors[array] = NoDetectionPValues("The detection p-values are all alike.")
    return errors


def _scan_arrays(
    values: Matrix,
    sequence: NDArray[np.uint8],
    arrays: list[int],
    errors: dict[int, RefinebioError],
    threads: int,
) -> list[Fit | None]:
    """SCAN each of the arrays, in place; what fails is added to `errors`."""
    fits: list[Fit | None] = [None] * values.shape[1]
    known = ~np.isnan(values)
    complete = prepare_sequences(sequence, BEAD_ARRAY_SCAN) if known.all(axis=0).any() else None

    def platform_of(array: int) -> PreparedPlatform:
        if complete is not None and known[:, array].all():
            return complete
        return prepare_sequences(sequence[known[:, array]], BEAD_ARRAY_SCAN)

    def scan_array(array: int) -> None:
        try:
            found = scan(values[known[:, array], array], platform_of(array))
        except RefinebioError as error:
            errors[array] = error
        else:
            values[known[:, array], array] = found.values
            fits[array] = found.fit

    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        list(pool.map(scan_array, arrays))
    values[:, list(errors)] = np.nan
    return fits
