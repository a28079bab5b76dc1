"""A CEL file by SCAN. The chip type in its header says which platform it is."""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets.assets.array_work import ArrayWork, Made, of_annotation
from refinebio_assets.assets.stage import Toolbox
from refinebio_assets.errors import MissingProbeAnnotation, ToolMissing, UnsupportedPlatform
from refinebio_assets.metadata.platforms import array_of_chip, chip_key
from refinebio_assets.resources.annotations import BuiltAnnotation, newest_annotation

if TYPE_CHECKING:
    from refinebio_assets.microarray.array_model import ArrayModel

_PACKAGE = re.compile(r"([a-z0-9]+ensgprobe)_[^/]*\Z")
PLATFORMS_KEPT = 4  # prepared platforms per process


def scan_cel(work: ArrayWork, toolbox: Toolbox) -> Made:
    """A CEL file by SCAN; the chip type in its header says which platform it is."""
    from refinebio_assets.microarray.cel import read_cel

    cel = read_cel(work.raw.path)
    annotation = _annotation_of_chip(cel.header.chip_type, toolbox)
    row = {
        "file_format": cel.header.format,
        "chip_type": cel.header.chip_type,
        **of_annotation(annotation, by_gene=annotation.genes is not None),
    }
    if toolbox.config.scan_engine == "r":
        return _scan_in_r(work, annotation, row, toolbox)
    found = prepared_model(annotation, toolbox.config.scan).expression(cel)
    return Made(
        found.names,
        found.values,
        {
            **row,
            "num_probes": found.num_probes,
            "iterations": found.fit.iterations,
            "converged": found.fit.converged,
            "zero_shift": found.zero_shift,
            "percent_saturated": found.percent_saturated,
        },
    )


def _scan_in_r(
    work: ArrayWork, annotation: BuiltAnnotation, row: dict[str, Any], toolbox: Toolbox
) -> Made:
    """R's own SCAN.UPC, which needs BrainArray's package where values are per gene."""
    import polars as pl

    from refinebio_assets.matrix.samples import means_by_gene

    package = None
    if annotation.genes is not None:
        named = [_PACKAGE.search(source) for source in annotation.record["sources"]]
        package = next((found[1] for found in named if found), None)
        if package is None:
            raise ToolMissing(
                "R's SCAN.UPC makes genes of a BrainArray package only.",
                remedy="Give the platform BrainArray's probe package as `genes`, or scan_engine: "
                "refinebio.",
            )
    found = toolbox.r.scan_upc(work.raw.path, toolbox.config.scan, package)
    genes, values = means_by_gene(pl.DataFrame({"gene": found["names"], "value": found["values"]}))
    return Made([gene.removesuffix("_at") for gene in genes] if package else genes, values, row)


def platform_of_chip(chip_type: str, toolbox: Toolbox) -> str:
    """How a chip's platform is called; one that is not listed, by the name of its chip."""
    known = array_of_chip(chip_type, strict=toolbox.config.strict_chip_names)
    return known.internal if known else chip_key(chip_type)


def _annotation_of_chip(chip_type: str, toolbox: Toolbox) -> BuiltAnnotation:
    try:
        return newest_annotation(toolbox.storage, platform_of_chip(chip_type, toolbox))
    except MissingProbeAnnotation:
        if array_of_chip(chip_type, strict=toolbox.config.strict_chip_names) is None:
            raise UnsupportedPlatform(f"The chip {chip_type!r} is not a known array.") from None
        raise


_loading = threading.Lock()


def prepared_model(annotation: BuiltAnnotation, setting: str) -> ArrayModel:
    """The prepared platform, kept for the arrays to come; one thread prepares it."""
    with _loading:
        return _kept_model(annotation.folder, annotation.sha256, setting)


@lru_cache(maxsize=PLATFORMS_KEPT)
def _kept_model(folder: Path, _sha256: str, setting: str) -> ArrayModel:
    from refinebio_assets.microarray.array_model import ArrayModel
    from refinebio_assets.microarray.probes import read_gene_map_parquet, read_probe_table
    from refinebio_assets.microarray.scan import SCAN, SCANFAST

    genes = folder / "genes.parquet"
    return ArrayModel.prepared(
        read_probe_table(folder / "probes.parquet"),
        read_gene_map_parquet(genes) if genes.exists() else None,
        SCANFAST if setting == "scanfast" else SCAN,
    )
