"""A small compendium of arrays and RNA-seq whose comparability is known, for several tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.compendium.comparability import Comparability, Comparison
from refinebio_assets.compendium.replicates import LabelledSample
from refinebio_assets.publish.disk_matrix import DiskMatrix

GENES = 150


def samples(subjects: int = 12) -> list[LabelledSample]:
    """Each subject on an array and by RNA-seq, of two experiments of one family each."""
    found = []
    for technology, platform in (("MICROARRAY", "Array A"), ("RNA-SEQ", "Sequencer B")):
        for subject in range(subjects):
            half = "12"[subject % 2]
            found.append(
                LabelledSample(
                    f"{platform[-1]}{subject:02}",
                    f"GSE{half}{platform[-1]}",
                    "DANIO_RERIO",
                    technology,
                    platform,
                    f"{technology} of {subject}".lower(),
                    {"subject": f"fish {subject}", "specimen_part": "liver"},
                )
            )
    return found


RELATIONS = [("GSE1A", "PRJ1"), ("GSE1B", "PRJ1"), ("GSE2A", "GSE2B")]


def values(
    labelled: list[LabelledSample], shift: float, seed: int = 5
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Genes' means, subjects, noise, and `shift` of RNA-seq in a third of the genes."""
    rng = np.random.default_rng(seed)
    means = rng.normal(8, 2, GENES)
    subjects = {
        each.material["subject"]: rng.normal(0, 1, GENES) for each in labelled if each.material
    }
    found = np.empty((len(labelled), GENES), np.float32)
    origins = np.zeros((len(labelled), GENES), np.uint8)
    for row, each in enumerate(labelled):
        assert each.material
        found[row] = means + subjects[each.material["subject"]] + rng.normal(0, 0.5, GENES)
        if each.technology == "RNA-SEQ":
            found[row, ::3] += shift
            origins[row, rng.choice(GENES, 30, replace=False)] = 2
        else:
            origins[row, 120:] = 1
    return found, origins


def compared(folder: Path, shift: float = 0.0, subjects: int = 12) -> Comparability:
    labelled = samples(subjects)
    found, origins = values(labelled, shift)
    comparison = Comparison(labelled, GENES, RELATIONS)
    with DiskMatrix(folder, (len(labelled), GENES), 500) as matrix:
        matrix.write_samples(0, found)
        for start in range(0, len(labelled), 5):
            here = slice(start, start + 5)
            comparison.add(found[here], origins[here])
        return comparison.result(matrix)
