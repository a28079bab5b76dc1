"""Bead arrays from table to genes: the reference vectors, real signals, and the decisions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from refinebio_assets.errors import (
    IdentifiersNotRecognised,
    InvalidExpressionTable,
    ModelNotFitted,
    NoDetectionPValues,
    RefinebioError,
    TooFewProbes,
    ToolMissing,
    UnpairedPValues,
)
from refinebio_assets.microarray.bead_annotation import BeadAnnotation, read_bead_annotation
from refinebio_assets.microarray.bead_columns import BeadSample, find_columns
from refinebio_assets.microarray.bead_table import read_bead_table
from refinebio_assets.microarray.beadarray import (
    Background,
    BeadExpression,
    Matrix,
    normalise_bead_arrays,
)
from refinebio_assets.microarray.scan import BEAD_ARRAY_SCAN, prepare_sequences, scan
from refinebio_assets.resources.r import R
from refinebio_assets_tests.conftest import shared_data

CODES = {"A": 0, "C": 1, "G": 2, "T": 3}


def annotation_of(ids: pl.Series, sequence: NDArray[np.uint8]) -> BeadAnnotation:
    """Every probe is perfect and stands for a gene of its own."""
    return BeadAnnotation(
        probe_ids=ids.alias("probe_id"),
        sequence=sequence,
        has_sequence=np.ones(len(ids), dtype=bool),
        quality=pl.Series("quality", ["Perfect"] * len(ids)),
        genes=pl.Series("genes", [[f"E{each}"] for each in ids]),
    )


class Reference:
    """The vectors made by refine.bio's R code: 5,000 probes, 3 arrays."""

    def __init__(self) -> None:
        table = pl.read_parquet(shared_data("scan/illumina/probes.parquet"))
        self.ids = table["probe_id"]
        self.raw = table.select(pl.col(r"^S\d\.AVG_Signal$")).to_numpy()
        self.p = table.select(pl.col(r"^S\d\.Detection Pval$")).to_numpy()
        self.corrected = table.select(pl.col(r"^nec_S\d$")).to_numpy()
        self.wanted = table.select(pl.col(r"^scan_S\d$")).to_numpy()
        sequence = [[CODES[base] for base in probe] for probe in table["sequence"]]
        self.annotation = annotation_of(self.ids, np.array(sequence, dtype=np.uint8))

    def nec(self, values: Matrix, p_values: Matrix) -> Matrix:
        """What limma made of these very values."""
        np.testing.assert_allclose(values, np.log2(self.raw), rtol=1e-15)
        np.testing.assert_array_equal(p_values, self.p)
        return self.corrected

    def normalise(self, raw: Matrix | None = None, **changed: object) -> BeadExpression:
        arguments: dict[str, object] = {
            "ids": self.ids,
            "expression": self.raw if raw is None else raw,
            "p_values": self.p,
            "annotation": self.annotation,
            "choices": {},
            "background": no_background,
        }
        return normalise_bead_arrays(**{**arguments, **changed})  # type: ignore[arg-type]


def no_background(values: Matrix, p_values: Matrix) -> Matrix:
    raise AssertionError("The background was to be left alone.")


def unchanged(values: Matrix, p_values: Matrix) -> Matrix:
    return values


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


# --- the reference --------------------------------------------------------------------


def assert_is_reference(found: BeadExpression, reference: Reference) -> None:
    np.testing.assert_allclose(found.values, reference.wanted, rtol=0, atol=2e-8)
    assert found.probe_ids == reference.ids.to_list()
    assert found.genes[0] == f"E{found.probe_ids[0]}"
    assert (found.is_log2_taken, found.is_background_corrected) == (True, True)
    assert [fit.iterations for fit in found.fits if fit] == [11, 8, 6]
    assert (found.errors, found.num_probes, found.num_missing) == ({}, 5000, [0, 0, 0])


def test_reference_vectors(reference: Reference) -> None:
    assert_is_reference(reference.normalise(background=reference.nec, threads=3), reference)


@pytest.fixture(scope="module")
def r() -> R:
    pytest.importorskip("rpy2")
    try:
        R().version()
    except ToolMissing as error:
        pytest.skip(str(error))
    if "limma" not in R().package_versions():
        pytest.skip("limma is not installed")
    return R()


def test_reference_vectors_through_r(reference: Reference, r: R) -> None:
    assert_is_reference(reference.normalise(background=r.nec), reference)


def test_an_array_made_of_one_number(r: R) -> None:
    """Numbers that refine.bio's R code gave for an array that a small generator makes."""
    state = 7

    def draw() -> int:
        nonlocal state
        state = 16807 * state % 2147483647
        return state // 65536

    sequence = np.empty((5000, 50), dtype=np.uint8)
    raw = np.empty((5000, 1))
    for probe in range(5000):
        sequence[probe] = [draw() % 4 for _ in range(50)]
        gc = np.count_nonzero((sequence[probe] == 1) | (sequence[probe] == 2))
        raw[probe] = 2 ** (6.5 + 0.03 * gc + 5 * (draw() % 1000 / 1000) ** 3)
    rank = np.searchsorted(np.sort(raw[:, 0]), raw[:, 0])[:, None] + 1  # of equals the lowest
    ids = pl.Series([f"p{probe}" for probe in range(5000)])
    found = normalise_bead_arrays(
        ids,
        raw,
        1 - rank / 5000,
        annotation_of(ids, sequence),
        choices={},
        background=r.nec,
    )
    values = found.values[:, 0]
    [fit] = found.fits
    assert fit is not None
    assert (fit.iterations, (values == 0).sum()) == (6, 49)
    assert fit.p[0] == pytest.approx(0.7243089, abs=1e-7)
    assert values.sum() == pytest.approx(2221.66645, abs=1e-4)
    assert (values**2).sum() == pytest.approx(4962.888882, abs=1e-5)
    first = [3.53455687, -0.16931813, 1.88834081, -0.07071890, 0.35485392]
    np.testing.assert_allclose(values[:5], first, rtol=0, atol=2e-8)


def test_other_rows_and_the_order_of_the_annotation_do_not_matter(reference: Reference) -> None:
    order = np.random.default_rng(1).permutation(len(reference.ids))
    annotation = annotation_of(reference.ids.gather(order), reference.annotation.sequence[order])
    ids = pl.Series([*reference.ids, "control", None, reference.ids[7]])
    more = [[30_000.0] * 3, [np.nan] * 3, [-5.0] * 3]
    found = reference.normalise(
        np.vstack([reference.raw, more]),
        ids=ids,
        p_values=np.vstack([reference.p, np.zeros((3, 3))]),
        annotation=annotation,
        background=reference.nec,
    )
    assert_is_reference(found, reference)


def test_probes_are_dropped_after_scan_and_not_before(reference: Reference) -> None:
    grades = ["Bad", "Perfect", "Good***", "No match", None]
    annotation = BeadAnnotation(
        probe_ids=reference.annotation.probe_ids,
        sequence=reference.annotation.sequence,
        has_sequence=reference.annotation.has_sequence,
        quality=pl.Series("quality", grades * 1000),
        genes=pl.Series("genes", [["E1"], ["E1"], ["E1", "E2"], ["E1"], ["E1"]] * 1000),
    )
    chosen = reference.ids[2]
    found = reference.normalise(
        annotation=annotation, choices={chosen: "E2"}, background=reference.nec
    )
    kept = [row for row in range(5000) if row % 5 == 1 or row == 2]
    assert found.probe_ids == reference.ids.gather(kept).to_list()
    assert found.genes[:3] == ["E1", "E2", "E1"]
    np.testing.assert_allclose(found.values, reference.wanted[kept], rtol=0, atol=2e-8)


# --- decisions ------------------------------------------------------------------------


def alone(reference: Reference, values: NDArray[np.float64], known: NDArray[np.bool_]) -> Matrix:
    """SCAN of some probes of one array, NaN for the others."""
    platform = prepare_sequences(reference.annotation.sequence[known], BEAD_ARRAY_SCAN)
    found = np.full(len(known), np.nan)
    found[known] = scan(values[known], platform).values
    return found


def test_values_that_are_logarithms_already(reference: Reference) -> None:
    raw = np.log2(reference.raw)
    assert raw.max() < 100
    found = reference.normalise(raw, background=reference.nec)
    assert not found.is_log2_taken
    np.testing.assert_allclose(found.values, reference.wanted, rtol=0, atol=2e-8)


def test_logarithms_may_be_negative_and_keep_their_background(reference: Reference) -> None:
    raw = np.log2(reference.raw) - 7
    found = reference.normalise(raw)
    assert (found.is_log2_taken, found.is_background_corrected) == (False, False)
    assert found.num_missing == [0, 0, 0]
    assert found.num_not_positive == (raw <= 0).sum(axis=0).tolist()
    every = np.ones(len(raw), dtype=bool)
    np.testing.assert_array_equal(found.values[:, 1], alone(reference, raw[:, 1], every))


def test_one_signal_of_zero_leaves_the_whole_table_as_it_is(reference: Reference) -> None:
    raw = reference.raw.copy()
    raw[10, 1], raw[11, 1] = 0, -3
    found = reference.normalise(raw)
    assert (found.is_log2_taken, found.is_background_corrected) == (True, False)
    assert (found.num_missing, found.num_not_positive) == ([0, 2, 0], [0, 2, 0])
    known = raw > 0
    for array in range(3):
        logarithms = np.log2(np.where(known, raw, 1))
        wanted = alone(reference, logarithms[:, array], known[:, array])
        np.testing.assert_array_equal(found.values[:, array], wanted)


def test_missing_signals_take_no_part(reference: Reference) -> None:
    raw = reference.raw.copy()
    raw[100:200, 2] = np.nan
    found = reference.normalise(raw, background=unchanged)
    assert (found.is_background_corrected, found.num_missing) == (True, [0, 0, 100])
    wanted = alone(reference, np.log2(raw[:, 2]), ~np.isnan(raw[:, 2]))
    np.testing.assert_array_equal(found.values[:, 2], wanted)


def empty(raw: Matrix, p_values: Matrix) -> None:
    raw[900:, 1] = np.nan


def alike(raw: Matrix, p_values: Matrix) -> None:
    p_values[:, 1] = p_values[:, 1] < 0.5


def constant(raw: Matrix, p_values: Matrix) -> None:
    raw[:, 1] = 200


@pytest.mark.parametrize(
    ("spoil", "error"),
    [(empty, TooFewProbes), (alike, NoDetectionPValues), (constant, ModelNotFitted)],
)
def test_an_array_that_fails_does_not_stop_the_others(
    spoil: Callable[[Matrix, Matrix], None], error: type[RefinebioError], reference: Reference
) -> None:
    raw, p_values = reference.raw.copy(), reference.p.copy()
    spoil(raw, p_values)
    found = reference.normalise(raw, p_values=p_values, background=unchanged)
    assert [type(each) for each in found.errors.values()] == [error]
    assert (list(found.errors), found.fits[1]) == ([1], None)
    assert np.isnan(found.values[:, 1]).all()
    whole = reference.normalise(background=unchanged)
    np.testing.assert_array_equal(found.values[:, [0, 2]], whole.values[:, [0, 2]])
    with pytest.raises(error):
        reference.normalise(raw[:, [1]], p_values=p_values[:, [1]], background=unchanged)


def test_tables_that_are_refused(reference: Reference) -> None:
    with pytest.raises(TooFewProbes, match="999 rows"):
        reference.normalise(
            reference.raw[:999], ids=reference.ids[:999], p_values=reference.p[:999]
        )
    with pytest.raises(UnpairedPValues, match="array 2 "):
        reference.normalise(p_values=reference.p * [1, 2, 1])
    with pytest.raises(InvalidExpressionTable, match="missing"):
        reference.normalise(reference.raw * np.nan)
    bad = annotation_of(reference.ids, reference.annotation.sequence)
    object.__setattr__(bad, "quality", pl.Series("quality", ["Bad"] * 5000))
    with pytest.raises(IdentifiersNotRecognised, match="good"):
        reference.normalise(annotation=bad)


# --- real signals ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def sequences() -> NDArray[np.uint8]:
    """Real 50-mers, though of mice."""
    mouse = read_bead_annotation(shared_data("illumina/MouseRef-8_annot_full.txt.gz"))
    return mouse.sequence


def normalise_file(
    file: str, sequences: NDArray[np.uint8], background: Background
) -> tuple[BeadExpression, Matrix]:
    """The first probes of a real table, given sequences of others: simulated but in part."""
    table = read_bead_table(shared_data(file))
    columns = find_columns(table, [BeadSample("s", "MAQC_B1")])
    ids = table.texts(columns.probe_id)
    raw = table.floats(columns.expression)
    annotation = annotation_of(ids.head(len(sequences)), sequences)
    p_values = table.floats(columns.p_values)
    found = normalise_bead_arrays(ids, raw, p_values, annotation, choices={}, background=background)
    return found, raw[: len(sequences)]


def test_signals_without_background_are_normalised(sequences: NDArray[np.uint8]) -> None:
    """Upstream fails such files: their negative signals have no logarithm."""
    found, raw = normalise_file("illumina/GSM744991.txt", sequences, no_background)
    assert (found.is_log2_taken, found.is_background_corrected) == (True, False)
    assert found.num_not_positive == found.num_missing == [(raw <= 0).sum()]
    assert 0 < found.num_missing[0] < len(raw)
    np.testing.assert_array_equal(np.isnan(found.values), raw <= 0)


def test_signals_with_background_are_corrected_once(sequences: NDArray[np.uint8]) -> None:
    calls: list[tuple[int, ...]] = []

    def background(values: Matrix, p_values: Matrix) -> Matrix:
        calls.append(values.shape)
        assert values.max() < 20
        return values + 16

    file = "illumina/MAQC_illumina_non-normalized.txt.gz"
    found, raw = normalise_file(file, sequences, background)
    assert calls == [(len(raw), 8)]
    assert found.is_background_corrected
    for array in range(8):  # the strongest signals stay the strongest
        top = raw[:, array] > np.quantile(raw[:, array], 0.9)
        assert found.values[top, array].mean() > 1 > found.values[~top, array].mean()
