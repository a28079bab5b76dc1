"""Probes and gene maps from whatever files there are: which reader, told by the content.

Not here: the readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray import brainarray, cdf, pgf, probe_tab, probes, text_tables
from refinebio_assets.microarray.probes import GeneMap, ProbeTable
from refinebio_assets.microarray.r_data import is_r_data

_PARQUET = b"PAR1"


class Kind(Enum):
    """The kinds of annotation file that are read, each with the words for it in messages."""

    PARQUET = "Parquet"
    R_DATA = "an R probe package"
    CDF = "a CDF"
    PGF = "a PGF"
    CLF = "a CLF"
    MPS = "an MPS"
    PROBE_TAB = "a probe tab"
    MAPPING = "a table of cells and genes"


def kind_of(path: Path) -> Kind:
    """What kind of annotation a file is, by its content, never by its name.

    Raises
    ------
    InvalidProbeAnnotation
        It is none of them, or cannot be read.
    """
    head = text_tables.head(path)
    if head.startswith(_PARQUET):
        return Kind.PARQUET
    if is_r_data(head):
        return Kind.R_DATA
    if cdf.is_cdf(head):
        return Kind.CDF
    if pgf.is_pgf(head):
        return Kind.PGF
    if pgf.is_clf(head):
        return Kind.CLF
    header, _ = text_tables.header_of(head)
    if pgf.is_mps(header):
        return Kind.MPS
    if probe_tab.is_probe_tab(header):
        return Kind.PROBE_TAB
    if brainarray.is_gene_map(header):
        return Kind.MAPPING
    raise InvalidProbeAnnotation(
        f"{path.name} is none of the annotation files that are read: "
        + ", ".join(kind.value for kind in Kind)
        + "."
    )


@dataclass(frozen=True)
class ReadProbes:
    """Probes, and, where a CDF says which cells are perfect matches, how well they fit it.

    `without_sequence` perfect-match cells are left out because no file has their sequence;
    `not_on_chip` probes because the CDF does not list their cells.
    """

    probes: ProbeTable
    without_sequence: int = 0
    not_on_chip: int = 0


def read_probes(paths: Sequence[Path]) -> ProbeTable:
    """As `read_probe_files`, the probes alone."""
    return read_probe_files(paths).probes


def read_probe_files(paths: Sequence[Path]) -> ReadProbes:
    """The perfect-match probes of a platform, from one or several files in any order.

    Either a PGF, its CLF and, to group by gene, an MPS; or one file with sequences (a probe
    tab, our own Parquet, a manufacturer's probe package), and maybe the chip's CDF, which then
    says which cells are probes, and of which probe sets.

    Raises
    ------
    InvalidProbeAnnotation
        A file cannot be understood, is of another kind or one too many; one is missing; or
        they list a mapping's probes only.
    """
    files: dict[Kind, Path] = {}
    for path in paths:
        kind = kind_of(path)
        if kind in files:
            raise InvalidProbeAnnotation(
                f"{files[kind].name} and {path.name} are both {kind.value}."
            )
        files[kind] = path
    kinds = set(files)
    if Kind.PGF in kinds and Kind.CLF in kinds and kinds <= {Kind.PGF, Kind.CLF, Kind.MPS}:
        return ReadProbes(pgf.read_pgf(files[Kind.PGF], files[Kind.CLF], files.get(Kind.MPS)))
    spelt = kinds - {Kind.CDF}
    if len(spelt) != 1 or not spelt <= {Kind.PROBE_TAB, Kind.PARQUET, Kind.R_DATA}:
        found = ", ".join(f"{path.name} ({kind.value})" for kind, path in files.items())
        raise InvalidProbeAnnotation(
            f"These are not the probes of a platform: {found or 'no file'}.",
            remedy="Give a probe tab (with a CDF, if there is one), a manufacturer's probe "
            "package, or a PGF with its CLF.",
        )
    (kind,) = spelt
    path = files[kind]
    table = _spelt(kind, path)
    if brainarray.is_of_genes(table.probe_sets):
        raise InvalidProbeAnnotation(
            f"{path.name} has the probes that are mapped to genes, not all of the platform.",
            remedy="Use it as the gene map; SCAN models all probes of the manufacturer.",
        )
    if Kind.CDF not in files:
        return ReadProbes(table)
    fit = cdf.complete(path.name, table, cdf.read_cdf(files[Kind.CDF]))
    return ReadProbes(fit.probes, fit.without_sequence, fit.not_on_chip)


def _spelt(kind: Kind, path: Path) -> ProbeTable:
    if kind is Kind.PROBE_TAB:
        return probe_tab.read_probe_tab(path)
    if kind is Kind.PARQUET:
        return probes.read_probe_table(path)
    return brainarray.read_package_probes(path)


def read_gene_map(path: Path) -> GeneMap:
    """Which cells belong to which gene, from a file of any kind that tells.

    A BrainArray probe package, .rda file, mapping text or probe tab; or a table (tab- or
    comma-separated, or Parquet) with columns x, y and gene. BrainArray's `_at` is taken off
    Ensembl gene ids.

    Raises
    ------
    InvalidProbeAnnotation
        The file is of another kind or cannot be understood.
    """
    kind = kind_of(path)
    if kind is Kind.PARQUET:
        return brainarray.with_gene_ids(path.name, probes.read_gene_map_parquet(path))
    if kind is Kind.R_DATA:
        return brainarray.read_package_genes(path)
    if kind in (Kind.MAPPING, Kind.PROBE_TAB):
        return brainarray.read_mapping(path)
    raise InvalidProbeAnnotation(f"{path.name} is {kind.value}, not a gene map.")
