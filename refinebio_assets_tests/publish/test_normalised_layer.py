"""The layer `normalised`: each sample has the target's distribution, whatever its block."""

from __future__ import annotations

from typing import Any

import numpy as np

from refinebio_assets.publish.normalised_layer import with_normalised
from refinebio_assets.publish.sample_blocks import SampleBlock


def block(values: Any, first: int = 0) -> SampleBlock:
    names = [f"s{first + number}" for number in range(len(values))]
    return SampleBlock(names, {"counts": values, "length_scaled_tpm": values})


def test_samples_have_the_targets_values_at_their_ranks() -> None:
    rng = np.random.default_rng(3)
    values = rng.permuted(np.tile(np.arange(50, dtype=np.float32) ** 3, (6, 1)), axis=1)
    before, target = values.copy(), np.sort(rng.normal(5, 2, 50))
    [whole] = with_normalised([block(values)], target)
    assert set(whole.layers) == {"counts", "length_scaled_tpm", "normalised"}
    ranks = values.argsort(axis=1).argsort(axis=1)
    np.testing.assert_allclose(whole.layers["normalised"], target[ranks], rtol=1e-6)
    assert whole.layers["normalised"].dtype == np.float32
    np.testing.assert_array_equal(values, before)
    parts = with_normalised([block(values[:2]), block(values[2:], 2)], target)
    together = np.vstack([each.layers["normalised"] for each in parts])
    np.testing.assert_array_equal(together, whole.layers["normalised"])


def test_equal_values_stay_equal() -> None:
    values = np.zeros((1, 4), np.float32)
    values[0, 3] = 10
    [found] = with_normalised([block(values)], np.array([1.0, 2.0, 3.0, 8.0]))
    np.testing.assert_allclose(found.layers["normalised"], [[2, 2, 2, 8]])
