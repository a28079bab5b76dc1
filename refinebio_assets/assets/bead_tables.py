"""A table of Illumina bead summaries: all of its samples at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refinebio_assets.assets.array_work import ArrayWork, Made, of_annotation
from refinebio_assets.assets.stage import Toolbox
from refinebio_assets.errors import MissingProbeAnnotation, RefinebioError, SampleNotInTable
from refinebio_assets.resources.annotations import BuiltAnnotation, built_annotations

if TYPE_CHECKING:
    from refinebio_assets.microarray.bead_columns import BeadSample
    from refinebio_assets.sources.records import Sample


def bead_annotations(sample: Sample, toolbox: Toolbox) -> dict[str, BuiltAnnotation]:
    """The annotated bead arrays of the sample's organism.

    Raises
    ------
    UnsupportedPlatform, MissingProbeAnnotation
    """
    from refinebio_assets.microarray.bead_annotation import candidate_platforms

    names = candidate_platforms(sample.organism)
    built = {each.platform: each for each in built_annotations(toolbox.storage)}
    found = {name: built[name] for name in names if name in built}
    if not found:
        raise MissingProbeAnnotation(
            f"None of {', '.join(names)} has a probe annotation.",
        )
    return found


def bead_values(theirs: list[ArrayWork], toolbox: Toolbox) -> dict[str, Made | RefinebioError]:
    import polars as pl

    from refinebio_assets.matrix.samples import means_by_gene
    from refinebio_assets.microarray.bead_annotation import read_bead_annotation_parquet
    from refinebio_assets.microarray.bead_columns import find_columns
    from refinebio_assets.microarray.bead_platform import detect_bead_platform
    from refinebio_assets.microarray.bead_table import read_bead_table
    from refinebio_assets.microarray.beadarray import normalise_bead_arrays

    table = read_bead_table(theirs[0].raw.path)
    columns = find_columns(table, [_as_bead_sample(work.sample) for work in theirs])
    ids = table.texts(columns.probe_id)
    built = bead_annotations(theirs[0].sample, toolbox)
    annotations = {name: read_bead_annotation_parquet(each.probes) for name, each in built.items()}
    detected = detect_bead_platform(
        ids, {name: each.probe_ids for name, each in annotations.items()}
    )
    annotation = built[detected.platform]
    normalised = normalise_bead_arrays(
        ids,
        table.floats(columns.expression),
        table.floats(columns.p_values),
        annotations[detected.platform],
        choices=_choices(annotation),
        background=toolbox.r.nec,
        threads=toolbox.config.parallel_samples,
    )
    row = {
        "file_format": "bead table",
        **of_annotation(annotation, by_gene=True),
        "num_probes": normalised.num_probes,
        "detection_percentage": detected.detection_percentage,
        "mapped_percentage": detected.mapped_percentage,
        "background_corrected": normalised.is_background_corrected,
    }
    found: dict[str, Made | RefinebioError] = {}
    for work in theirs:
        name = work.sample.sample
        try:
            array = columns.array_of(name)
        except SampleNotInTable as error:
            found[name] = error
            continue
        fit = normalised.fits[array]
        if fit is None:
            found[name] = normalised.errors[array]
            continue
        genes, values = means_by_gene(
            pl.DataFrame({"gene": normalised.genes, "value": normalised.values[:, array]})
        )
        fitted = {"iterations": fit.iterations, "converged": fit.converged}
        found[name] = Made(genes, values, {**row, **fitted})
    return found


def _choices(annotation: BuiltAnnotation) -> dict[str, str]:
    import polars as pl

    chosen = pl.read_parquet(annotation.folder / "choices.parquet", glob=False)
    return dict(chosen.select("probe_id", "gene").iter_rows())


def _as_bead_sample(sample: Sample) -> BeadSample:
    from refinebio_assets.microarray.bead_columns import BeadSample

    said: dict[str, list[str]] = {}
    for each in sample.attributes:
        said.setdefault(each.key.lower(), []).append(each.value)
    return BeadSample(
        sample.sample,
        sample.title or "",
        descriptions=tuple(said.get("description", ())),
        geo_columns=tuple(said.get("geo_columns", ())),
    )
