"""Counts of genes and of transcripts, each as a file in the layout of ARCHS4."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets import __version__
from refinebio_assets.assets.export_checks import (
    Seen,
    count_differences,
    to_compare,
    verdicts_of,
)
from refinebio_assets.assets.export_work import ExportWork, MadeFile
from refinebio_assets.errors import InvalidQuantification
from refinebio_assets.resources.export_selection import ExportSelection, transcripts_described

if TYPE_CHECKING:
    import polars as pl

    from refinebio_assets.publish.archs4 import CountBlock, WrittenCounts
    from refinebio_assets.publish.sample_blocks import OnLeftOut, SampleBlock


@dataclass(frozen=True)
class _Level:
    """Genes or transcripts: their file, their blocks, and what each sample is made of.

    `features` has ids in its first column.
    """

    name: str
    features: pl.DataFrame
    blocks: Callable[[OnLeftOut], Iterator[SampleBlock]]
    origin: Callable[[str], pl.DataFrame]
    write: Callable[..., WrittenCounts]


def make_archs4(work: ExportWork) -> list[MadeFile]:
    """Write both files, read them back, and compare them with what they should be."""
    from refinebio_assets.publish.archs4 import write_gene_counts, write_transcript_counts
    from refinebio_assets.publish.sample_blocks import gene_blocks, transcript_blocks

    selection = work.selection
    files, genes = work.files_and_genes()
    quant_files = selection.quant_files(work.storage)
    transcripts = _shared_transcripts(selection, quant_files)
    levels = (
        _Level(
            "gene",
            work.with_symbols(genes).rename({"gene": "ensembl_gene"}),
            lambda on_left_out: gene_blocks(files, genes, on_left_out),
            work.catalogued,
            write_gene_counts,
        ),
        _Level(
            "transcript",
            transcripts_described(transcripts, selection.organism, work.storage),
            lambda on_left_out: transcript_blocks(quant_files, transcripts, on_left_out),
            lambda sample: _quantified(quant_files[sample]),
            write_transcript_counts,
        ),
    )
    records = _records(selection)
    return [_make_level(level, records, work) for level in levels]


def _make_level(level: _Level, records: pl.DataFrame, work: ExportWork) -> MadeFile:
    import numpy as np

    from refinebio_assets.publish.archs4 import with_records
    from refinebio_assets.publish.read_back import counts_of, read_back_counts

    left_out = work.selection.namesakes()
    columns: list[tuple[str, str]] = []
    sizes: dict[str, float] = {}

    def watched(blocks: Iterable[CountBlock]) -> Iterator[CountBlock]:
        for block in blocks:
            names = block.records["geo_accession"].to_list()
            columns.extend(zip(names, block.records["series_id"], strict=True))
            sizes.update(zip(names, block.counts.sum(axis=1, dtype=np.float64), strict=True))
            yield block

    path = work.path(f"_{level.name}.h5")
    written = level.write(
        path,
        level.features,
        watched(with_records(level.blocks(left_out.append), records)),
        _info(work),
        work.progress(f"counts of {level.name}s"),
    )
    found = read_back_counts(path)
    ids = level.features.to_series().to_list()
    place = {sample: number for number, (sample, _) in enumerate(columns)}
    compared = to_compare(list(place))
    counts = counts_of(path, [place[sample] for sample in compared])
    seen = Seen(
        contents=f"{path.name}, {written.samples:,} samples × {written.genes:,} {level.name}s",
        as_written=(found.columns, found.features, found.sha256) == (columns, ids, written.sha256),
        missing=found.unsure,
        compared={
            sample: count_differences({"counts": of}, ids, level.origin(sample), np.rint)
            for sample, of in zip(compared, counts, strict=True)
        },
        wanted=work.samples,
        there=list(place),
        left_out=left_out,
    )
    entry: dict[str, Any] = {
        "name": path.name,
        "level": level.name,
        "num_samples": written.samples,
        "num_columns": written.columns,
        "num_features": written.genes,
        "num_left_out": len(left_out),
        "layers": ["counts"],
        "values_sha256": {"counts": written.sha256},
        "checks": verdicts_of(seen),
    }
    return MadeFile(entry, left_out, list(sizes.values()))


def _records(selection: ExportSelection) -> pl.DataFrame:
    """A row of `meta/samples` for each sample and series."""
    import polars as pl

    from refinebio_assets.publish.archs4_samples import SAMPLE_FIELDS, sample_fields

    rows = [
        sample_fields(
            selection.records[series, sample],
            series,
            selection.quantifications[sample],
            selection.single_cell_probability(sample),
        )
        for sample, experiments in selection.series.items()
        for series in experiments
    ]
    return pl.DataFrame(rows, schema=SAMPLE_FIELDS)


def _info(work: ExportWork) -> dict[str, str]:
    return {
        "version": str(work.version),
        "creation-date": work.created().date().isoformat(),
        "author": f"refinebio_assets {__version__}",
        "organism": work.selection.organism,
        "references": "; ".join(work.selection.references),
    }


def _quantified(path: Path) -> pl.DataFrame:
    """What Salmon's own file has of a sample: feature and counts."""
    import polars as pl

    table = pl.read_csv(path, separator="\t", columns=["Name", "NumReads"], quote_char=None)
    return table.rename({"Name": "feature", "NumReads": "counts"})


def _shared_transcripts(selection: ExportSelection, quant_files: dict[str, Path]) -> pl.Series:
    """Of all indices, each by the first of its samples that can be read."""
    from refinebio_assets.publish.sample_blocks import shared_transcripts

    by_index: dict[str, list[Path]] = {}
    for sample, path in quant_files.items():
        index = selection.quantifications[sample]["index_sha256"]
        by_index.setdefault(index, []).append(path)
    found = map(_first_readable, by_index.values())
    return shared_transcripts(path for path in found if path is not None)


def _first_readable(paths: Iterable[Path]) -> Path | None:
    from refinebio_assets.rnaseq.tximport import read_quant

    for path in paths:
        try:
            read_quant(path)
        except InvalidQuantification:
            continue
        return path
    return None
