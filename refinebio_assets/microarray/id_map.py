"""Which manufacturer's probe set means which gene: for tables that submitters processed.

refine.bio's map files have the columns PROBEID and ENSEMBL, and may have further kinds of ids
(ENTREZID, REFSEQ, SYMBOL, …), each row a combination. Not here: converting a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray import text_tables
from refinebio_assets.microarray.brainarray import gene_ids
from refinebio_assets.microarray.probes import GeneMap, ProbeTable
from refinebio_assets.microarray.text_tables import Header

PROBE_ID: Final = "PROBEID"
ENSEMBL: Final = "ENSEMBL"
_MISSING: Final = ("", "NA")


def id_map_of(probes: ProbeTable, genes: GeneMap) -> pl.DataFrame:
    """The pairs of probe set and gene that have a cell in common.

    Returns
    -------
    pl.DataFrame
        String columns PROBEID and ENSEMBL; distinct pairs, sorted.

    Raises
    ------
    InvalidProbeAnnotation
        No cell is in both.
    """
    of_probes = pl.DataFrame({"x": probes.x, "y": probes.y, "probe_set": probes.probe_set})
    of_genes = pl.DataFrame({"x": genes.x, "y": genes.y, "gene": genes.gene})
    pairs = of_probes.join(of_genes, on=["x", "y"]).select("probe_set", "gene").unique()
    if pairs.is_empty():
        raise InvalidProbeAnnotation("The gene map has none of the platform's cells.")
    pairs = pairs.sort("probe_set", "gene")
    return pl.DataFrame(
        {
            PROBE_ID: pl.Series(probes.probe_sets, dtype=pl.String).gather(pairs["probe_set"]),
            ENSEMBL: pl.Series(genes.genes, dtype=pl.String).gather(pairs["gene"]),
        }
    )


def read_id_map(path: Path) -> pl.DataFrame:
    """Read a map file: tab- or comma-separated, plain or gzip.

    Returns
    -------
    pl.DataFrame
        All its columns, String, in its order; PROBEID and ENSEMBL are among them. Rows without
        a gene are left out, repeated rows too; other ids may be null.

    Raises
    ------
    InvalidProbeAnnotation
        A column is not there or twice, a line has no PROBEID, no row has a gene, or the file
        cannot be read.
    """
    names: list[str] = []

    def choose(header: Header) -> list[int]:
        names.extend(header.names)
        for name in (PROBE_ID, ENSEMBL):
            if name not in names:
                raise InvalidProbeAnnotation(f"{path.name} has no column {name}.")
        if len(set(names)) < len(names):
            raise InvalidProbeAnnotation(f"{path.name} has two columns of one name.")
        return list(range(len(names)))

    parts = []
    for first_line, part in text_tables.columns(path, choose):
        ids = part.select(text_tables.word(column).alias(column) for column in part.columns)
        ids.columns = names
        wanted = ids.select(PROBE_ID)
        text_tables.checked(path, first_line, part, wanted, "a row of ids with a PROBEID")
        parts.append(
            ids.with_columns(pl.when(~pl.all().is_in(_MISSING)).then(pl.all()).name.keep())
        )
    table = pl.concat(parts).drop_nulls([PROBE_ID, ENSEMBL]).with_columns(gene_ids(ENSEMBL))
    if table.is_empty():
        raise InvalidProbeAnnotation(f"{path.name} has no probe with a gene.")
    return table.unique(maintain_order=True)
