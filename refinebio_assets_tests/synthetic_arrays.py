"""Invented arrays: a small chip with its probe tab and gene map, CEL files, bead tables.

Intensities follow the model that SCAN fits: a background by the probe's bases, a signal by
its gene.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from refinebio_assets.microarray.cel import write_cel_v4

SIDE = 100
PER_SET = 10


@dataclass(frozen=True)
class Chip:
    """A chip type with files that describe it; `genes` are those of the gene map."""

    chip_type: str
    probe_tab: Path
    gene_map: Path
    genes: list[str]
    cells: np.ndarray
    effects: np.ndarray
    gene_of_probe: np.ndarray


def make_chip(folder: Path, chip_type: str, *, probe_sets: int = 600, seed: int = 1) -> Chip:
    """Write probe tab and gene map of a chip of 100 × 100 cells; a tenth has no gene."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    n = probe_sets * PER_SET
    cells = np.sort(random.permutation(SIDE * SIDE)[:n])
    codes = random.integers(0, 4, (n, 25))
    probe_set = random.permutation(np.repeat(np.arange(probe_sets), PER_SET))
    genes = [f"ENSG{number:011d}" for number in range(probe_sets * 9 // 10)]
    tab = pl.DataFrame(
        {
            "Probe Set Name": [f"{number}_at" for number in probe_set],
            "Probe X": cells % SIDE,
            "Probe Y": cells // SIDE,
            "Probe Interrogation Position": 1,
            "Probe Sequence": ["".join("ACGT"[code] for code in row) for row in codes],
            "Target Strandedness": "Antisense",
        }
    )
    stem = chip_type.lower()
    tab.write_csv(folder / f"{stem}_probe_tab", separator="\t")
    mapped = probe_set < len(genes)
    pl.DataFrame(
        {
            "x": (cells % SIDE)[mapped],
            "y": (cells // SIDE)[mapped],
            "gene": [genes[number] for number in probe_set[mapped]],
        }
    ).write_csv(folder / f"{stem}_genes.tsv", separator="\t")
    base_effects = random.normal([0, 0.08, 0.05, 0], 0.1, (25, 4))
    effects = base_effects[np.arange(25), codes].sum(axis=1)
    return Chip(
        chip_type,
        folder / f"{stem}_probe_tab",
        folder / f"{stem}_genes.tsv",
        genes,
        cells,
        effects,
        probe_set,
    )


def write_cel(path: Path, chip: Chip, *, seed: int, chip_type: str | None = None) -> Path:
    """An array of the chip; those of one chip share what their genes express, about."""
    shared, random = np.random.default_rng(7), np.random.default_rng(seed)
    level = shared.gamma(1.2, 1.6, chip.gene_of_probe.max() + 1)
    level = level + random.normal(0, 0.2, len(level))
    background = 2 ** (6 + chip.effects + random.normal(0, 0.25, len(chip.cells)))
    signal = 2 ** (3 + level[chip.gene_of_probe] + 0.5 * chip.effects)
    intensities = 2 ** random.normal(6, 0.3, SIDE * SIDE)
    intensities[chip.cells] = background + signal
    path.parent.mkdir(parents=True, exist_ok=True)
    write_cel_v4(
        path,
        chip_type=chip_type or chip.chip_type,
        columns=SIDE,
        rows=SIDE,
        intensities=np.round(intensities, 1),
    )
    return path


def make_bead_annotation(folder: Path, probes: int = 2_000, seed: int = 3) -> Path:
    """A table of bead probes with sequence, quality and gene, as Bioconductor exports them."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, 4, (probes, 50))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "beads.tsv"
    pl.DataFrame(
        {
            "ProbeID": [f"ILMN_{number}" for number in range(probes)],
            "Sequence": ["".join("ACGT"[code] for code in row) for row in codes],
            "ProbeQuality": ["Bad" if number % 10 == 0 else "Perfect" for number in range(probes)],
            "Ensembl": [f"ENSG{number // 2:011d}" for number in range(probes)],
        }
    ).write_csv(path, separator="\t")
    return path


def write_bead_table(path: Path, titles: list[str], probes: int = 2_000, seed: int = 4) -> Path:
    """A GenomeStudio-like table with signals and detection p-values."""
    random = np.random.default_rng(seed)
    columns: dict[str, object] = {"ID_REF": [f"ILMN_{number}" for number in range(probes)]}
    level = random.gamma(1, 2, probes)
    for title in titles:
        values = 2 ** (6.5 + level + random.normal(0, 0.3, probes))
        ranks = values.argsort().argsort()
        columns[f"{title}.AVG_Signal"] = values.round(3)
        columns[f"{title}.Detection Pval"] = (1 - (ranks + 1) / probes).round(6)
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_csv(path, separator="\t")
    return path


def write_platforms(path: Path, platforms: dict[str, dict[str, str]]) -> Path:
    """A reference catalogue of array platforms."""
    entries = {name: {"release": "1", **entry} for name, entry in platforms.items()}
    path.write_text(yaml.safe_dump({"platforms": entries}))
    return path
