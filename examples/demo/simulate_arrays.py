"""Write six simulated HG_U95Av2 arrays, and a sample sheet that says that they are simulated.

The probes and their sequences are real (Affymetrix's probe tab, from the Debian package
r-bioc-annotationdbi); the intensities are made up: a background that depends on the bases
of the probe, and a signal for each probe set. In the arrays called `treated`, one probe set
in fifty has four times the signal. Usage: simulate_arrays.py PROBE_TAB FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from refinebio_assets.microarray.cel import write_cel_v4
from refinebio_assets.microarray.probe_sources import read_probes

CHIP, SIDE = "HG_U95Av2", 640
ARRAYS = [f"{group}-{number}" for group in ("control", "treated") for number in (1, 2, 3)]
HEADER = (
    "experiment",
    "sample",
    "organism",
    "technology",
    "files",
    "title",
    "treatment",
    "experiment_title",
)
TITLE = "Simulated intensities on the real probes of HG_U95Av2"


def main() -> None:
    """Make the same arrays every time."""
    probes = read_probes([Path(sys.argv[1])])
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(95)
    cells = probes.cells(SIDE)
    length = probes.sequence.shape[1]
    base_effects = random.normal([-0.04, 0.06, 0.04, 0], 0.08, (length, 4))
    affinity = base_effects[np.arange(length), probes.sequence].sum(axis=1)
    signal = random.gamma(1.2, 1.6, len(probes.probe_sets))
    changed = np.arange(len(probes.probe_sets)) % 50 == 0
    rows = []
    for name in ARRAYS:
        level = signal + 2.0 * (changed & name.startswith("treated"))
        expressed = level + random.normal(0, 0.1, len(level))
        specific = 2 ** (3 + expressed[probes.probe_set] + 0.6 * affinity)
        background = 2 ** (6 + affinity + random.normal(0, 0.25, len(cells)))
        chip = 2 ** random.normal(6, 0.3, SIDE * SIDE)
        chip[cells] = (background + specific) * 2 ** random.normal(0, 0.2, len(cells))
        path = folder / f"{name}.CEL"
        write_cel_v4(path, chip_type=CHIP, columns=SIDE, rows=SIDE, intensities=np.round(chip, 1))
        title = f"{name} ({TITLE.lower()})"
        group = name.partition("-")[0]
        rows.append(
            ("SIMULATED-ARRAYS", name, "Homo sapiens", "MICROARRAY", path.name, title, group, TITLE)
        )
    lines = ["\t".join(row) for row in (HEADER, *rows)]
    (folder / "samples.tsv").write_text("\n".join(lines) + "\n")
    print(f"{len(rows)} simulated arrays in {folder}")


if __name__ == "__main__":
    main()
