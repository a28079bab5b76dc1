"""Maps from probe set to gene: refine.bio's real one for yeast, and derived ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray.id_map import id_map_of, read_id_map
from refinebio_assets.microarray.probe_sources import read_gene_map, read_probes
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.microarray.test_probes import SEQUENCE, map_of, table_of


def test_the_real_map_of_yeast2() -> None:
    path = shared_data("gene_maps/yeast2.tsv.gz")
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    table = read_id_map(path)
    assert table.columns == lines[0].split("\t") == ["PROBEID", "ENSEMBL", "ENTREZID", "REFSEQ"]
    assert set(table.rows()) == {
        tuple(None if cell == "NA" else cell for cell in line.split("\t")) for line in lines[1:]
    }
    assert table.height == table.n_unique()


def test_pairs_of_a_real_array() -> None:
    probes = read_probes([shared_data("affymetrix/annotation/HG-U95Av2_probe_tab.gz")])
    genes = read_gene_map(shared_data("scan/hgu95av2_gene_map.parquet"))
    table = id_map_of(probes, genes)
    of_cell = {}
    for x, y, number in zip(probes.x, probes.y, probes.probe_set, strict=True):
        of_cell.setdefault((x, y), set()).add(probes.probe_sets[number])
    wanted = {
        (probe_set, genes.genes[number])
        for x, y, number in zip(genes.x, genes.y, genes.gene, strict=True)
        for probe_set in of_cell.get((x, y), ())
    }
    assert table.rows() == sorted(wanted)
    assert table.columns == ["PROBEID", "ENSEMBL"]


def test_pairs_of_shared_cells() -> None:
    probes = table_of([(1, 1, SEQUENCE, "b"), (1, 1, SEQUENCE, "a"), (2, 1, SEQUENCE, "a")])
    genes = map_of([(1, 1, "g"), (2, 1, "g"), (2, 1, "h"), (9, 9, "i")])
    assert id_map_of(probes, genes).rows() == [("a", "g"), ("a", "h"), ("b", "g")]
    with pytest.raises(InvalidProbeAnnotation, match="none of the platform's cells"):
        id_map_of(probes, map_of([(7, 7, "g")]))


def test_gaps_and_repetitions(tmp_path: Path) -> None:
    path = tmp_path / "map"
    path.write_text(
        "SYMBOL\tENSEMBL\tPROBEID\nA\tENSG00000000003_at\t1_at\nNA\tENSG00000000003\t1_at\n"
        "\nB\tNA\t2_at\nNA\tENSG00000000003\t1_at\nC\t\t3_at\n"
    )
    assert read_id_map(path).rows() == [
        ("A", "ENSG00000000003", "1_at"),
        (None, "ENSG00000000003", "1_at"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("PROBEID\tSYMBOL\n1\ta\n", "no column ENSEMBL"),
        ("ENSEMBL\n1\n", "no column PROBEID"),
        ("PROBEID\tENSEMBL\tENSEMBL\n1\ta\tb\n", "two columns of one name"),
        ("PROBEID\tENSEMBL\n1\ta\n\tb\n", "line 3 is not a row"),
        ("PROBEID\tENSEMBL\n1\tNA\n", "no probe with a gene"),
        ("", "empty"),
    ],
)
def test_malformed_maps(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "map"
    path.write_text(text)
    with pytest.raises(InvalidProbeAnnotation, match=message):
        read_id_map(path)
