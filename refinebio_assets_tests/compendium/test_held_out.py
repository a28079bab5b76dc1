"""The error of imputed values is what was put in, and hidden values stay hidden."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refinebio_assets.compendium.held_out import (
    GROUPS,
    HeldOut,
    NotMeasured,
    choose_hidden,
    held_out_error,
)
from refinebio_assets.compendium.rules import Rules
from refinebio_assets.matrix.impute import IterativeSvd, impute
from refinebio_assets.matrix.missing_cells import SamplesInMemory
from refinebio_assets.publish.disk_matrix import DiskMatrix

RULES = Rules(rank=4)
Values = NDArray[np.float32]


@contextmanager
def on_disk(values: Values, folder: Path) -> Iterator[DiskMatrix]:
    with DiskMatrix(folder, values.shape, values.size // 3) as matrix:
        matrix.write_samples(0, values)
        yield matrix


def error_of(
    values: Values, is_rnaseq: NDArray[np.bool_], folder: Path, rules: Rules = RULES, **more: Any
) -> HeldOut | NotMeasured:
    with on_disk(values, folder) as matrix:
        return held_out_error(matrix, is_rnaseq, rules, folder, **more)


def measured(*asked: Any, **more: Any) -> HeldOut:
    found = error_of(*asked, **more)
    assert isinstance(found, HeldOut)
    return found


def expression(
    samples: int = 300, genes: int = 200, *, noise: float = 0.3, rank: int = 3, seed: int = 1
) -> tuple[Values, NDArray[np.bool_]]:
    """Of low rank but for the noise; a third RNA-seq, which is higher and lacks some genes."""
    random = np.random.default_rng(seed)
    is_rnaseq = np.arange(samples) >= 2 * samples // 3
    low = random.normal(size=(samples, rank)) @ random.normal(size=(rank, genes))
    values = 6 + low + noise * random.normal(size=low.shape)
    values[np.ix_(is_rnaseq, np.arange(genes) % 7 == 3)] = np.nan
    values[np.ix_(~is_rnaseq & (np.arange(samples) % 2 == 0), np.arange(genes) % 5 == 1)] = np.nan
    return values.astype(np.float32), is_rnaseq


def test_of_low_rank_the_error_is_the_noise(tmp_path: Path) -> None:
    values, is_rnaseq = expression()
    found = measured(values, is_rnaseq, tmp_path)
    assert found.samples == 300
    assert 0.28 < found.rmse < 0.36
    assert 0.28 < found.rmse_of_arrays < 0.36
    assert 0.28 < found.rmse_of_rnaseq < 0.36
    assert found.rmse_of_mean == pytest.approx(np.sqrt(3 + 0.3**2), rel=0.1)
    assert np.median(found.correlation_per_gene) > 0.95
    assert (found.rmse_per_gene < 0.7 * found.sd_per_gene).mean() > 0.95
    assert found.cells == found.hidden_per_gene.sum()
    share = found.hidden_per_gene / np.isfinite(values).sum(axis=0)
    np.testing.assert_allclose(share, 1 / GROUPS, atol=0.02)


def test_of_noise_imputing_is_no_better_than_the_mean(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    values = (5 + 2 * random.normal(size=(400, 300))).astype(np.float32)
    found = measured(values, np.zeros(400, bool), tmp_path, Rules(rank=1))
    assert found.rmse / found.rmse_of_mean == pytest.approx(1, abs=0.03)
    assert found.rmse == pytest.approx(2, abs=0.1)
    assert abs(np.nanmean(found.correlation_per_gene)) < 0.1
    assert np.isnan(found.rmse_of_rnaseq)
    worse = measured(values, np.zeros(400, bool), tmp_path, Rules(rank=20))
    assert worse.rmse > worse.rmse_of_mean


def test_a_difference_between_technologies_is_no_success(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    is_rnaseq = np.arange(300) % 2 == 0
    values = random.normal(size=(300, 200)) + np.where(is_rnaseq, 10, 2)[:, None]
    found = measured(values.astype(np.float32), is_rnaseq, tmp_path, Rules(rank=2))
    assert found.rmse_of_mean == pytest.approx(1, abs=0.05)
    assert abs(np.nanmean(found.correlation_per_gene)) < 0.15


def test_what_is_hidden_has_no_influence(tmp_path: Path) -> None:
    values, is_rnaseq = expression()
    with on_disk(values, tmp_path) as matrix:
        hidden = choose_hidden(matrix, is_rnaseq, 120)
    moved = values.copy()
    cells = hidden.cells(0, 120, values.shape[1])
    moved[hidden.samples] += np.float32(5) * cells
    rules = replace(RULES, hold_out_samples=120)
    one, other = (measured(each, is_rnaseq, tmp_path, rules) for each in (values, moved))
    # The fill is the same, or else its distance would not be exactly that.
    np.testing.assert_allclose(one.bias_per_gene - other.bias_per_gene, 5, atol=1e-5)
    np.testing.assert_array_equal(one.hidden_per_gene, other.hidden_per_gene)
    assert other.rmse > 4
    others = np.setdiff1d(np.arange(300), hidden.samples)
    moved = values.copy()
    moved[others] *= 2
    same = measured(moved, is_rnaseq, tmp_path, rules)
    np.testing.assert_array_equal(one.rmse_per_gene, same.rmse_per_gene)


@pytest.mark.parametrize("most", [1000, 130])
def test_figures_are_those_of_pandas(most: int, tmp_path: Path) -> None:
    values, is_rnaseq = expression(210, 60, noise=1)
    values[is_rnaseq, 5] = 0
    values[3:, 8] = np.nan
    values[:, 9] = np.nan
    values[np.flatnonzero(is_rnaseq)[1:], 20:40] = np.nan  # so that one is hidden, none shown
    with on_disk(values, tmp_path) as matrix:
        hidden = choose_hidden(matrix, is_rnaseq, most)
    rows = hidden.samples
    truth, kinds = values[rows], is_rnaseq[rows]
    left = truth.copy()
    left[hidden.cells(0, len(rows), 60)] = np.nan
    some = np.flatnonzero(np.isfinite(left).any(axis=0))
    filled = left[:, some]
    impute(SamplesInMemory(left[:, some]), IterativeSvd(rank=4)).put(filled, slice(None))

    cells = []
    for column, gene in enumerate(some):
        means = pd.Series(left[:, gene]).groupby(kinds).mean()
        for row in np.flatnonzero(np.isnan(left[:, gene]) & np.isfinite(truth[:, gene])):
            was, now = float(truth[row, gene]), float(filled[row, column])
            mean = float(means.fillna(means.mean())[kinds[row]])
            cells.append((gene, kinds[row], was, now, now - was, was - mean))
    table = pd.DataFrame(cells, columns=["gene", "kind", "was", "now", "error", "off"])

    found = measured(values, is_rnaseq, tmp_path, Rules(rank=4, hold_out_samples=most))
    assert (found.samples, found.cells) == (len(rows), len(table))
    assert found.rmse == pytest.approx(np.sqrt((table.error**2).mean()), rel=1e-4)
    assert found.rmse_of_mean == pytest.approx(np.sqrt((table.off**2).mean()), rel=1e-4)
    for kind, rmse in ((False, found.rmse_of_arrays), (True, found.rmse_of_rnaseq)):
        errors = table.error[table.kind == kind]
        assert rmse == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)
    genes = table.groupby("gene")
    centred = table[["was", "now"]] - table.groupby(["gene", "kind"])[["was", "now"]].transform(
        "mean"
    )
    expected = pd.DataFrame(
        {
            "n": genes.size(),
            "rmse": genes.error.apply(lambda error: np.sqrt((error**2).mean())),
            "bias": genes.error.mean(),
            "sd": genes.off.apply(lambda off: np.sqrt((off**2).mean())),
            "correlation": centred.groupby(table.gene).apply(
                lambda of: of.was.corr(of.now) if len(of) > 2 else np.nan
            ),
        }
    ).reindex(range(60))
    np.testing.assert_array_equal(found.hidden_per_gene, expected.n.fillna(0))
    np.testing.assert_allclose(found.rmse_per_gene, expected.rmse, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.bias_per_gene, expected.bias, atol=1e-4)
    np.testing.assert_allclose(found.sd_per_gene, expected.sd, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.correlation_per_gene, expected.correlation, atol=1e-4)
    assert np.isnan(found.rmse_per_gene[9])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=1, max_size=90),
    most=st.integers(1, 100),
    seed=st.integers(0, 5),
)
def test_samples_are_taken_in_proportion(
    kinds: list[tuple[bool, int]], most: int, seed: int, tmp_path: Path
) -> None:
    is_rnaseq = np.array([kind for kind, _ in kinds])
    values = np.ones((len(kinds), 4), np.float32)
    for sample, (_, lacks) in enumerate(kinds):
        values[sample, :lacks] = np.nan
    with on_disk(values, tmp_path) as matrix:
        hidden = choose_hidden(matrix, is_rnaseq, most, seed)
        again = choose_hidden(matrix, is_rnaseq, most, seed)
    np.testing.assert_array_equal(hidden.samples, again.samples)
    assert len(hidden.samples) == min(most, len(kinds))
    assert (np.diff(hidden.samples) > 0).all()
    share = len(hidden.samples) / len(kinds)
    for kind in set(kinds):
        of_kind = [each == kind for each in kinds]
        groups = hidden.groups[np.array(of_kind)[hidden.samples]]
        assert abs(len(groups) - share * sum(of_kind)) <= 1
        counts = np.bincount(groups, minlength=GROUPS)
        assert counts.max() - counts.min() <= 1
    cells = hidden.cells(0, len(hidden.samples), 45)
    assert (cells.sum(axis=1) == [len(range(group, 45, GROUPS)) for group in hidden.groups]).all()


@pytest.mark.parametrize(
    ("shape", "rules", "says"),
    [
        ((40, 30), Rules(engine="none"), "Nothing is imputed."),
        ((40, 30), Rules(hold_out_samples=0), "It was not asked for."),
        ((10, 30), Rules(), "Rank 10 needs at least 11"),
        ((40, 30), Rules(hold_out_samples=10), "Rank 10 needs at least 11"),
        ((40, 10), Rules(), "Rank 10 needs at least 11"),
        ((1, 1), Rules(rank=1), "no value"),
        ((1, 60), Rules(rank=1), "No measured value"),
    ],
)
def test_why_there_is_no_error(
    shape: tuple[int, int], rules: Rules, says: str, tmp_path: Path
) -> None:
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    found = error_of(values, np.zeros(shape[0], bool), tmp_path, rules)
    assert isinstance(found, NotMeasured)
    assert says in found.reason


def test_tells_how_far_it_has_come(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    values, is_rnaseq = expression(100, 50)
    measured(values, is_rnaseq, tmp_path, on_progress=lambda *each: told.append(each))
    assert {stage for stage, _, _ in told} == {"hidden values imputed"}
    done = [done for _, done, _ in told]
    assert done == sorted(done)
    assert done[-1] > 3
    assert all(done <= total for _, done, total in told)
