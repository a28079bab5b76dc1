"""Known concentrations: two real HG_U95A arrays of Affymetrix's Latin square.

Of the 16 spiked probe sets 13 have twice the amount on the second array, two are new there,
one is gone; nothing else differs. The floors were measured, and leave room for a change of
a tenth or so; what SCAN.UPC itself gives is held in `test_scan`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from refinebio_assets.microarray.array_model import ArrayModel
from refinebio_assets.microarray.cel import read_cel
from refinebio_assets.microarray.probe_sources import read_probes
from refinebio_assets.microarray.probes import ProbeTable
from refinebio_assets.microarray.scan import SCAN, SCANFAST, ScanSettings
from refinebio_assets_tests.conftest import shared_data

EXAMPLE = Path(__file__).parents[2] / "examples" / "spike_in"
ARRAYS = "affymetrix/spikein_U95A"
PROBE_TAB = "affymetrix/annotation/HG-U95Av2_probe_tab.gz"
FIRST, SECOND = "2353a99hpp_av08.CEL.gz", "2353b99hpp_av08r.CEL.gz"
ONLY_IN_VERSION_2 = re.compile(r"1600(2\d|3\d|4[0-4])_")
OF_VERSION_2 = (
    *(f"GSE12654/GSM3176{number}.CEL.gz" for number in (49, 51, 52, 54)),
    "single/C30057.CEL.gz",
    "single/CL2001032020AA.cel",
)


@cache
def probes() -> ProbeTable:
    return read_probes([shared_data(PROBE_TAB)])


def amounts() -> pl.DataFrame:
    """Probe set, and pM on the first and the second array."""
    table = pl.read_csv(shared_data(f"{ARRAYS}/sampleinfo.txt"), separator="\t")
    found = table.filter(pl.col("filenames").is_in([FIRST, SECOND])).sort("filenames")
    assert found["filenames"].to_list() == [FIRST, SECOND]
    sets = found.drop("filenames").cast(pl.Float64)
    rows = sets.transpose(include_header=True, header_name="probe_set", column_names=["pm", "pm2"])
    assert len(rows) == 16
    return rows


@cache
def changes(settings: ScanSettings) -> pl.DataFrame:
    """Every probe set's value on both arrays; `pm` and `pm2` are null where it is not spiked."""
    model = ArrayModel.prepared(probes(), None, settings)
    one, two = (
        model.expression(read_cel(shared_data(f"{ARRAYS}/{name}"))) for name in (FIRST, SECOND)
    )
    table = pl.DataFrame({"probe_set": one.names, "value": one.values, "value2": two.values})
    change = pl.col("value2") - pl.col("value")
    return table.with_columns(change=change).join(amounts(), on="probe_set", how="left")


def spiked(settings: ScanSettings) -> pl.DataFrame:
    return changes(settings).filter(pl.col("pm").is_not_null())


def not_spiked(settings: ScanSettings) -> NDArray[np.float64]:
    return changes(settings).filter(pl.col("pm").is_null())["change"].to_numpy()


@pytest.mark.parametrize("settings", [SCANFAST, SCAN], ids=lambda each: each.name)
def test_values_follow_concentrations_on_each_array(settings: ScanSettings) -> None:
    table = spiked(settings)
    for pm, value in (("pm", "value"), ("pm2", "value2")):
        rank = table.select(pl.corr(pm, value, method="spearman")).item()
        assert rank > 0.92  # 0.97 and 0.94
        linear = table.filter(pl.col(pm).is_between(1, 128))
        slope, _ = np.polyfit(linear[pm].log(2), linear[value], 1)
        assert 0.5 < slope < 0.7  # 0.60 and 0.56 per doubling


@pytest.mark.parametrize("settings", [SCANFAST, SCAN], ids=lambda each: each.name)
def test_spiked_probe_sets_move_as_their_concentrations(settings: ScanSettings) -> None:
    table, others = spiked(settings), not_spiked(settings)
    gone = table.filter(pl.col("pm2") == 0)
    assert gone["probe_set"].to_list() == ["1708_at"]  # from 1024 pM
    assert gone["change"].item() < -5
    assert changes(settings)["change"].min() == gone["change"].item()

    doubled = table.filter((pl.col("pm") > 0) & (pl.col("pm2") == 2 * pl.col("pm")))
    assert len(doubled) == 13
    assert doubled["change"].min() > np.median(others)  # all of them rise
    assert doubled["change"].mean() > 0.5  # 0.54 per doubling, with the two ends, which are flat
    linear = doubled.filter(pl.col("pm").is_between(1, 64))
    assert len(linear) == 8
    assert 0.68 < linear["change"].mean() < 0.9  # 0.74
    assert linear["change"].min() > np.quantile(others, 0.99)

    risen = table.filter(pl.col("pm2") > pl.col("pm"))["change"].to_numpy()
    below = np.mean([np.mean(others < each) for each in risen])
    assert len(risen) == 15
    assert below > 0.95  # 0.97


@pytest.mark.parametrize("settings", [SCANFAST, SCAN], ids=lambda each: each.name)
def test_what_is_not_spiked_does_not_move(settings: ScanSettings) -> None:
    others = not_spiked(settings)
    assert len(others) == 12_437
    assert abs(np.median(others)) < 0.05
    assert np.mean(np.abs(others) < 0.25) > 0.94
    assert np.mean(np.abs(others) < 0.5) > 0.998


def test_slope_over_all_probe_sets() -> None:
    """Change on log2 ratio; what is absent counts as half of the lowest concentration."""
    absent = 0.125
    table = changes(SCANFAST)
    ratio = (pl.col("pm2").clip(absent) / pl.col("pm").clip(absent)).log(2).fill_null(0)
    slope, at_zero = np.polyfit(table.select(ratio).to_series(), table["change"], 1)
    assert 0.38 < slope < 0.5  # 0.43
    assert abs(at_zero) < 0.05


# --- the probe tab of version 2 on arrays of version 1 -----------------------------------


def log_intensities(cel: str) -> NDArray[np.float64]:
    read = read_cel(shared_data(f"affymetrix/{cel}"))
    return np.log2(read.intensities[probes().cells(read.header.columns)])


def likeness(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each probe set the correlation over its probes."""
    probe_set = probes().probe_set
    number = np.bincount(probe_set)

    def means(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(probe_set, values) / number

    a, b = one - means(one)[probe_set], other - means(other)[probe_set]
    return means(a * b) / np.sqrt(means(a * a) * means(b * b))


def test_the_spiked_probe_sets_lie_in_the_same_cells_on_both_versions_of_the_chip() -> None:
    """A probe set has a pattern of strong and weak probes, on whatever array it is."""
    version1 = [log_intensities(f"spikein_U95A/{name}") for name in (FIRST, SECOND)]
    version2 = [log_intensities(name) for name in OF_VERSION_2]
    alike = likeness(np.mean(version1, axis=0), np.mean(version2, axis=0))
    names = np.array(probes().probe_sets)
    of_spiked = np.isin(names, amounts()["probe_set"].to_list())
    assert of_spiked.sum() == 16
    assert (np.bincount(probes().probe_set)[of_spiked] == 16).all()
    replaced = np.array([bool(ONLY_IN_VERSION_2.match(name)) for name in names])
    assert replaced.sum() == 25
    assert np.median(alike[replaced]) < 0.1
    assert np.median(alike[~replaced]) > 0.9
    assert alike[of_spiked].min() > 0.45
    assert np.median(alike[of_spiked]) > 0.8


# --- the example --------------------------------------------------------------------------


def test_the_readme_shows_what_the_example_prints() -> None:
    ran = subprocess.run(
        [sys.executable, EXAMPLE / "spike_in.py", shared_data(ARRAYS), shared_data(PROBE_TAB)],
        capture_output=True,
        text=True,
        check=True,
    )
    shown = (EXAMPLE / "README.md").read_text().split("```")
    assert ran.stdout.strip() in [block.strip() for block in shown]


def test_the_example_wants_two_mixtures(tmp_path: Path) -> None:
    for name in ("sampleinfo.txt", FIRST):
        (tmp_path / name).symlink_to(shared_data(f"{ARRAYS}/{name}"))
    ran = subprocess.run(
        [sys.executable, EXAMPLE / "spike_in.py", tmp_path, shared_data(PROBE_TAB)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "fewer than two mixtures" in ran.stderr
