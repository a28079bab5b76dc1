"""Shares of variance, coverage and origins, against pandas' and NumPy's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from refinebio_assets.compendium import variance_shares
from refinebio_assets.compendium.assembly import IMPUTED, MISSING, ORIGINS, ZERO_RESTORED
from refinebio_assets.compendium.comparability import QUANTILES, Comparison
from refinebio_assets.compendium.replicates import LabelledSample
from refinebio_assets.compendium.variance_shares import gene_shares, shares_of, summarised
from refinebio_assets.publish.disk_matrix import DiskMatrix
from refinebio_assets_tests.compendium.example_comparison import (
    GENES,
    RELATIONS,
    compared,
    samples,
    values,
)

matrices = arrays.arrays(
    np.float32,
    st.tuples(st.integers(2, 12), st.integers(1, 6)),
    elements=st.integers(-40, 40).map(lambda n: n / 8) | st.sampled_from([float("nan")]),
)


def eta_squared(found: NDArray[np.float32], labels: list[str]) -> NDArray[np.float64]:
    """Gene by gene, by pandas."""
    shares = []
    for column in found.T.astype(np.float64):
        known = pd.DataFrame({"value": column, "label": labels}).dropna()
        total = ((known["value"] - known["value"].mean()) ** 2).sum()
        groups = known.groupby("label")["value"]
        inside = ((known["value"] - groups.transform("mean")) ** 2).sum()
        shares.append((total - inside) / total if total else np.nan)
    return np.array(shares)


def on_disk(folder: Path, found: NDArray[np.float32], panel_cells: int = 60) -> DiskMatrix:
    matrix = DiskMatrix(folder, (found.shape[0], found.shape[1]), panel_cells)
    matrix.write_samples(0, found)
    return matrix


# --- shares of variance ------------------------------------------------------------------


@settings(deadline=None)
@given(matrices, st.data())
def test_shares_are_those_of_brute_force(found: NDArray[np.float32], data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from("abc"), min_size=len(found), max_size=len(found)))
    np.testing.assert_allclose(
        shares_of(found, labels), eta_squared(found, labels), rtol=1e-6, atol=1e-9
    )


def test_shares_do_not_depend_on_panels_and_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    found = rng.normal(5, 2, (90, 40)).astype(np.float32)
    found[rng.random(found.shape) < 0.1] = np.nan
    found[:, 7] = 3.3
    labels = {
        "technology": ["a"] * 60 + ["b"] * 30,
        "experiment": [f"E{number % 25}" for number in range(90)],
    }
    found[:60, 3] += 10
    for group_cells, panel_cells in ((4_000_000, 10**6), (30, 400)):
        monkeypatch.setattr(variance_shares, "_GROUP_CELLS", group_cells)
        told: list[int] = []
        with on_disk(tmp_path, found, panel_cells) as matrix:
            shares = gene_shares(matrix, labels, lambda done, _, told=told: told.append(done))
        assert told[-1] == 40
        for name, each in labels.items():
            np.testing.assert_allclose(
                shares.shares[name], eta_squared(found, each), rtol=1e-6, atol=1e-12
            )
        assert np.isnan(shares.shares["technology"][7])
        assert shares.shares["technology"][3] > 0.8
        expected = np.where(np.isnan(found).any(axis=0), np.nan, found.astype(float).var(axis=0))
        np.testing.assert_allclose(shares.variances, expected, rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(
            shares.spread, np.nanvar(found.astype(float), axis=0), rtol=1e-6, atol=1e-12
        )


def test_the_mean_is_weighted_and_chance_is_taken_off(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    found = rng.normal(0, 1, (60, 300)).astype(np.float32)
    found[:, 0] = np.where(np.arange(60) < 30, -50, 50)
    labels = {"one": ["a"] * 30 + ["b"] * 30, "many": [f"E{n // 3}" for n in rng.permutation(60)]}
    with on_disk(tmp_path, found) as matrix:
        shares = gene_shares(matrix, labels)
    one, many = (summarised(shares, name, labels[name]) for name in ("one", "many"))
    expected = np.average(eta_squared(found, labels["one"]), weights=found.var(axis=0))
    assert one.mean == pytest.approx(expected, rel=1e-5)
    assert one.mean > 0.85
    assert one.median == pytest.approx(np.median(eta_squared(found, labels["one"])), rel=1e-5)
    assert one.median < 0.02
    assert many.by_chance == pytest.approx(19 / 59)
    assert many.median == pytest.approx(19 / 59, abs=0.03)  # labels mean nothing
    assert many.mean is not None
    assert many.beyond_chance == pytest.approx(1 - (1 - many.mean) * 59 / 40)
    alone = summarised(shares, "one", [str(number) for number in range(60)])
    assert alone.beyond_chance is None


def test_labels_must_fit(tmp_path: Path) -> None:
    with (
        on_disk(tmp_path, np.ones((3, 2), np.float32)) as matrix,
        pytest.raises(ValueError, match="2 and not of 3"),
    ):
        gene_shares(matrix, {"technology": ["a", "b"]})


# --- the comparison ----------------------------------------------------------------------


def test_what_values_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    labelled = [
        LabelledSample(
            f"S{n}",
            f"E{n % 3}",
            "X",
            *(("MICROARRAY", f"P{n % 2}") if n < 25 else ("RNA-SEQ", "Q")),
        )
        for n in range(40)
    ]
    origins = rng.choice(4, (40, 30), p=[0.5, 0.2, 0.2, 0.1]).astype(np.uint8)
    origins[:25][origins[:25] == ZERO_RESTORED] = 0
    origins[:, 4] = 0
    origins[:, 5] = IMPUTED
    found = rng.normal(size=(40, 30)).astype(np.float32)
    comparison = Comparison(labelled, 30)
    for start in range(0, 40, 7):
        comparison.add(found[start : start + 7], origins[start : start + 7])
    with on_disk(tmp_path, found) as matrix:
        result = comparison.result(matrix)
    assert list(result.technologies) == ["MICROARRAY", "RNA-SEQ"]
    assert list(result.platforms) == ["Q", "P0", "P1"]  # 15, 13 and 12 samples
    own = np.isin(origins, [0, ZERO_RESTORED])
    for cells, attribute in ((result.technologies, "technology"), (result.platforms, "platform")):
        for name, each in cells.items():
            rows = np.array([getattr(sample, attribute) == name for sample in labelled])
            assert each.samples == rows.sum()
            shares = [each.measured, each.imputed, each.zeros, each.missing]
            expected = [(origins[rows] == number).mean() for number in range(len(ORIGINS))]
            assert shares == pytest.approx(expected)
            assert each.genes == (own[rows].mean(axis=0) >= 0.5).sum()
    np.testing.assert_allclose(result.coverage.per_gene, own.mean(axis=0))
    percents = [int((own.mean(axis=0) >= percent / 100 - 1e-12).sum()) for percent in range(101)]
    assert list(result.coverage.genes) == percents
    assert (percents[0], percents[100]) == (30, 1)
    assert result.zeros is not None
    by_sample = (origins[25:] == ZERO_RESTORED).mean(axis=1)
    assert result.zeros.share == pytest.approx(by_sample.mean())
    assert result.zeros.quantiles == pytest.approx(np.quantile(by_sample, QUANTILES))
    assert (origins == MISSING).any()


def test_technology_shows_where_it_is(tmp_path: Path) -> None:
    alike, apart = compared(tmp_path), compared(tmp_path, shift=6.0)
    for result, found in ((alike, values(samples(), 0.0)[0]), (apart, values(samples(), 6.0)[0])):
        labels = [each.technology for each in samples()]
        weights = found.astype(float).var(axis=0)
        share = result.variance["technology"]
        expected = np.average(eta_squared(found, labels), weights=weights)
        assert share.mean == pytest.approx(expected, rel=1e-5)
        assert result.components is not None
        of_components = eta_squared(result.components.coordinates.astype(np.float32), labels)
        np.testing.assert_allclose(share.components, of_components, rtol=1e-4, atol=1e-6)
    assert alike.variance["technology"].mean is not None
    assert apart.variance["technology"].mean is not None
    assert alike.variance["technology"].mean < 0.1 < 0.5 < apart.variance["technology"].mean
    assert apart.variance["technology"].components[0] == pytest.approx(1, abs=0.05)
    assert apart.variance["experiment"].groups == 4


def test_replicates_are_compared_over_own_values(tmp_path: Path) -> None:
    result = compared(tmp_path)
    found, origins = values(samples(), 0.0)
    assert result.replicates.found == {"subject": 12}
    (name, agreement), *others = result.replicates.concordance.items()
    assert (name, others) == ("MICROARRAY and RNA-SEQ", [])
    expected = []
    for number in range(12):
        own = (origins[number] != IMPUTED) & (origins[number + 12] != IMPUTED)
        pair = pd.DataFrame({"x": found[number, own], "y": found[number + 12, own]}, dtype=float)
        expected.append((pair.corr().iloc[0, 1], pair.corr("spearman").iloc[0, 1]))
    quartiles = np.quantile(expected, [0, 0.25, 0.5, 0.75, 1], axis=0)
    np.testing.assert_allclose(agreement.replicates.pearson, quartiles[:, 0], rtol=1e-9)
    np.testing.assert_allclose(agreement.replicates.spearman, quartiles[:, 1], rtol=1e-9)
    assert agreement.pairs == 12
    assert agreement.nearer == 1
    assert agreement.others.spearman[2] < agreement.replicates.spearman[2] - 0.05


def test_the_document_is_json(tmp_path: Path) -> None:
    document = compared(tmp_path).to_json()
    read = json.loads(json.dumps(document, allow_nan=False))
    assert read["num_samples"] == 24
    assert read["num_genes"] == GENES
    assert read["components"]["genes"] == GENES
    assert len(read["genes_by_percent_of_samples"]) == 101
    assert read["technologies"]["MICROARRAY"]["imputed"] == pytest.approx(0.2)
    assert read["zeros"]["quantiles"]["0.5"] == pytest.approx(0.2)
    assert read["replicates"]["concordance"]["MICROARRAY and RNA-SEQ"]["pairs"] == 12
    assert len(read["variance_explained"]["platform"]["components"]) == 2


def test_values_that_do_not_vary_and_one_technology(tmp_path: Path) -> None:
    labelled = [LabelledSample(f"S{n}", "E", "X", "MICROARRAY", "P") for n in range(4)]
    comparison = Comparison(labelled, 3)
    found = np.ones((4, 3), np.float32)
    comparison.add(found, np.zeros((4, 3), np.uint8))
    with on_disk(tmp_path, found) as matrix:
        result = comparison.result(matrix)
    assert result.components is None
    assert result.zeros is None
    assert result.variance["technology"].mean is None
    json.dumps(result.to_json(), allow_nan=False)


def test_refused(tmp_path: Path) -> None:
    comparison = Comparison(samples(), GENES, RELATIONS)
    with pytest.raises(ValueError, match="do not fit"):
        comparison.add(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.uint8))
    with (
        on_disk(tmp_path, np.ones((24, GENES), np.float32), 10**6) as matrix,
        pytest.raises(ValueError, match="0 samples were added"),
    ):
        comparison.result(matrix)
