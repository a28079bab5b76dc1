"""Which platforms or samples cost a dataset how many genes, before it is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from refinebio_assets.resources.dataset_selection import SelectedSample, Selection
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import polars as pl

    from refinebio_assets.matrix.join import GeneLoss


def gene_loss(
    selection: Selection, storage: Storage, *, by_sample: bool
) -> dict[str, list[GeneLoss]]:
    """For each matrix, what each platform (or sample) costs the genes in common."""
    from refinebio_assets.matrix.join import forecast_gene_loss, gene_lists

    found = {}
    for name, samples in selection.groups().items():
        if not samples:
            continue
        group_of = {
            each.sample: each.sample if by_sample else each.platform or each.technology
            for each in samples
        }
        found[name] = forecast_gene_loss(gene_lists(_genes(samples, storage)), group_of)
    return found


def _genes(samples: list[SelectedSample], storage: Storage) -> Iterator[tuple[str, pl.Series]]:
    from refinebio_assets.matrix.sample_files import SamplesOfFile, read_samples

    by_file: dict[str, list[str]] = {}
    for each in samples:
        by_file.setdefault(str(each.path(storage)), []).append(each.sample)
    path_of = {str(each.path(storage)): each.path(storage) for each in samples}
    files = [SamplesOfFile(path_of[path], names) for path, names in by_file.items()]
    for values in read_samples(files):
        yield values.sample, values.genes
