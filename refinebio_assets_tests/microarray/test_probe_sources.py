"""Which reader a file gets, told by its content, and files that belong together."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray.brainarray import gene_ids
from refinebio_assets.microarray.probe_sources import (
    Kind,
    kind_of,
    read_gene_map,
    read_probe_files,
    read_probes,
)
from refinebio_assets.microarray.probes import write_gene_map_parquet, write_probe_table
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.microarray.r_files import r_data
from refinebio_assets_tests.microarray.test_probes import assert_equal_maps, assert_equal_tables

ANNOTATION = "affymetrix/annotation"
SEQUENCE = "ACGT" * 6 + "A"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (f"{ANNOTATION}/HG-U95Av2_probe_tab.gz", Kind.PROBE_TAB),
        (f"{ANNOTATION}/RN-U34_probe_tab.zip", Kind.PROBE_TAB),
        (f"{ANNOTATION}/Test3_probe_tab.tsv", Kind.PROBE_TAB),
        (f"{ANNOTATION}/Test3.ascii.CDF.gz", Kind.CDF),
        (f"{ANNOTATION}/Test3.xda.CDF", Kind.CDF),
        (f"{ANNOTATION}/HGFocus_Hs_ENSG_mapping.txt.gz", Kind.MAPPING),
        ("affymetrix/HuEx_32x32/HuEx-test.pgf", Kind.PGF),
        ("affymetrix/HuEx_32x32/HuEx-test.clf", Kind.CLF),
        ("scan/hgu95av2_gene_map.parquet", Kind.PARQUET),
    ],
)
def test_kinds_are_told_by_content(tmp_path: Path, name: str, kind: Kind) -> None:
    path = tmp_path / "unnamed"
    shutil.copyfile(shared_data(name), path)
    assert kind_of(path) is kind


@pytest.mark.parametrize(
    "name",
    [
        "affymetrix/single/C30057.CEL.gz",
        "affymetrix/Test3/TestA1.CEL",
        "gene_maps/yeast2.tsv.gz",
        "affymetrix/annotation/hgu95av2_ID",
        "README.md",
    ],
)
def test_other_files_are_refused(name: str) -> None:
    path = shared_data(name)
    with pytest.raises(InvalidProbeAnnotation, match="none of the annotation files"):
        read_probes([path])
    with pytest.raises(InvalidProbeAnnotation, match="none of the annotation files"):
        read_gene_map(path)


@given(st.binary(max_size=300))
def test_any_content(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(content)
    with pytest.raises(InvalidProbeAnnotation):
        read_probes([path])
    with pytest.raises(InvalidProbeAnnotation):
        read_gene_map(path)


def test_a_tab_with_its_cdf_in_any_order() -> None:
    tab = shared_data(f"{ANNOTATION}/Test3_probe_tab.tsv")
    cdf = shared_data(f"{ANNOTATION}/Test3.xda.CDF")
    alone = read_probe_files([tab])
    assert (alone.probes.columns, alone.without_sequence) == (None, 0)
    for paths in ([tab, cdf], [cdf, tab]):
        both = read_probe_files(paths)
        assert (both.probes.columns, both.without_sequence, both.not_on_chip) == (126, 0, 0)
        assert both.probes.probe_sets == alone.probes.probe_sets


def test_exon_arrays() -> None:
    folder = shared_data("affymetrix/HuEx_32x32")
    assert len(read_probes([folder / "HuEx-test.clf", folder / "HuEx-test.pgf"]).x) == 371


def test_our_own_files_are_read(tmp_path: Path) -> None:
    probes = read_probes([shared_data(f"{ANNOTATION}/RN-U34_probe_tab.zip")])
    write_probe_table(tmp_path / "probes", probes)
    assert_equal_tables(read_probes([tmp_path / "probes"]), probes)
    genes = read_gene_map(shared_data(f"{ANNOTATION}/HGFocus_Hs_ENSG_mapping.txt.gz"))
    write_gene_map_parquet(tmp_path / "genes", genes)
    assert_equal_maps(read_gene_map(tmp_path / "genes"), genes)


def test_reference_probes_are_read() -> None:
    path = shared_data("scan/HG-Focus-1-121502_synthetic/probes.parquet")
    probes = read_probes([path])
    table = pl.read_parquet(path)
    assert probes.x.tolist() == table["x"].to_list()
    assert [probes.probe_sets[number] for number in probes.probe_set] == table[
        "probe_set"
    ].to_list()


@pytest.mark.parametrize(
    ("genes", "values"),
    [
        ("scan/hgu95av2_gene_map.parquet", "scan/C30057/genes.tsv.gz"),
        ("scan/SG2_u34a_synthetic/gene_map.parquet", "scan/SG2_u34a_synthetic/genes.tsv.gz"),
    ],
)
def test_genes_are_named_as_in_the_reference_values(genes: str, values: str) -> None:
    ids = pl.read_csv(shared_data(values), separator="\t").select(gene_ids("id"))["id"]
    assert read_gene_map(shared_data(genes)).genes == sorted(ids)


def test_mapped_probes_are_not_the_probes_of_a_platform(tmp_path: Path) -> None:
    """SCAN models all probes; a BrainArray package as universe would change every value."""
    rows = {"sequence": [SEQUENCE] * 2, "x": [1, 2], "y": [0, 0]}
    path = tmp_path / "package"
    path.write_bytes(
        gzip.compress(r_data("p", {**rows, "Probe.Set.Name": ["ENSG00000000003_at"] * 2}))
    )
    with pytest.raises(InvalidProbeAnnotation, match="mapped to genes"):
        read_probes([path])
    assert read_gene_map(path).genes == ["ENSG00000000003"]
    path.write_bytes(r_data("p", {**rows, "Probe.Set.Name": ["1000_at"] * 2}))
    assert read_probes([path]).probe_sets == ["1000_at"]


@pytest.mark.parametrize(
    "names",
    [
        [],
        [f"{ANNOTATION}/Test3.xda.CDF"],
        ["affymetrix/HuEx_32x32/HuEx-test.pgf"],
        ["affymetrix/HuEx_32x32/HuEx-test.clf"],
        ["affymetrix/HuEx_32x32/HuEx-test.clf", f"{ANNOTATION}/Test3_probe_tab.tsv"],
        [f"{ANNOTATION}/HGFocus_Hs_ENSG_mapping.txt.gz"],
    ],
)
def test_files_that_are_no_platform(names: list[str]) -> None:
    with pytest.raises(InvalidProbeAnnotation, match="not the probes of a platform") as caught:
        read_probes([shared_data(name) for name in names])
    assert "probe tab" in caught.value.remedy


def test_two_files_of_one_kind() -> None:
    tab = shared_data(f"{ANNOTATION}/Test3_probe_tab.tsv")
    with pytest.raises(InvalidProbeAnnotation, match="both a probe tab"):
        read_probes([tab, tab])


def test_what_is_no_gene_map() -> None:
    with pytest.raises(InvalidProbeAnnotation, match="is a CDF, not a gene map"):
        read_gene_map(shared_data(f"{ANNOTATION}/Test3.xda.CDF"))
