"""A prepared platform: which arrays it takes, and the groups that it reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from refinebio_assets.errors import InvalidProbeAnnotation, ProbesDoNotFitChip
from refinebio_assets.microarray.array_model import ArrayModel
from refinebio_assets.microarray.cel import read_cel
from refinebio_assets.microarray.probe_sources import read_gene_map, read_probes
from refinebio_assets.microarray.probes import gene_map
from refinebio_assets.microarray.scan import SCANFAST
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.synthetic_arrays import SIDE, Chip, make_chip, write_cel

TEST3_TAB = "affymetrix/annotation/Test3_probe_tab.tsv"
U95_TAB = "affymetrix/annotation/HG-U95Av2_probe_tab.gz"
FOCUS_PROBES = "scan/HG-Focus-1-121502_synthetic/probes.parquet"
CEL_OF = {
    TEST3_TAB: "affymetrix/Test3/TestA1.CEL",
    FOCUS_PROBES: "affymetrix/HG-Focus/sample01.CEL",
    U95_TAB: "affymetrix/single/C30057.CEL.gz",
}


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Chip:
    return make_chip(tmp_path_factory.mktemp("chip"), "HG-U133A")


@pytest.mark.parametrize("probes", CEL_OF)
def test_probes_fit_the_arrays_of_their_chip_only(probes: str) -> None:
    """Those of a larger chip lie outside; those of a smaller would be taken for others."""
    model = ArrayModel.prepared(read_probes([shared_data(probes)]), None, SCANFAST)
    for own, path in CEL_OF.items():
        cel = read_cel(shared_data(path))
        if own == probes:
            assert model.expression(cel).num_probes == len(model.probes.x)
        else:
            told = rf"{cel.header.chip_type}\) has {cel.header.columns} x {cel.header.rows} cells"
            with pytest.raises(ProbesDoNotFitChip, match=told):
                model.expression(cel)


def test_probes_that_state_their_chip_s_width_fit_no_other(chip: Chip, tmp_path: Path) -> None:
    cel = read_cel(write_cel(tmp_path / "a.CEL", chip, seed=1))
    probes = read_probes([chip.probe_tab])
    model = ArrayModel.prepared(replace(probes, columns=SIDE), None, SCANFAST)
    assert model.expression(cel).num_probes == len(probes.x)
    model = ArrayModel.prepared(replace(probes, columns=SIDE + 1), None, SCANFAST)
    with pytest.raises(ProbesDoNotFitChip, match=r"one with 101 columns"):
        model.expression(cel)


def test_values_are_of_probe_sets_or_of_genes(chip: Chip, tmp_path: Path) -> None:
    cel = read_cel(write_cel(tmp_path / "a.CEL", chip, seed=1))
    probes, genes = read_probes([chip.probe_tab]), read_gene_map(chip.gene_map)
    of_sets = ArrayModel.prepared(probes, None, SCANFAST)
    of_genes = ArrayModel.prepared(probes, genes, SCANFAST)
    assert (of_sets.feature, of_genes.feature) == ("probe set", "gene")
    values = dict(zip(of_sets.groups.names, of_sets.expression(cel).values, strict=True))
    found = of_genes.expression(cel)
    assert found.names == chip.genes
    # a gene's probes are those of the probe set with its number
    expected = [values[f"{number}_at"] for number in range(len(chip.genes))]
    np.testing.assert_array_equal(found.values, expected)
    upc = of_genes.expression(cel, upc=True).values
    assert ((upc >= 0) & (upc <= 1)).all()


def test_a_gene_map_without_any_of_the_probes_is_refused(chip: Chip) -> None:
    probes = read_probes([chip.probe_tab])
    free = next(cell for cell in range(SIDE * SIDE) if cell not in set(chip.cells))
    rows = pl.DataFrame({"x": [free % SIDE], "y": [free // SIDE], "gene": ["G1"]})
    with pytest.raises(InvalidProbeAnnotation, match="No cell of the gene map"):
        ArrayModel.prepared(probes, gene_map("map", rows), SCANFAST)
