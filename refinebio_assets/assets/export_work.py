"""What the files of an export's release have in common: of what, where to, and what is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets.assets.progress import Log, Progress
from refinebio_assets.errors import NothingToDeliver
from refinebio_assets.resources.export_selection import ExportSelection
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from refinebio_assets.matrix.join import LeftOut
    from refinebio_assets.matrix.sample_files import SamplesOfFile

LAYERS = ("counts", "tpm", "length_scaled_tpm", "effective_length")
_VALUES = f"""
SELECT gene, {", ".join(LAYERS)} FROM gene_counts
WHERE organism = ? AND experiment = ? AND sample = ?
"""  # noqa: S608 — of constants


@dataclass(frozen=True)
class MadeFile:
    """A file of a release: its entry in the record, with the checks, and what is not in it.

    `library_sizes` are the sums of the samples' counts.
    """

    entry: dict[str, Any]
    left_out: list[LeftOut]
    library_sizes: list[float]


@dataclass(frozen=True)
class ExportWork:
    """A release that is being made."""

    selection: ExportSelection
    version: int
    database: duckdb.DuckDBPyConnection
    storage: Storage
    folder: Path
    log: Log

    @property
    def samples(self) -> list[str]:
        """The names of all that are wanted."""
        return [each.sample for each in self.selection.samples]

    def files_and_genes(self) -> tuple[list[SamplesOfFile], pl.Series]:
        """The expression files, and the genes that all samples have.

        Raises
        ------
        NothingToDeliver
            There is no such gene.
        """
        from refinebio_assets.publish.sample_blocks import shared_genes

        files = self.selection.files(self.storage)
        genes = shared_genes(files)
        if not len(genes):
            raise NothingToDeliver(
                f"No gene is in all RNA-seq samples of {self.selection.organism}.",
                remedy="Were some measured with another reference, or are the files unreadable? "
                "Process the experiments again.",
            )
        return files, genes

    def path(self, ending: str) -> Path:
        """Of a file: it says of which organism and release it is, wherever it is taken."""
        before, dot, after = ending.partition(".")
        return self.folder / f"{self.selection.organism}{before}_v{self.version}{dot}{after}"

    def progress(self, what: str) -> Callable[[int], None]:
        """Tells of samples written."""
        label = f"{self.selection.organism}: {what} written"
        return Progress(self.log, label, len(self.selection.samples), "samples").update

    def created(self) -> datetime:
        """When the newest of the values were made: the same input, the same file."""
        newest: datetime = max(each.recorded_at for each in self.selection.samples)
        return newest.astimezone(UTC)

    def catalogued(self, sample: str) -> pl.DataFrame:
        """What the catalogue has of a sample: feature (gene), and a column for each layer."""
        import polars as pl

        [experiment] = (e.experiment for e in self.selection.samples if e.sample == sample)
        asked = [self.selection.organism, experiment, sample]
        rows = self.database.execute(_VALUES, asked).fetchall()
        schema = {"feature": pl.String, **dict.fromkeys(LAYERS, pl.Float64)}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def with_symbols(self, genes: pl.Series) -> pl.DataFrame:
        """Columns gene and symbol, in the order of the genes."""
        named = genes.alias("gene").to_frame()
        return named.join(self.selection.symbols, on="gene", how="left", maintain_order="left")
