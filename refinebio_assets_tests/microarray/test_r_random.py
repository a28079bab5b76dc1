"""R's normal numbers: against a stored few, and against R itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from refinebio_assets.microarray.r_random import normals

SEEDS = (0, 1, 2, 20151230, 2**31 - 1, -5)


def test_the_first_numbers_of_seed_0() -> None:
    np.testing.assert_allclose(
        normals(0, 3), [1.2629542848807933, -0.3262333607056494, 1.3297992629225006], rtol=1e-15
    )


def test_more_numbers_begin_like_fewer() -> None:
    np.testing.assert_array_equal(normals(7, 1000)[:10], normals(7, 10))
    assert len(normals(7, 0)) == 0


def test_numbers_equal_those_of_r(tmp_path: Path) -> None:
    """Also after the state of 624 words is used up, and far out in the tails."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        pytest.skip("R is not here")
    n = 50_000
    code = "".join(
        f'set.seed({seed}L); writeBin(rnorm({n}), "{tmp_path}/{seed}")\n' for seed in SEEDS
    )
    subprocess.run([rscript, "--vanilla", "-e", code], check=True, capture_output=True)
    for seed in SEEDS:
        of_r = np.fromfile(tmp_path / str(seed))
        assert np.abs(of_r).max() > 4
        np.testing.assert_allclose(normals(seed, n), of_r, rtol=1e-15)
