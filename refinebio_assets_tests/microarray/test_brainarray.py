"""Gene maps and probe packages: BrainArray's real mapping, and packages in its form."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray.brainarray import (
    gene_ids,
    is_of_genes,
    read_mapping,
    read_package_genes,
    read_package_probes,
)
from refinebio_assets.microarray.probe_tab import read_probe_tab
from refinebio_assets.microarray.probes import GeneMap
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.microarray.damage import survive_damage
from refinebio_assets_tests.microarray.r_files import r_data
from refinebio_assets_tests.microarray.test_probes import assert_equal_tables

MAPPING = "affymetrix/annotation/HGFocus_Hs_ENSG_mapping.txt.gz"


def pairs(genes: GeneMap) -> list[tuple[int, int, str]]:
    return [
        (int(x), int(y), genes.genes[number])
        for x, y, number in zip(genes.x, genes.y, genes.gene, strict=True)
    ]


def test_the_real_mapping_of_hg_focus() -> None:
    """Against a plain reading of its lines, and the gene names of the reference vectors."""
    genes = read_mapping(shared_data(MAPPING))
    lines = gzip.decompress(shared_data(MAPPING).read_bytes()).decode().splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    assert len(rows) == 75_190
    assert set(pairs(genes)) == {
        (int(row[4]), int(row[5]), row[0].removesuffix("_at")) for row in rows
    }
    reference = pl.read_csv(
        shared_data("scan/HG-Focus-1-121502_synthetic/genes.tsv.gz"), separator="\t"
    ).select(gene_ids("id"))
    assert genes.genes == sorted(reference["id"])


@pytest.mark.parametrize(
    ("name", "gene"),
    [
        ("ENSG00000000003_at", "ENSG00000000003"),
        ("ENSMUSG00000000001_at", "ENSMUSG00000000001"),
        ("ENSDARG00000000001_at", "ENSDARG00000000001"),
        ("FBgn0000008_at", "FBgn0000008"),
        ("WBGene00000001_at", "WBGene00000001"),
        ("YDL130W-A_at", "YDL130W-A"),
        ("YBR038W_at", "YBR038W"),
        ("Q0045_at", "Q0045"),
        ("ENSG00000000003", "ENSG00000000003"),
        ("AFFX-BioB-3_at", "AFFX-BioB-3_at"),
        ("1007_s_at", "1007_s_at"),
        ("1000_at", "1000_at"),
        ("ENSG00000000003_s_at", "ENSG00000000003_s_at"),
        ("AT1G01010_at", "AT1G01010_at"),
    ],
)
def test_names_of_genes(name: str, gene: str) -> None:
    assert pl.DataFrame({"name": [name]}).select(gene_ids("name")).item() == gene


def test_what_are_genes() -> None:
    assert is_of_genes(["AFFX-BioB-3_at", "ENSG00000000003_at", "ENSG00000000005_at"])
    assert not is_of_genes(["1000_at", "1001_at", "ENSG00000000003_at"])
    assert not is_of_genes(["YBR038W_at"])


@pytest.mark.parametrize(
    "text",
    [
        "x\ty\tgene\n1\t2\ta\n3\t4\tb\n",
        "Gene,Note,Y,X\na,,2,1\nb,,4,3\n",
        '"","X","Y","ENSEMBL"\n"1",1,2,"a"\n"2",3,4,"b"\n',
        "Probe Y\tProbe X\tProbe Set Name\r\n2\t1\ta\r\n4\t3\tb\r\n",
    ],
)
def test_tables_of_any_kind(tmp_path: Path, text: str) -> None:
    path = tmp_path / "map"
    path.write_text(text, newline="")
    assert pairs(read_mapping(path)) == [(1, 2, "a"), (3, 4, "b")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x\ty\n1\t2\n", "no columns x, y and gene"),
        ("x\ty\tgene\n", "no cell"),
        ("x\ty\tgene\n1\t2\ta\n1\t\ta\n", "line 3 is not a cell"),
        ("x\ty\tgene\n1\t2\t\n", "line 2 is not a cell"),
    ],
)
def test_malformed_tables(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "map"
    path.write_text(text)
    with pytest.raises(InvalidProbeAnnotation, match=message):
        read_mapping(path)


def test_a_package_of_genes(tmp_path: Path) -> None:
    path = tmp_path / "p.rda"
    names = ["ENSG00000000003_at", "ENSG00000000005_at", "AFFX-BioB-3_at"]
    path.write_bytes(
        r_data(
            "p", {"sequence": ["A"] * 3, "x": [1, 1, 3], "y": [2, 2, 0], "Probe.Set.Name": names}
        )
    )
    assert pairs(read_package_genes(path)) == [
        (3, 0, "AFFX-BioB-3_at"),
        (1, 2, "ENSG00000000003"),
        (1, 2, "ENSG00000000005"),
    ]


def test_a_package_of_the_manufacturer_is_its_probe_tab(tmp_path: Path) -> None:
    tab = shared_data("affymetrix/annotation/Test3_probe_tab.tsv")
    table = pl.read_csv(tab, separator="\t")
    path = tmp_path / "test3probe.rda"
    path.write_bytes(
        r_data(
            "test3probe",
            {
                "sequence": table["Probe Sequence"].to_list(),
                "x": table["Probe X"].to_list(),
                "y": table["Probe Y"].to_list(),
                "Probe.Set.Name": table["Probe Set Name"].to_list(),
            },
        )
    )
    assert_equal_tables(read_package_probes(path), read_probe_tab(tab))


def test_a_package_with_gaps(tmp_path: Path) -> None:
    path = tmp_path / "p.rda"
    path.write_bytes(r_data("p", {"x": [1, None], "y": [1, 1], "Probe.Set.Name": ["a", "b"]}))
    with pytest.raises(InvalidProbeAnnotation, match="row 2 lacks"):
        read_package_genes(path)
    with pytest.raises(InvalidProbeAnnotation, match="no data frame with the columns x, y, seq"):
        read_package_probes(path)


def test_damaged_mappings(tmp_path: Path) -> None:
    whole = gzip.decompress(shared_data(MAPPING).read_bytes())[:30_000]
    path = tmp_path / "map"
    assert survive_damage(whole, path, lambda: read_mapping(path), times=100)
