"""What the ways of processing an array have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refinebio_assets.assets.stage import Toolbox
from refinebio_assets.errors import RawFilesDropped
from refinebio_assets.resources.annotations import BuiltAnnotation, newest_annotation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from refinebio_assets.microarray.raw_array import RawArray
    from refinebio_assets.sources.records import Sample

SUBMITTED = "submitter-processed"
OURS = "refinebio_assets"


@dataclass(frozen=True)
class ArrayWork:
    """A sample with its verified raw file."""

    sample: Sample
    raw: RawArray


@dataclass(frozen=True)
class Made:
    """What came of a raw file: values by gene, and what is known of how they were made."""

    genes: Sequence[str]
    values: NDArray[np.float64]
    row: dict[str, Any]


@dataclass(frozen=True)
class Expressed:
    """One sample's values by gene (or probe set), unique and sorted, and its row of `arrays`."""

    genes: Sequence[str]
    values: NDArray[np.float32]
    row: dict[str, Any]


def expressed(work: ArrayWork, made: Made, seconds: float, toolbox: Toolbox) -> Expressed:
    """The values as they are published, with everything that is known of them."""
    import numpy as np

    method, engine = method_of(work.raw, toolbox)
    known = newest_annotation(toolbox.storage, made.row["platform"]).record
    usual = known.get("num_genes" if made.row["feature"] == "gene" else "num_probe_sets")
    row = {
        "sample": work.sample.sample,
        "organism": work.sample.organism,
        "method": method,
        "engine": engine,
        "labelled_platform": work.sample.platform,
        "num_genes": len(made.genes),
        "percent_of_platform": 100 * len(made.genes) / usual if usual else None,
        "raw_name": work.raw.name,
        "raw_sha256": work.raw.file.sha256,
        "seconds": seconds,
        **made.row,
        **toolbox.lineage(),
    }
    return Expressed(made.genes, made.values.astype(np.float32), row)


def method_of(raw: RawArray, toolbox: Toolbox) -> tuple[str, str]:
    """The method that a raw file is processed with, and the program that runs it."""
    if raw.kind == "CEL":
        engine = OURS if toolbox.config.scan_engine == "refinebio" else "R SCAN.UPC"
        return ("SCANfast" if toolbox.config.scan == "scanfast" else "SCAN"), engine
    return ("Illumina SCAN" if raw.kind == "BEADS" else SUBMITTED), OURS


def of_annotation(annotation: BuiltAnnotation, *, by_gene: bool) -> dict[str, Any]:
    """The columns of `arrays` that say which annotation was used."""
    return {
        "platform": annotation.platform,
        "annotation_release": annotation.release,
        "annotation_sha256": annotation.sha256,
        "feature": "gene" if by_gene else "probe set",
    }


def refuse_dropped(raw: RawArray) -> None:
    """Raise RawFilesDropped where the file is gone."""
    if not raw.path.exists():
        raise RawFilesDropped("The raw file is not there any more.")
