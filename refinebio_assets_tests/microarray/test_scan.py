"""SCAN against SCAN.UPC 2.20.0 on real and synthetic arrays, and what holds for any array.

The tolerance is 2e-8, that is two units of the last decimal that SCAN.UPC keeps. Coefficients
are held at 1e-7, and the number of iterations must be the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refinebio_assets.errors import ModelNotFitted, TooFewProbes, TooManyZeros
from refinebio_assets.microarray.cel import read_cel
from refinebio_assets.microarray.probe_tab import read_probe_tab
from refinebio_assets.microarray.probes import GeneMap, ProbeTable, gene_map, probe_table
from refinebio_assets.microarray.scan import (
    BEAD_ARRAY_SCAN,
    SCAN,
    SCANFAST,
    Groups,
    PreparedPlatform,
    ScanSettings,
    groups_of_genes,
    groups_of_probe_sets,
    percent_saturated,
    prepare,
    prepare_sequences,
    scan,
    summarise,
)
from refinebio_assets_tests.conftest import shared_data

Floats = NDArray[np.float64]
Codes = NDArray[np.uint8]

HG_U95AV2 = "HG-U95Av2_probe_tab.gz"
TEST3 = "Test3_probe_tab.tsv"
PROBE_TABS = {
    "C30057": HG_U95AV2,
    "CL2001032020AA": HG_U95AV2,
    "GSM317652": HG_U95AV2,
    "TestA1": TEST3,
    "TestA2": TEST3,
    "TestB1": TEST3,
}
SYNTHETIC = ("HG-Focus-1-121502_synthetic", "SG2_u34a_synthetic")
WITH_GENES = ("C30057", "CL2001032020AA", "GSM317652", *SYNTHETIC)
TOLERANCE = 2e-8


# --- against SCAN.UPC -----------------------------------------------------------------


@cache
def platform_of(array: str) -> tuple[ProbeTable, PreparedPlatform]:
    if array in PROBE_TABS:
        return _platform_of_tab(PROBE_TABS[array])
    probes = probe_table(array, pl.read_parquet(shared_data(f"scan/{array}/probes.parquet")))
    return probes, prepare(probes, SCANFAST)


@cache
def _platform_of_tab(name: str) -> tuple[ProbeTable, PreparedPlatform]:
    probes = read_probe_tab(shared_data(f"affymetrix/annotation/{name}"))
    return probes, prepare(probes, SCANFAST)


def reference_of(array: str, probes: ProbeTable) -> pl.DataFrame:
    """The reference's probes, which are in canonical order as ours are."""
    reference = pl.read_parquet(shared_data(f"scan/{array}/probes.parquet"))
    np.testing.assert_array_equal(reference["x"].to_numpy(), probes.x)
    np.testing.assert_array_equal(reference["y"].to_numpy(), probes.y)
    return reference


def genes_of(array: str) -> GeneMap:
    if array.startswith("HG-Focus"):
        rows = pl.read_csv(
            shared_data("affymetrix/annotation/HGFocus_Hs_ENSG_mapping.txt.gz"), separator="\t"
        )
        names = {"Probe X": "x", "Probe Y": "y", "Probe Set Name": "gene"}
        return gene_map(array, rows.select(*names).rename(names))
    own = "SG2_u34a_synthetic/gene_map.parquet"
    file = own if array in own else "hgu95av2_gene_map.parquet"
    return gene_map(array, pl.read_parquet(shared_data(f"scan/{file}")))


def assert_close(ours: Floats, reference: pl.Series | Floats, tolerance: float) -> None:
    np.testing.assert_allclose(ours, reference, rtol=0, atol=tolerance)


def assert_summary(values: Floats, groups: Groups, file: str) -> None:
    schema = {"id": pl.String, "value": pl.Float64}
    reference = pl.read_csv(shared_data(f"scan/{file}"), separator="\t", schema=schema).sort("id")
    assert groups.names == reference["id"].to_list()
    assert_close(summarise(values, groups), reference["value"], TOLERANCE)


@pytest.mark.parametrize("array", [*PROBE_TABS, *SYNTHETIC])
def test_an_array_equals_the_reference(array: str) -> None:
    probes, platform = platform_of(array)
    reference = reference_of(array, probes)
    wanted = json.loads(shared_data(f"scan/{array}/fit.json").read_text())

    result = scan(reference["intensity"].to_numpy(), platform, upc=True)

    fit = result.fit
    assert platform.step == wanted["step"]
    assert len(platform.regression.squares) == wanted["n_sample"]
    assert result.zero_shift == wanted["zero_shift"]
    assert fit.iterations == wanted["iterations"]
    assert fit.converged
    np.testing.assert_allclose(fit.trace, wanted["convergence_trace"], rtol=1e-6)
    for parameter in ("p", "b1", "b2", "s1", "s2"):
        assert_close(getattr(fit, parameter), np.array(wanted[parameter]), 1e-7)
    assert result.upc is not None
    assert_close(result.values, reference["y_norm_e8"].to_numpy() / 1e8, TOLERANCE)
    assert_close(result.upc, reference["upc_e8"].to_numpy() / 1e8, TOLERANCE)
    assert_summary(result.values, groups_of_probe_sets(probes), f"{array}/probesets.tsv.gz")
    if array in WITH_GENES:
        genes = groups_of_genes(probes, genes_of(array))
        assert_summary(result.values, genes, f"{array}/genes.tsv.gz")
        assert_summary(result.upc, genes, f"{array}/genes_upc.tsv.gz")


def test_from_a_cel_file_to_probe_sets() -> None:
    probes, platform = platform_of("CL2001032020AA")
    cel = read_cel(shared_data("affymetrix/single/CL2001032020AA.cel"))
    result = scan(cel.intensities[probes.cells(cel.header.columns)], platform)
    assert result.upc is None
    groups = groups_of_probe_sets(probes)
    assert_summary(result.values, groups, "CL2001032020AA/probesets.tsv.gz")


def codes_of(sequences: pl.Series) -> Codes:
    letters = np.array([list(sequence) for sequence in sequences])
    return np.searchsorted(list("ACGT"), letters).astype(np.uint8)


@pytest.mark.parametrize("sample", [0, 1, 2])
def test_a_bead_array_equals_the_reference(sample: int) -> None:
    reference = pl.read_parquet(shared_data("scan/illumina/probes.parquet"))
    wanted = json.loads(shared_data("scan/illumina/fit.json").read_text())["fits"][sample]
    platform = prepare_sequences(codes_of(reference["sequence"]), BEAD_ARRAY_SCAN)
    name = f"S{sample + 1}"

    result = scan(reference[f"nec_{name}"].to_numpy(), platform, upc=True)

    for parameter in ("p", "b1", "b2", "s1", "s2"):
        assert_close(getattr(result.fit, parameter), np.array(wanted[parameter]), 1e-7)
    assert result.upc is not None
    assert_close(result.values, reference[f"scan_{name}"], TOLERANCE)
    assert_close(result.upc, reference[f"upc_{name}"], TOLERANCE)
    assert np.count_nonzero(result.values) == 5000 - 49
    assert 1 in np.abs(result.values)  # the probe that is a group of its own


# --- against an oracle that any machine can make --------------------------------------


def lehmer(seed: int) -> Iterator[int]:
    while True:
        seed = 16807 * seed % (2**31 - 1)
        yield seed // 65536


def oracle_probes(seed: int, n: int, length: int) -> tuple[Codes, Floats, Floats]:
    """Sequences, numbers of C and G, and a uniform number for each probe."""
    draws = np.fromiter(lehmer(seed), np.int64, n * (length + 1)).reshape(n, length + 1)
    sequence = (draws[:, :length] % 4).astype(np.uint8)
    return sequence, np.isin(sequence, (1, 2)).sum(axis=1), draws[:, length] % 1000 / 1000


def test_a_generated_array_equals_the_reference() -> None:
    sequence, gc, uniform = oracle_probes(42, 12_000, 25)
    result = scan(2 ** (6 + 0.15 * gc + 4 * uniform**3), prepare_sequences(sequence, SCANFAST))
    assert result.fit.iterations == 8
    assert result.fit.trace[-1] == pytest.approx(0.377244, abs=1e-6)
    assert_close(result.fit.p, np.array([0.6034056248, 0.3965943752]), 1e-9)
    assert np.count_nonzero(result.values == 0) == 4999
    assert result.values.sum() == pytest.approx(3846.45241496, abs=1e-6)
    assert (result.values**2).sum() == pytest.approx(6999.83456603, abs=1e-6)
    first = [-0.10278379, -0.19239236, 0.00412869, -0.13497985, -0.18975911]
    assert_close(result.values[:5], np.array(first), TOLERANCE)
    sets = Groups([f"S{i}" for i in range(4)], np.arange(0, 55, 11, dtype=np.int64), np.arange(44))
    wanted = [0.05902625, 0.09775417, -0.00486174, 0.22208710]
    assert_close(summarise(result.values, sets), np.array(wanted), TOLERANCE)


# --- what holds for any array ---------------------------------------------------------

QUICK = ScanSettings("quick", sample_size=400, group_size=100, convergence=0.5)


def simulated(seed: int, n: int = 1900, length: int = 10) -> tuple[ProbeTable, Floats]:
    """Probes on a chip 64 cells wide, some cells in two probe sets, and intensities."""
    rng = np.random.default_rng(seed)
    cell = np.sort(rng.choice(64 * 64, n - n // 10, replace=False))
    cell = np.sort(np.concatenate([cell, cell[: n // 10]]))
    of_cell = rng.integers(0, 4, (64 * 64, length), dtype=np.uint8)
    background = 6 + 0.2 * np.isin(of_cell, (1, 2)).sum(axis=1) + rng.normal(0, 0.3, 64 * 64)
    signal = np.where(rng.random(64 * 64) < 0.3, 4 * rng.random(64 * 64), 0)
    first_of_cell = np.diff(cell, prepend=-1) > 0
    probe_set = 2 * rng.integers(0, 80, n) + ~first_of_cell
    probe_set[~first_of_cell] = np.maximum(
        probe_set[~first_of_cell], probe_set[np.flatnonzero(~first_of_cell) - 1] + 1
    )
    names = [f"S{number:03d}" for number in range(161)]
    x, y = (cell % 64).astype(np.int32), (cell // 64).astype(np.int32)
    probes = ProbeTable(x, y, of_cell[cell], probe_set.astype(np.int32), names, 64)
    return probes, 2 ** (background + signal)[cell]


def taken(probes: ProbeTable, rows: NDArray[np.intp]) -> ProbeTable:
    arrays = {name: getattr(probes, name)[rows] for name in ("x", "y", "sequence", "probe_set")}
    return replace(probes, **arrays)


def assert_same(ours: Any, wanted: Any) -> None:
    np.testing.assert_array_equal(ours, wanted, strict=True)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_probe_table_has_no_influence(seed: int) -> None:
    probes, intensities = simulated(seed)
    rows = np.random.default_rng(seed).permutation(len(intensities))
    shuffled = taken(probes, rows)

    wanted = scan(intensities, prepare(probes, QUICK), upc=True)
    result = scan(intensities[rows], prepare(shuffled, QUICK), upc=True)

    assert result.fit.trace == wanted.fit.trace
    assert result.upc is not None
    assert wanted.upc is not None
    assert_same(result.values, wanted.values[rows])
    assert_same(result.upc, wanted.upc[rows])
    assert_same(
        summarise(result.values, groups_of_probe_sets(shuffled)),
        summarise(wanted.values, groups_of_probe_sets(probes)),
    )


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-20, 20))
def test_stretching_the_log_scale_changes_nothing(seed: int, exponent: int) -> None:
    """By a power of two, which double precision does exactly."""
    probes, intensities = simulated(seed)
    platform = prepare(probes, replace(QUICK, of_intensities=False))
    logs = np.log2(intensities)
    wanted, result = (scan(logs * factor, platform, upc=True) for factor in (1, 2.0**exponent))
    assert result.fit.trace == wanted.fit.trace
    assert_same(result.values, wanted.values)
    assert_same(result.upc, wanted.upc)
    assert_same(result.fit.b1, wanted.fit.b1 * 2.0**exponent)
    assert_same(result.fit.s2, wanted.fit.s2 * 4.0**exponent)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(0.01, 100))
def test_brightness_changes_nothing_after_equally_many_iterations(seed: int, factor: float) -> None:
    """A factor only shifts the coefficients; they decide when the fit ends, so it must not."""
    probes, intensities = simulated(seed)
    platform = prepare(probes, replace(QUICK, convergence=-1))
    wanted, result = (scan(intensities * by, platform) for by in (1, factor))
    assert wanted.fit.iterations == result.fit.iterations == 100
    assert not result.fit.converged
    assert_close(result.values, wanted.values, 1e-6)


def test_threads_share_a_platform() -> None:
    probes, intensities = simulated(1)
    platform, groups = prepare(probes, QUICK), groups_of_probe_sets(probes)
    rng = np.random.default_rng(1)
    samples = [intensities * 2 ** rng.normal(0, 0.2, len(intensities)) for _ in range(4)]

    def values_of(sample: Floats) -> tuple[Floats, Floats | None]:
        result = scan(sample, platform, upc=True)
        return summarise(result.values, groups), result.upc

    wanted = [values_of(sample) for sample in samples]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(values_of, samples * 4))
    assert not np.array_equal(wanted[0][0], wanted[1][0])
    for number, result in enumerate(results):
        assert_same(result[0], wanted[number % 4][0])
        assert_same(result[1], wanted[number % 4][1])


def test_noise_and_t_count_are_those_of_bead_arrays_only() -> None:
    probes, _ = simulated(2)
    assert prepare(probes, QUICK).noise is None
    noise = prepare(probes, BEAD_ARRAY_SCAN).noise
    assert noise is not None
    assert_close(noise[:3], 1e-7 * np.array([1.2629543, -0.3262334, 1.3297993]), 1e-14)


def test_scan_fits_more_probes_than_scanfast_for_longer() -> None:
    sequence, gc, uniform = oracle_probes(9, 60_000, 25)
    intensities = 2 ** (6 + 0.15 * gc + 4 * uniform**3)
    fast, whole = (scan(intensities, prepare_sequences(sequence, by)) for by in (SCANFAST, SCAN))
    assert fast.fit.converged
    assert fast.fit.trace[-1] <= 0.5
    assert whole.fit.iterations > fast.fit.iterations
    assert whole.fit.trace[-1] <= 0.01 or whole.fit.iterations == 100
    assert whole.fit.converged == (whole.fit.trace[-1] <= 0.01)
    both = np.flatnonzero((fast.values != 0) & (whole.values != 0))
    assert np.corrcoef(fast.values[both], whole.values[both])[0, 1] > 0.99


# --- refusals -------------------------------------------------------------------------


def test_zeros_up_to_one_per_cent_shift_all_intensities() -> None:
    probes, intensities = simulated(3)
    platform = prepare(probes, QUICK)
    n = len(intensities)
    some = intensities.copy()
    some[: n // 100] = 0
    result = scan(some, platform)
    assert result.zero_shift
    shifted = scan(some + 1, platform)
    assert not shifted.zero_shift
    assert_same(result.values, shifted.values)
    some[: n // 100 + 1] = 0
    with pytest.raises(TooManyZeros, match=f"20 of {n}"):
        scan(some, platform)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_impossible_intensities_are_refused(value: float) -> None:
    probes, intensities = simulated(4)
    intensities[5] = value
    with pytest.raises(ModelNotFitted, match="1 of 1900"):
        scan(intensities, prepare(probes, QUICK))


def test_missing_values_of_a_bead_array_are_refused() -> None:
    probes, intensities = simulated(4)
    logs = np.log2(intensities)
    logs[7] = np.nan
    with pytest.raises(ModelNotFitted, match="missing"):
        scan(logs, prepare(probes, BEAD_ARRAY_SCAN))


def test_a_blank_array_is_refused() -> None:
    probes, intensities = simulated(5)
    with pytest.raises(ModelNotFitted):
        scan(np.full(len(intensities), 100.0), prepare(probes, QUICK))


def test_intensities_of_another_platform_are_refused() -> None:
    probes, intensities = simulated(5)
    with pytest.raises(ValueError, match="1900 probes"):
        scan(intensities[1:], prepare(probes, QUICK))


def test_a_platform_below_one_group_or_25_bins_is_refused() -> None:
    probes, _ = simulated(6)
    with pytest.raises(TooFewProbes, match="SCANfast needs 5000 probes; the platform has 1900"):
        prepare(probes, SCANFAST)
    few = taken(probes, np.arange(24))
    with pytest.raises(TooFewProbes, match="25 probes"):
        prepare(few, replace(QUICK, group_size=5))
    with pytest.raises(TooFewProbes):
        prepare(probes, replace(QUICK, sample_size=20))


@pytest.mark.parametrize("threshold", [1, 1.5, float("nan")])
def test_a_threshold_of_1_or_more_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="below 1"):
        replace(SCANFAST, convergence=threshold)


# --- probe sets and genes -------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
def test_genes_are_joined_by_cell(data: st.DataObject) -> None:
    """As an inner join of two lists of cells, all pairs."""
    coordinates = st.tuples(st.integers(0, 5), st.integers(0, 5))
    on_chip = data.draw(st.lists(coordinates, min_size=1, max_size=30))
    of_map = data.draw(st.lists(st.tuples(coordinates, st.integers(0, 4)), max_size=30))
    x, y = np.array(on_chip, dtype=np.int32).T
    n = len(on_chip)
    probes = ProbeTable(x, y, np.zeros((n, 25), np.uint8), np.zeros(n, np.int32), ["S"], None)
    map_x, map_y, gene = (
        np.array([(*cell, gene) for cell, gene in of_map], np.int32).reshape(-1, 3).T
    )
    groups = groups_of_genes(probes, GeneMap(map_x, map_y, gene, list("ABCDE")))

    wanted: dict[str, list[int]] = {}
    for cell, gene_index in of_map:
        rows = [row for row, on in enumerate(on_chip) if on == cell]
        if rows:
            wanted.setdefault("ABCDE"[gene_index], []).extend(rows)
    found = {
        name: groups.members[start:end].tolist()
        for name, start, end in zip(
            groups.names, groups.pointers, groups.pointers[1:], strict=False
        )
    }
    assert groups.names == sorted(wanted)
    assert {name: sorted(rows) for name, rows in found.items()} == {
        name: sorted(rows) for name, rows in wanted.items()
    }


def test_probe_sets_without_a_probe_are_absent() -> None:
    probes, _ = simulated(7)
    groups = groups_of_probe_sets(probes)
    present = np.unique(probes.probe_set)
    assert len(present) < len(probes.probe_sets)
    assert groups.names == [probes.probe_sets[index] for index in present]
    for index, name in enumerate(groups.names):
        rows = groups.members[groups.pointers[index] : groups.pointers[index + 1]]
        assert {probes.probe_sets[of] for of in probes.probe_set[rows]} == {name}
    assert sorted(groups.members) == list(range(len(probes.x)))


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), min_size=1, max_size=8))
def test_summary_is_the_trimmed_mean(groups_of_values: list[list[float]]) -> None:
    sizes = [len(group) for group in groups_of_values]
    values = np.concatenate(groups_of_values)
    backwards = len(values) - 1 - np.arange(len(values))
    groups = Groups([str(i) for i in range(len(sizes))], np.cumsum([0, *sizes]), backwards)
    wanted = []
    for group in groups_of_values:
        off = int(0.1 * len(group))
        kept = sorted(group)[off : len(group) - off]
        wanted.append(sum(kept) / len(kept))
    np.testing.assert_allclose(summarise(values[::-1], groups), wanted, rtol=1e-9, atol=1e-6)


def test_summary_of_large_groups() -> None:
    values = np.random.default_rng(8).normal(size=30_000)
    groups = Groups(["large"], np.array([0, 30_000]), np.arange(30_000))
    wanted = np.sort(values)[3000:27_000].mean()
    assert summarise(values, groups)[0] == pytest.approx(wanted, rel=1e-12)


def test_groups_of_another_platform_are_refused() -> None:
    groups = Groups(["G"], np.array([0, 2]), np.array([0, 5]))
    with pytest.raises(ValueError, match="5 probes"):
        summarise(np.zeros(5), groups)


def test_saturation() -> None:
    assert percent_saturated(np.array([3.0, 65534.0, 1.0, 65534.0])) == 50
