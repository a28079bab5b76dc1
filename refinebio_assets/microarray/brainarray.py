"""Gene maps and probe packages: from BrainArray's custom CDFs, and Bioconductor's own probes.

A probe package (`hgu133plus2hsensgprobe_22.0.0.tar.gz`, or the .rda file within) and a mapping
text (`HGFocus_Hs_ENSG_mapping.txt`) list cells with the probe set that each is in. Where the
probe sets are the manufacturer's, a package is a probe table. Source: Dai et al., "Evolving
gene/transcript definitions significantly alter the interpretation of GeneChip data", Nucleic
Acids Research 33:e175 (2005). Not here: mapping probes to genes ourselves (`gene_mapping`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray import text_tables
from refinebio_assets.microarray.probe_tab import PROBE_SET, X, Y
from refinebio_assets.microarray.probes import GeneMap, ProbeTable, gene_map, probe_table
from refinebio_assets.microarray.r_data import read_frame
from refinebio_assets.microarray.text_tables import Header

_GENE: Final = ("Gene", "Gene ID", "ENSEMBL", *PROBE_SET)

# Stable ids of Ensembl and of the databases that it takes over (FlyBase, WormBase, SGD).
_STABLE_ID: Final = (
    r"ENS[A-Z]*G[0-9]{11}|FBgn[0-9]{7}|WBGene[0-9]{8}|Y[A-P][LR][0-9]{3}[WC](?:-[A-Z])?|Q[0-9]{4}"
)
_BRAINARRAY_GENE: Final = rf"^({_STABLE_ID})_at$"


def gene_ids(column: str) -> pl.Expr:
    """Probe set names of BrainArray as gene ids: `ENSG00000000003_at` -> `ENSG00000000003`.

    Names that are not an Ensembl gene's with `_at` stay as they are: `AFFX-BioB-3_at` is no gene,
    and `1007_s_at` not BrainArray's.
    """
    return pl.col(column).str.replace(_BRAINARRAY_GENE, "$1")


def is_of_genes(probe_sets: list[str]) -> bool:
    """Whether most of some probe sets are BrainArray's, each of one gene.

    Names of yeast's do not tell: Affymetrix named probe sets so, too.
    """
    of_genes = pl.Series(probe_sets, dtype=pl.String).str.contains(r"^(ENS|FBgn|WBGene).*[0-9]_at$")
    return int(of_genes.sum()) * 2 > len(probe_sets)


def is_gene_map(header: Header) -> bool:
    """Whether a table with this header says which cells belong to what."""
    return all(header.find(*names) is not None for names in (X, Y, _GENE))


def with_gene_ids(source: str, genes: GeneMap) -> GeneMap:
    """A gene map with names as `gene_ids` makes them."""
    rows = pl.DataFrame(
        {"x": genes.x, "y": genes.y, "gene": pl.Series(genes.genes).gather(genes.gene)}
    )
    return gene_map(source, rows.with_columns(gene_ids("gene")))


def read_mapping(path: Path) -> GeneMap:
    """Read a table of cells with their gene: BrainArray's mapping text, or any other.

    Tab- or comma-separated; columns `Probe X`, `Probe Y`, `Probe Set Name` or `x`, `y`, `gene`,
    in any case and order, among others.

    Raises
    ------
    InvalidProbeAnnotation
        The columns are not there, a line has no such cell, or the file cannot be read.
    """

    def choose(header: Header) -> list[int]:
        if not is_gene_map(header):
            raise InvalidProbeAnnotation(
                f"{path.name} has no columns x, y and gene (or Probe X, Probe Y, Probe Set Name)."
            )
        wanted = (header.find(*names) for names in (X, Y, _GENE))
        return [index for index in wanted if index is not None]

    rows = []
    for first_line, part in text_tables.columns(path, choose):
        typed = part.select(
            text_tables.coordinate("0").alias("x"),
            text_tables.coordinate("1").alias("y"),
            text_tables.word("2").alias("gene"),
        )
        rows.append(text_tables.checked(path, first_line, part, typed, "a cell with its gene"))
    return gene_map(path.name, pl.concat(rows).with_columns(gene_ids("gene")))


def read_package_genes(path: Path) -> GeneMap:
    """The gene map in a BrainArray probe package or its .rda file.

    Raises
    ------
    InvalidProbeAnnotation
        As `r_data.read_frame`; or a probe without a cell or a probe set.
    """
    rows = _rows(path, ("x", "y", "Probe.Set.Name"))
    return gene_map(
        path.name, rows.rename({"Probe.Set.Name": "gene"}).with_columns(gene_ids("gene"))
    )


def read_package_probes(path: Path) -> ProbeTable:
    """The probes in a manufacturer's probe package (`hgu95av2probe`) or its .rda file.

    Raises
    ------
    InvalidProbeAnnotation
        As `read_package_genes`.
    """
    rows = _rows(path, ("x", "y", "sequence", "Probe.Set.Name"))
    return probe_table(path.name, rows.rename({"Probe.Set.Name": "probe_set"}))


def _rows(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    rows = read_frame(path, columns).with_columns(
        pl.col("x", "y").cast(pl.Int32, strict=False),
        pl.col(*columns[2:]).cast(pl.String, strict=False),
    )
    gap = rows.select(pl.any_horizontal(pl.all().is_null()).arg_true()).to_series()
    if len(gap):
        raise InvalidProbeAnnotation(
            f"{path.name} is malformed: row {gap[0] + 1} lacks {' or '.join(columns)}."
        )
    return rows
