"""RNA-seq samples in blocks, with the same genes or transcripts, as exports are written.

Memory follows from the size of a block. A sample that cannot be read, or that was measured
with an index that lacks one of the genes, is left out and named: an absent value never
becomes a 0. Not here: which samples are wanted, where their files lie, and what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidExpressionTable, InvalidQuantification
from refinebio_assets.matrix.join import LeftOut
from refinebio_assets.matrix.reader import read_block
from refinebio_assets.matrix.sample_files import SamplesOfFile
from refinebio_assets.rnaseq.tximport import read_quant

Values = NDArray[np.floating[Any]]
OnLeftOut = Callable[[LeftOut], None]

MOST_CELLS: Final = 20_000_000
# Layer to column: of the expression files, and of quant.sf.
GENE_LAYERS: Final = {
    "counts": "counts",
    "tpm": "tpm",
    "length_scaled_tpm": "value",
    "effective_length": "effective_length",
}
TRANSCRIPT_LAYERS: Final = {
    "counts": "NumReads",
    "tpm": "TPM",
    "effective_length": "EffectiveLength",
}


@dataclass(frozen=True, eq=False)
class SampleBlock:
    """Some samples, each once; `layers` are (samples, genes), without a missing value.

    Those of genes are float32, as the files have them, those of transcripts float64.
    """

    samples: list[str]
    layers: dict[str, Values]


def shared_genes(files: Iterable[SamplesOfFile]) -> pl.Series:
    """The genes that all of the samples have, ascending; samples without any do not count.

    Of samples measured with several indices or releases, some genes are not in all. A file
    that cannot be read is passed over.
    """
    shared: pl.Series | None = None
    gene, sample = pl.col("gene").cast(pl.String), pl.col("sample").cast(pl.String)
    for file in files:
        rows = pl.scan_parquet(file.path, glob=False).filter(sample.is_in(list(file.samples)))
        try:
            found, per_gene = pl.collect_all(
                [rows.select(sample.n_unique()), rows.group_by(gene).len("samples")]
            )
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
            continue
        if present := found.item():
            of_all = per_gene.filter(pl.col("samples") == present)["gene"].sort()
            if shared is None:
                shared = of_all
            elif not shared.equals(of_all):
                shared = shared.filter(shared.is_in(of_all.to_list()))
    return pl.Series("gene", [], dtype=pl.String) if shared is None else shared


def gene_blocks(
    files: Iterable[SamplesOfFile],
    genes: pl.Series,
    on_left_out: OnLeftOut,
    layers: Sequence[str] = ("counts",),
    most_cells: int = MOST_CELLS,
) -> Iterator[SampleBlock]:
    """The samples of expression files of RNA-seq, in the order of the files.

    Parameters
    ----------
    genes
        What the blocks' columns are, in this order, each once; see `shared_genes`.
    layers
        Of GENE_LAYERS.
    most_cells
        So many values are held at a time, four bytes each, if that is one sample at least;
        twice that while they are put in order.
    """
    at_a_time = max(1, most_cells // max(1, len(genes) * len(layers)))
    for file in files:
        for start in range(0, len(file.samples), at_a_time):
            samples = file.samples[start : start + at_a_time]
            try:
                values = {
                    layer: _genes_of(file.path, samples, genes, GENE_LAYERS[layer])
                    for layer in layers
                }
            except OSError as error:
                reason = f"{file.path.name} cannot be read: {error.strerror or error}"
                _leave_out(samples, reason, on_left_out)
            except InvalidExpressionTable as error:
                _leave_out(samples, error.message, on_left_out)
            else:
                yield from _without_gaps(samples, values, file.path, on_left_out)


def _genes_of(path: Path, samples: Sequence[str], genes: pl.Series, column: str) -> Values:
    """(samples, genes) NaN where a sample has no value."""
    block = read_block(path, samples, column)
    if block.genes.equals(genes):
        return np.ascontiguousarray(block.values.T)
    row_of = pl.DataFrame({"gene": block.genes}).with_row_index("row")
    rows = genes.alias("gene").to_frame().join(row_of, on="gene", how="left", maintain_order="left")
    known = rows["row"].is_not_null().to_numpy()
    values = np.full((len(samples), len(genes)), np.nan, np.float32)
    values[:, known] = block.values.T[:, rows["row"].drop_nulls().to_numpy()]
    return values


def _without_gaps(
    samples: Sequence[str], layers: dict[str, Values], path: Path, on_left_out: OnLeftOut
) -> Iterator[SampleBlock]:
    gaps = sum(np.isnan(values).sum(axis=1, dtype=np.int64) for values in layers.values())
    whole = np.asarray(gaps) == 0
    for sample, number in zip(samples, np.atleast_1d(gaps), strict=True):
        if number:
            on_left_out(LeftOut(sample, f"{path.name} lacks {number} values of it."))
    if whole.any():
        kept = [sample for sample, good in zip(samples, whole, strict=True) if good]
        if not whole.all():
            layers = {layer: values[whole] for layer, values in layers.items()}
        yield SampleBlock(kept, layers)


def shared_transcripts(quant_files: Iterable[Path]) -> pl.Series:
    """The transcripts that all quantifications have, in the order of the first.

    One file of each index is enough: samples quantified with one have the same transcripts.

    Raises
    ------
    InvalidQuantification
        A file cannot be read, or there is none.
    """
    shared: pl.Series | None = None
    for path in quant_files:
        names = read_quant(path)["Name"]
        if shared is None:
            shared = names
        elif not shared.equals(names):
            shared = shared.filter(shared.is_in(names.to_list()))
    if shared is None:
        raise InvalidQuantification("No quant.sf was given.")
    return shared.alias("transcript")


def transcript_blocks(
    quant_files: Mapping[str, Path],
    transcripts: pl.Series,
    on_left_out: OnLeftOut,
    layers: Sequence[str] = ("counts",),
    most_cells: int = MOST_CELLS,
    threads: int = 2,
) -> Iterator[SampleBlock]:
    """Samples quantified by Salmon, in the order given.

    Parameters
    ----------
    quant_files
        Sample to its `quant.sf`, plain or gzip.
    transcripts
        What the blocks' columns are, in this order, each once; see `shared_transcripts`.
    layers
        Of TRANSCRIPT_LAYERS.
    most_cells
        So many values are held at a time, eight bytes each, if that is one sample at least.
    threads
        Files read at the same time; so many transcript tables are in memory.
    """
    at_a_time = max(1, most_cells // max(1, len(transcripts) * len(layers)))
    columns = [TRANSCRIPT_LAYERS[layer] for layer in layers]
    wanted = transcripts.alias("Name").to_frame()

    def read_into(values: Values, sample: str) -> str | None:
        """Put a sample into (layers, transcripts), or say why it cannot be used."""
        try:
            table = read_quant(quant_files[sample])
        except InvalidQuantification as error:
            return error.message
        if not table["Name"].equals(transcripts):
            table = wanted.join(table, on="Name", how="left", maintain_order="left")
        if gaps := table["NumReads"].null_count():
            return f"Its index lacks {gaps} of the transcripts."
        for layer, column in zip(values, columns, strict=True):
            layer[:] = table[column].to_numpy()
        return None

    names = list(quant_files)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for start in range(0, len(names), at_a_time):
            samples = names[start : start + at_a_time]
            values = np.empty((len(layers), len(samples), len(transcripts)))
            reasons = list(pool.map(read_into, values.swapaxes(0, 1), samples))
            for sample, reason in zip(samples, reasons, strict=True):
                if reason is not None:
                    on_left_out(LeftOut(sample, reason))
            good = np.array([reason is None for reason in reasons])
            if good.any():
                values = values if good.all() else values[:, good]
                kept = [sample for sample, usable in zip(samples, good, strict=True) if usable]
                yield SampleBlock(kept, dict(zip(layers, values, strict=True)))


def regrouped(blocks: Iterable[SampleBlock], size: int) -> Iterator[SampleBlock]:
    """The same samples in blocks of `size`, of which the last may be smaller; float32."""
    samples: list[str] = []
    layers: dict[str, Values] = {}
    for block in blocks:
        done = 0
        while done < len(block.samples):
            if not layers:
                layers = {
                    layer: np.empty((size, values.shape[1]), np.float32)
                    for layer, values in block.layers.items()
                }
            taken = min(size - len(samples), len(block.samples) - done)
            for layer, values in block.layers.items():
                part = values[done : done + taken]
                layers[layer][len(samples) : len(samples) + taken] = part
            samples += block.samples[done : done + taken]
            done += taken
            if len(samples) == size:
                yield SampleBlock(samples, layers)
                samples, layers = [], {}
    if samples:
        yield SampleBlock(
            samples, {layer: values[: len(samples)] for layer, values in layers.items()}
        )


def _leave_out(samples: Iterable[str], reason: str, on_left_out: OnLeftOut) -> None:
    for sample in samples:
        on_left_out(LeftOut(sample, reason))
