"""All layers of genes as AnnData, in one HDF5 file or as a Zarr store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from refinebio_assets import __version__
from refinebio_assets.assets.export_checks import (
    Seen,
    count_differences,
    to_compare,
    verdicts_of,
)
from refinebio_assets.assets.export_work import LAYERS, ExportWork, MadeFile
from refinebio_assets.resources.compendia import Kind
from refinebio_assets.resources.export_selection import ExportSelection

if TYPE_CHECKING:
    import polars as pl

    from refinebio_assets.publish.sample_blocks import SampleBlock


def make_anndata(work: ExportWork, kind: Kind) -> list[MadeFile]:
    """Write the file or store, read it back, and compare it with what it should be."""
    from refinebio_assets.publish.anndata_layers import write_layered_h5ad, write_layered_zarr
    from refinebio_assets.publish.normalised_layer import with_normalised
    from refinebio_assets.publish.read_back import (
        LayerDigests,
        layers_of,
        passing,
        read_back_layers,
    )
    from refinebio_assets.publish.sample_blocks import gene_blocks

    selection = work.selection
    files, genes = work.files_and_genes()
    left_out = selection.namesakes()
    samples: list[str] = []
    sizes: list[float] = []

    def watched(blocks: Iterable[SampleBlock]) -> Iterator[SampleBlock]:
        for block in blocks:
            samples.extend(block.samples)
            sizes.extend(block.layers["counts"].sum(axis=1, dtype=float).tolist())
            yield block

    blocks = watched(gene_blocks(files, genes, left_out.append, LAYERS))
    if selection.target is not None:
        blocks = with_normalised(blocks, selection.target.numbers())
    digests = LayerDigests()
    path = work.path(".h5ad" if kind == "anndata" else ".zarr")
    write: Callable[..., int] = write_layered_h5ad if kind == "anndata" else write_layered_zarr
    write(
        path,
        passing(blocks, digests),
        work.with_symbols(genes),
        _described(selection),
        _about(work),
        work.progress("layers"),
    )
    found = read_back_layers(path)
    ids = genes.to_list()
    place = {sample: number for number, sample in enumerate(samples)}
    compared = to_compare(samples)
    values = layers_of(path, [place[sample] for sample in compared])
    size = f"{len(samples):,} samples × {len(ids):,} genes, {len(values)} layers"
    seen = Seen(
        contents=f"{path.name}, {size}",
        as_written=(found.samples, found.genes, found.digests.sha256)
        == (samples, ids, digests.sha256),
        missing=sum(found.digests.not_finite.values()),
        compared={
            sample: count_differences(
                {layer: values[layer][number] for layer in LAYERS}, ids, work.catalogued(sample)
            )
            for number, sample in enumerate(compared)
        },
        wanted=work.samples,
        there=samples,
        left_out=left_out,
    )
    entry: dict[str, Any] = {
        "name": path.name,
        "level": "gene",
        "num_samples": len(samples),
        "num_columns": len(samples),
        "num_features": len(ids),
        "num_left_out": len(left_out),
        "layers": list(digests.sha256),
        "values_sha256": digests.sha256,
        "checks": verdicts_of(seen),
    }
    return [MadeFile(entry, left_out, sizes)]


def _described(selection: ExportSelection) -> pl.DataFrame:
    """A row of obs for each sample."""
    import polars as pl

    from refinebio_assets.publish.sample_frame import sample_frame

    frame = sample_frame((each.experiment, selection.of(each)) for each in selection.samples)
    names = [each.sample for each in selection.samples]
    return frame.with_columns(
        pl.Series("experiments", ["; ".join(selection.series[each]) for each in names]),
        pl.Series(
            "single_cell_probability",
            [selection.single_cell_probability(each) for each in names],
            pl.Float64,
        ),
        pl.Series(
            "percent_mapped",
            [selection.quantifications[each]["percent_mapped"] for each in names],
            pl.Float64,
        ),
    )


def _about(work: ExportWork) -> dict[str, str]:
    target = work.selection.target
    return {
        "organism": work.selection.organism,
        "version": str(work.version),
        "software": f"refinebio_assets {__version__}",
        "created_at": work.created().isoformat(),
        "references": "; ".join(work.selection.references),
        **({"target": f"version {target.version}, SHA-256 {target.sha256}"} if target else {}),
    }
