"""R's own SCAN.UPC, where R finds it (R_LIBS): its values, and what a bad file does to it."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from refinebio_assets.errors import ToolFailed, ToolMissing
from refinebio_assets.resources.process import run_tool
from refinebio_assets.resources.r import R
from refinebio_assets_tests.conftest import shared_data

CALVIN = "affymetrix/HG-Focus/HG-Focus-1-121502.CEL"
TOLERANCE = 2e-8


@pytest.fixture
def r(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> R:
    pytest.importorskip("rpy2.rinterface_lib")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # an R that crashes leaves its own folder behind
    return R()


@pytest.fixture
def scan(r: R) -> R:
    needs("SCAN.UPC", "pd.hg.u95av2")
    return r


def needs(*packages: str) -> None:
    """Skip the test where R lacks one of these."""
    script = 'cat(nzchar(sapply(commandArgs(TRUE), function(p) system.file(package = p))), "\\n")'
    lines = run_tool([R().rscript, "--vanilla", "-e", script, *packages])
    for package, found in zip(packages, lines[-1].split(), strict=True):
        if found != "TRUE":
            pytest.skip(f"R has no package {package}; name a library that has it in R_LIBS")


def start_of(cel: Path, size: int, folder: Path) -> Path:
    """The first bytes of a CEL file, under a name of its own."""
    cut = folder / "cut.CEL"
    cut.write_bytes(cel.read_bytes()[:size])
    return cut


def expected(table: str) -> dict[str, float]:
    path = shared_data(f"scan/C30057/{table}")
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()[1:]
    return {name: float(value) for name, value in (line.split("\t") for line in lines)}


def assert_same(found: dict[str, Any], reference: dict[str, float]) -> None:
    assert sorted(found["names"]) == sorted(reference)
    theirs = [reference[name] for name in found["names"]]
    np.testing.assert_allclose(found["values"], theirs, rtol=0, atol=TOLERANCE)


@pytest.mark.slow
def test_scanfast_of_r_gives_the_reference_values(scan: R) -> None:
    cel = shared_data("affymetrix/single/C30057.CEL.gz")
    reference = expected("probesets.tsv.gz")
    assert_same(scan.scan_upc(cel, "scanfast"), reference)


@pytest.mark.slow
def test_a_summary_package_gives_genes(
    scan: R, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cel = shared_data("affymetrix/single/C30057.CEL.gz")
    reference = expected("genes.tsv.gz")
    genes = pl.read_parquet(shared_data("scan/hgu95av2_gene_map.parquet"))
    install_summary_package("genesofhgu95av2probe", genes, tmp_path)
    monkeypatch.setenv("R_LIBS", os.pathsep.join([str(tmp_path), os.environ.get("R_LIBS", "")]))
    odd = tmp_path / "a*-(b) [c]+d-e"  # SCAN takes a name for a pattern
    odd.symlink_to(cel)
    assert_same(scan.scan_upc(odd, "scanfast", "genesofhgu95av2probe"), reference)


def install_summary_package(name: str, genes: pl.DataFrame, library: Path) -> None:
    """An R package like BrainArray's, of x, y and gene."""
    source = library / "source" / name
    (source / "R").mkdir(parents=True)
    table = genes.select(
        pl.lit("").alias("sequence"),
        "x",
        "y",
        pl.col("gene").alias("Probe.Set.Name"),
        pl.lit(0).alias("Probe.Interrogation.Position"),
        pl.lit("").alias("Target.Strandedness"),
    )
    table.write_csv(library / "genes.csv")
    (source / "DESCRIPTION").write_text(f"Package: {name}\nVersion: 0.1\nLicense: none\n")
    (source / "NAMESPACE").write_text(f"export({name})\n")
    (source / "R" / "probes.R").write_text(f'{name} <- read.csv("{library / "genes.csv"}")\n')
    install = ["R", "--vanilla", "CMD", "INSTALL", f"--library={library}", str(source)]
    subprocess.run(install, check=True, capture_output=True)


def test_an_array_without_its_platform_package_says_which_is_missing(
    scan: R, tmp_path: Path
) -> None:
    cel = start_of(shared_data(CALVIN), 2_000_000, tmp_path)
    with pytest.raises(ToolMissing, match=r"no package pd\.hg\.focus\. Install it"):
        scan.scan_upc(cel, "scanfast")


def test_without_scan_upc_nothing_is_read(
    r: R, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("R_LIBS", "R_LIBS_USER", "R_LIBS_SITE"):
        monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(ToolMissing, match=r"no package SCAN\.UPC\. Install it"):
        r.scan_upc(tmp_path / "absent.CEL", "scanfast")


@pytest.mark.slow
def test_a_text_file_cut_short_is_an_error_of_r(scan: R, tmp_path: Path) -> None:
    whole = gzip.decompress(shared_data("affymetrix/single/C30057.CEL.gz").read_bytes())
    cut = tmp_path / "cut.CEL"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ToolFailed, match=r"R: (.|\n)*truncated") as raised:
        scan.scan_upc(cut, "scanfast")
    assert raised.value.blames_sample


def test_a_calvin_file_cut_in_its_header_costs_only_the_child(scan: R, tmp_path: Path) -> None:
    cut = start_of(shared_data(CALVIN), 2_000, tmp_path)
    with pytest.raises(ToolFailed, match="R crashed"):
        scan.scan_upc(cut, "scanfast")


def test_affyio_on_half_a_calvin_file_costs_only_the_child(
    r: R, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("affyio")
    whole = shared_data(CALVIN)
    cut = start_of(whole, whole.stat().st_size // 2, tmp_path)
    profile = tmp_path / "profile.R"
    profile.write_text(
        f'if (commandArgs()[1] == "rpy2") {{ file.create("{tmp_path}/started"); '
        f'affyio::read.celfile("{cut}"); file.create("{tmp_path}/ended") }}\n'
    )
    monkeypatch.setenv("R_PROFILE_USER", str(profile))
    with pytest.raises(ToolFailed, match="R crashed"):
        r.scan_upc(cut, "scanfast")
    assert (tmp_path / "started").exists()
    assert not (tmp_path / "ended").exists()
