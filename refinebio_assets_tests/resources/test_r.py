"""limma's nec through R: the numbers it is known to give, missing values, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from refinebio_assets.errors import ToolFailed, ToolMissing
from refinebio_assets.resources.r import R
from refinebio_assets_tests.conftest import shared_data

X = np.array([6.1, 6.4, 7.0, 8.2, 9.9, 12.5, 6.2, 6.6])[:, None]
P = np.array([0.9, 0.7, 0.4, 0.1, 0.02, 0.0, 0.8, 0.6])[:, None]
# limma 3.54.1
CORRECTED = np.array(
    [
        *(16.49970279, 16.55822283, 16.71110039, 17.23501454),
        *(18.60887185, 21.19279942, 16.51810227, 16.60329190),
    ]
)[:, None]


@pytest.fixture(scope="module")
def r() -> R:
    found = R()
    try:
        found.version()
    except ToolMissing as error:
        pytest.skip(str(error))
    if "limma" not in found.package_versions():
        pytest.skip("limma is not installed")
    pytest.importorskip("rpy2")
    return found


def test_known_numbers_whichever_way_the_p_values_run(r: R) -> None:
    two_arrays = np.hstack([X, X])
    for p_values in (np.hstack([P, P]), 1 - np.hstack([P, P])):
        found = r.nec(two_arrays, p_values)
        np.testing.assert_allclose(found, np.hstack([CORRECTED] * 2), rtol=0, atol=1e-8)


def test_reference_vectors(r: R) -> None:
    probes = pl.read_parquet(shared_data("scan/illumina/probes.parquet"))
    raw = probes.select(pl.col(r"^S\d\.AVG_Signal$")).to_numpy()
    p_values = probes.select(pl.col(r"^S\d\.Detection Pval$")).to_numpy()
    wanted = probes.select(pl.col(r"^nec_S\d$")).to_numpy()
    np.testing.assert_allclose(r.nec(np.log2(raw), p_values), wanted, rtol=0, atol=1e-10)


def test_a_missing_value_stays_missing_and_moves_nothing_else(r: R) -> None:
    gap = [[np.nan]]
    values = np.hstack([np.vstack([X, gap]), np.vstack([X, [[7.5]]])])
    p_values = np.vstack([np.hstack([P, P]), [[0.5, np.nan]]])
    found = r.nec(values, p_values)
    np.testing.assert_allclose(found[:-1], np.hstack([CORRECTED] * 2), rtol=0, atol=1e-8)
    assert np.isnan(found[-1, 0])
    assert CORRECTED[2, 0] < found[-1, 1] < CORRECTED[3, 0]  # between its neighbours 7.0 and 8.2


def test_what_limma_refuses(r: R) -> None:
    with pytest.raises(ToolFailed, match=r"sigma must be positive|missing value"):
        r.nec(X, np.full_like(P, 0.5))


def test_without_limma_it_says_what_to_install(tmp_path: Path) -> None:
    fake = tmp_path / "Rscript"
    fake.write_text("#!/bin/sh\n[ $1 = --version ] && echo 'Rscript version 4.2.2'\nexit 0\n")
    fake.chmod(0o755)
    with pytest.raises(ToolMissing, match=r"no package limma.*apt-get install.*r-bioc-limma"):
        R(rscript=str(fake)).nec(X, P)
