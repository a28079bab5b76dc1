"""A submitter's own values, with their ids replaced by genes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from refinebio_assets.assets.array_work import ArrayWork, Made, of_annotation
from refinebio_assets.assets.bead_tables import bead_annotations
from refinebio_assets.assets.stage import Toolbox
from refinebio_assets.errors import MissingProbeAnnotation, UnsupportedPlatform
from refinebio_assets.metadata.platforms import find_array, is_bead_array
from refinebio_assets.resources.annotations import BuiltAnnotation, newest_annotation

if TYPE_CHECKING:
    import polars as pl

PLATFORMS_KEPT = 8  # an organism has four at most


def submitted_values(work: ArrayWork, toolbox: Toolbox) -> Made:
    """Submitted values with their ids replaced by genes."""
    import polars as pl

    from refinebio_assets.matrix.samples import means_by_gene
    from refinebio_assets.microarray.submitter import illumina_to_genes, read_table, to_genes

    sample, raw = work.sample, work.raw
    stated = sample.platform or ""
    if not stated:
        raise UnsupportedPlatform(
            "The sample names no platform, so its ids cannot be told.",
            remedy="Name the platform of submitted values (docs/samplesheet.md).",
        )
    beads = is_bead_array(stated)
    table = read_table(raw.path, raw.columns, illumina=beads)
    if beads:
        annotations = bead_annotations(sample, toolbox)
        found = illumina_to_genes(
            table,
            {name: _genes_of_beads(each.probes, each.sha256) for name, each in annotations.items()},
        )
        annotation = annotations[found.recognised_as]
    else:
        annotation = _annotation_of_label(stated, toolbox)
        if annotation.id_map is None:
            raise MissingProbeAnnotation(
                f"The probe annotation of {annotation.platform} knows no genes.",
                remedy="Give the platform `genes` or an `id_map` in the reference catalogue.",
            )
        found = to_genes(table, pl.read_parquet(annotation.id_map, glob=False))
    genes, values = means_by_gene(found.values)
    return Made(
        genes,
        values,
        {
            "file_format": "table",
            **of_annotation(annotation, by_gene=True),
            "id_kind": None if beads else found.recognised_as,
            "detection_percentage": 100 * found.share_of_known,
            "mapped_percentage": 100 * found.share_of_rows,
            "num_probes": found.rows,
        },
    )


def _annotation_of_label(platform: str, toolbox: Toolbox) -> BuiltAnnotation:
    known = find_array(platform, first=True)
    return newest_annotation(toolbox.storage, known.internal if known else platform)


@lru_cache(maxsize=PLATFORMS_KEPT)
def _genes_of_beads(probes: Path, _sha256: str) -> pl.DataFrame:
    """All pairs of probe and gene; a probe without a gene is there too."""
    import polars as pl

    from refinebio_assets.microarray.bead_annotation import read_bead_annotation_parquet

    read = read_bead_annotation_parquet(probes)
    return pl.DataFrame({"probe": read.probe_ids, "gene": read.genes}).explode("gene")
