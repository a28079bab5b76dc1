"""Affymetrix's probe tab: one line for each probe, with its cell and its sequence.

Columns are found by their names, which differ between chips: `Probe Set Name` or `Probe Set
ID`, `Probe X`, `Probe Y`, `Probe Sequence`; tables of ST arrays group by `Transcript Cluster
ID`. The probe is spelt from its 5' end. Not here: other annotation files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray import text_tables
from refinebio_assets.microarray.probes import ProbeTable, probe_table
from refinebio_assets.microarray.text_tables import Header

PROBE_SET: Final = ("Probe Set Name", "Probe Set ID", "Probe Set", "Transcript Cluster ID")
X: Final = ("Probe X", "X")
Y: Final = ("Probe Y", "Y")
_SEQUENCE: Final = ("Probe Sequence", "Sequence")
_TYPE: Final = ("Probe Type", "Type")


def is_probe_tab(header: Header) -> bool:
    """Whether a table with this header lists probes with probe set, cell and sequence."""
    return all(header.find(*names) is not None for names in (PROBE_SET, X, Y, _SEQUENCE))


def read_probe_tab(path: Path) -> ProbeTable:
    """Read a probe tab: plain, gzip, or a ZIP archive of one.

    Where a column `Probe Type` tells, mismatch probes are left out.

    Raises
    ------
    InvalidProbeAnnotation
        The columns are not there, a line is not a probe, a cell has two sequences, no probe
        has 25 bases, or the file cannot be read.
    """

    def choose(header: Header) -> list[int]:
        if not is_probe_tab(header):
            raise InvalidProbeAnnotation(
                f"{path.name} has no columns Probe Set Name, Probe X, Probe Y and Probe Sequence."
            )
        wanted = (header.find(*names) for names in (PROBE_SET, X, Y, _SEQUENCE, _TYPE))
        return [index for index in wanted if index is not None]

    probes = []
    for first_line, part in text_tables.columns(path, choose):
        perfect = pl.lit(True)
        if part.width > 4:
            kind = pl.col("4").fill_null("").str.strip_chars().str.to_lowercase()
            perfect = ~kind.str.starts_with("mm")
        typed = part.select(
            text_tables.coordinate("1").alias("x"),
            text_tables.coordinate("2").alias("y"),
            text_tables.word("3").alias("sequence"),
            text_tables.word("0").alias("probe_set"),
            perfect.alias("perfect"),
        )
        rows = text_tables.checked(path, first_line, part, typed, "a probe")
        probes.append(rows.filter("perfect").drop("perfect"))
    return probe_table(path.name, pl.concat(probes))
