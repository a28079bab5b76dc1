"""A user's own arrays, reads and matrices brought to the scale of a release.

CEL files go through SCAN, reads through Salmon and tximport, as in the stages of experiments
(`microarray`, `rnaseq`), but with the references of the release. A matrix is taken at its
word. Whatever is wrong with one file is that file's; nothing is written to the installation.
Samples do not depend on each other, but that tximport's length scaling looks at all reads
that are given together and of one index, as it does in an experiment.

Not here: where the samples fall, and the command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from refinebio_assets.assets.cel_files import platform_of_chip, prepared_model
from refinebio_assets.assets.progress import Progress
from refinebio_assets.assets.raw_reads import fetch_and_measure
from refinebio_assets.assets.rnaseq import (
    odd_samples,
    of_one_index,
    quantified,
    read_gene_map,
    to_genes,
)
from refinebio_assets.assets.stage import Toolbox, as_error, for_each_sample
from refinebio_assets.errors import (
    InvalidCounts,
    InvalidExpressionTable,
    InvalidRequest,
    RawFileMissing,
    UnequalMates,
    UnsupportedRawFile,
)
from refinebio_assets.metadata.platforms import RNA_SEQ
from refinebio_assets.resources.references import BuiltIndex
from refinebio_assets.resources.release_references import ReleaseReferences
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from refinebio_assets.compendium.projection import Space
    from refinebio_assets.compendium.projection_files import NotPlaced, OwnSample
    from refinebio_assets.rnaseq.pairing import RunFiles

MatrixValues = Literal["auto", "arrays", "counts"]

MOST_SAMPLES: Final = 500  # at a time: they are held in memory

_CEL = re.compile(r"\.cel(\.gz)?\Z", re.IGNORECASE)
_READS = re.compile(r"\.((fastq|fq)(\.(gz|bgz))?|sra|sralite)\Z", re.IGNORECASE)
_MATRIX = re.compile(r"\.((tsv|txt|tab)(\.gz)?|parquet|pq)\Z", re.IGNORECASE)
_PARQUET = re.compile(r"\.(parquet|pq)\Z", re.IGNORECASE)
_NO_MATES: Final = "If they are samples of their own, and not mates: --each-alone."


@dataclass(frozen=True)
class HowToRead:
    """What the names of files, and the numbers in matrices, mean.

    Attributes
    ----------
    matrix_values
        `counts` of RNA-seq (not logarithms), or values of `arrays` (logarithms, unless any of
        a sample's is above 100). `auto`: counts if any value of the file is above 100.
    each_alone
        Names say nothing of mates.
    """

    matrix_values: MatrixValues = "auto"
    each_alone: bool = False


@dataclass(frozen=True)
class _Work:
    files: tuple[str, ...]
    make: Callable[[], OwnSample]


@dataclass
class _Wanted:
    """The samples to be made, by name, and what is wrong with the others."""

    work: dict[str, _Work] = field(default_factory=dict)
    not_placed: list[NotPlaced] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def add(self, name: str, files: tuple[str, ...], make: Callable[[], OwnSample]) -> None:
        if self.accepts(name, files):
            self.work[name] = _Work(files, make)

    def accepts(self, name: str, files: tuple[str, ...]) -> bool:
        """Whether there may be a sample of that name; if not, why is noted."""
        from refinebio_assets.compendium.projection_files import GENE

        if name in self.names or name in (GENE, ""):
            why = "Two samples are" if name in self.names else "A sample cannot be"
            error = InvalidRequest(f"{why} called {name!r}.", remedy="Rename it.")
        elif len(self.names) >= MOST_SAMPLES:
            remedy = "Place the others by themselves."
            error = InvalidRequest(f"At most {MOST_SAMPLES} are placed at a time.", remedy=remedy)
        else:
            self.names.add(name)
            return True
        self.leave_out(name, files, error)
        return False

    def leave_out(self, name: str, files: tuple[str, ...], fault: Exception) -> None:
        from refinebio_assets.compendium.projection_files import NotPlaced

        self.not_placed.append(NotPlaced(name, files, as_error(fault)))


def read_user_samples(
    paths: Sequence[Path],
    references: ReleaseReferences,
    space: Space,
    toolbox: Toolbox,
    scratch: Path,
    how: HowToRead = HowToRead(),
) -> tuple[list[OwnSample], list[NotPlaced]]:
    """Bring all samples of files, and of what lies in folders, to the scale of a release.

    Parameters
    ----------
    paths
        Files and folders, which are gone through with all that is in them, but for what is
        hidden.
    scratch
        A folder for Salmon's output.
    """
    from refinebio_assets.rnaseq.pairing import runs_of

    wanted = _Wanted()
    reads: list[str] = []
    for path in _files(paths):
        files = (str(path),)
        if not path.is_file():
            missing = RawFileMissing(f"{path} is not there.", remedy="")
            wanted.leave_out(path.name, files, missing)
        elif _CEL.search(path.name):
            make = partial(_of_cel, path, references, space, toolbox)
            wanted.add(_CEL.sub("", path.name), files, make)
        elif _READS.search(path.name):
            reads.append(str(path))
        elif _MATRIX.search(path.name):
            _add_matrix(wanted, path, space, how.matrix_values)
        else:
            unknown = UnsupportedRawFile(
                "By its name it is neither a CEL file, nor reads, nor a matrix.",
                remedy="Name it .CEL, .fastq, .fq or .sra, or .tsv, .txt or .parquet.",
            )
            wanted.leave_out(path.name, files, unknown)
    runs = [
        run
        for run in runs_of(reads, each_alone=how.each_alone)
        if wanted.accepts(run.name, run.files)
    ]
    for each in wanted.not_placed:
        toolbox.log(f"{each.name}: {each.error.code}: {each.error}")
    _add_reads(wanted, runs, references, space, toolbox, scratch)
    overall = Progress(toolbox.log, "Brought to genes", len(wanted.work), "samples")

    def make_one(name: str) -> OwnSample:
        sample = wanted.work[name].make()
        overall.advance()
        return sample

    results = for_each_sample(wanted.work, make_one, toolbox, references.release.name)
    for name, error in results.errors.items():
        wanted.leave_out(name, wanted.work[name].files, error)
    return list(results.values()), wanted.not_placed


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Each once, those of a folder by name; hidden ones only if they are named."""
    seen: set[Path] = set()
    for path in paths:
        found = [path]
        if path.is_dir():
            found = sorted(each for each in path.rglob("*") if not each.is_dir())
            found = [
                each
                for each in found
                if not any(part.startswith(".") for part in each.relative_to(path).parts)
            ]
        for each in found:
            if each not in seen:
                seen.add(each)
                yield each


# --- arrays ---------------------------------------------------------------------------


def _of_cel(path: Path, references: ReleaseReferences, space: Space, toolbox: Toolbox) -> OwnSample:
    import numpy as np
    import polars as pl

    from refinebio_assets.compendium.projection import placed
    from refinebio_assets.compendium.projection_files import OwnSample
    from refinebio_assets.matrix.genes import clean_gene_ids, mean_of_duplicates
    from refinebio_assets.microarray.cel import read_cel

    cel = read_cel(path)
    platform = platform_of_chip(cel.header.chip_type, toolbox)
    chosen = references.annotation(platform)
    found = prepared_model(chosen.what, toolbox.config.scan).expression(cel)
    ids = clean_gene_ids(pl.Series(found.names, dtype=pl.String))
    genes, values = mean_of_duplicates(ids, found.values[:, None].astype(np.float32))
    return OwnSample(
        name=_CEL.sub("", path.name),
        files=(str(path),),
        is_rnaseq=False,
        made_with=f"{platform}, release {chosen.what.release}",
        row=placed(genes, values[:, 0], space, is_rnaseq=False),
        remarks=(chosen.remark,) if chosen.remark else (),
    )


# --- reads ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Quantified:
    """A run after Salmon: its row of `quantifications`, and what is to be said of it."""

    run: RunFiles
    quant: Path
    index: BuiltIndex
    row: dict[str, Any]
    remarks: tuple[str, ...]


def _add_reads(
    wanted: _Wanted,
    runs: Sequence[RunFiles],
    references: ReleaseReferences,
    space: Space,
    toolbox: Toolbox,
    scratch: Path,
) -> None:
    """Quantify runs, and bring those of one index to genes together."""
    import numpy as np
    import polars as pl

    from refinebio_assets.matrix.genes import clean_gene_ids, mean_of_duplicates

    organism = references.release.organism
    numbered = {run.name: (number, run) for number, run in enumerate(runs)}
    overall = Progress(toolbox.log, "Quantified", len(runs), "samples", every=0)

    def quantify(name: str) -> _Quantified:
        number, run = numbered[name]
        done = _quantify(run, references, toolbox, scratch / f"reads-{number}")
        overall.advance()
        return done

    results = for_each_sample(numbered, quantify, toolbox, organism)
    for name, error in results.errors.items():
        wanted.leave_out(name, numbered[name][1].files, error)
    for group in of_one_index(each.row for each in results.values()):
        together = [results[row["sample"]] for row in group]
        gene_map = read_gene_map(organism, together[0].index.release, toolbox)
        made = to_genes({each.run.name: each.quant for each in together}, gene_map, toolbox)
        ids = clean_gene_ids(pl.Series(made.genes, dtype=pl.String))
        scaled = made.length_scaled_tpm().astype(np.float32)
        genes, values = mean_of_duplicates(ids, scaled)
        for each, column in zip(together, values.T, strict=True):
            make = partial(_of_quantified, each, genes, column, space)
            wanted.work[each.run.name] = _Work(each.run.files, make)


def _quantify(
    run: RunFiles, references: ReleaseReferences, toolbox: Toolbox, folder: Path
) -> _Quantified:
    from refinebio_assets.rnaseq.reads import index_length
    from refinebio_assets.sources.records import RawFile, Sample

    organism = references.release.organism
    paths = [Path(file).absolute() for file in run.files]
    sources = tuple(RawFile(path.name, str(path)) for path in paths)
    sample = Sample(run.name, organism, RNA_SEQ, "LOCAL", files=sources)
    try:
        reads = fetch_and_measure(sample, sources, folder / "raw", toolbox)
    except UnequalMates as error:
        raise UnequalMates(error.message, remedy=f"{error.remedy} {_NO_MATES}") from error
    chosen = references.index(index_length(reads.mean_length))
    quant, into = folder / "salmon", Storage(home=str(folder))
    row = quantified(organism, sample, reads, quant, into, toolbox, index=chosen.what)
    odd = [words for found in odd_samples(organism, [row], toolbox).values() for words in found]
    remarks = [chosen.remark] if chosen.remark else []
    remarks += [f"{words.rpartition(': ')[2]}." for words in odd]
    return _Quantified(run, quant / "quant.sf", chosen.what, row, tuple(remarks))


def _of_quantified(
    made: _Quantified, genes: pl.Series, values: NDArray[np.float32], space: Space
) -> OwnSample:
    from refinebio_assets.compendium.projection import placed
    from refinebio_assets.compendium.projection_files import OwnSample

    return OwnSample(
        name=made.run.name,
        files=made.run.files,
        is_rnaseq=True,
        made_with=f"{made.index.length} index, release {made.index.release}",
        row=placed(genes, values, space, is_rnaseq=True),
        remarks=made.remarks,
    )


# --- matrices -------------------------------------------------------------------------


def _add_matrix(wanted: _Wanted, path: Path, space: Space, kind: MatrixValues) -> None:
    """The samples of a matrix; what is wrong with all of it is told once."""
    import numpy as np

    from refinebio_assets.matrix.log_scale import LARGEST_LOG

    try:
        genes, names, values = _read_matrix(path)
    except Exception as fault:  # noqa: BLE001  # the file's, or ours: not the others'
        wanted.leave_out(path.name, (str(path),), fault)
        return
    if kind == "auto":
        above = np.nanmax(values, initial=-np.inf) > LARGEST_LOG
        is_rnaseq, how = bool(above), "taken for counts" if above else "taken for logarithms"
    else:
        is_rnaseq, how = kind == "counts", f"given as {kind}"
    for column, name in enumerate(names):
        make = partial(_of_column, name, path, genes, values[:, column], is_rnaseq, how, space)
        wanted.add(name, (str(path),), make)


def _read_matrix(path: Path) -> tuple[pl.Series, list[str], NDArray[np.float32]]:
    """Cleaned genes, names of samples, and values, (genes, samples)."""
    import numpy as np
    import polars as pl

    from refinebio_assets.matrix.genes import clean_gene_ids, mean_of_duplicates
    from refinebio_assets.matrix.user_tables import read_matrix

    if _PARQUET.search(path.name):
        try:
            if len(pl.read_parquet_schema(path)) > MOST_SAMPLES + 1:
                raise _too_wide(path)
            table = pl.read_parquet(path, glob=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            reason = str(error).partition("\n")[0]
            raise InvalidExpressionTable(f"{path.name} is no matrix: {reason}.") from None
    else:
        table = read_matrix(path)
    if table.width > MOST_SAMPLES + 1:
        raise _too_wide(path)
    if table.width < 2 or table.is_empty():
        raise InvalidExpressionTable(f"{path.name} has no row, or no sample.")
    ids, *columns = table.get_columns()
    values = np.empty((table.height, len(columns)), np.float32, order="F")
    for number, column in enumerate(columns):
        if not column.dtype.is_numeric():
            raise InvalidExpressionTable(
                f"{path.name}, column {column.name[:80]!r}: it does not hold numbers."
            )
        values[:, number] = column.cast(pl.Float32).fill_null(np.nan).to_numpy()
    genes, means = mean_of_duplicates(clean_gene_ids(ids.cast(pl.String)), values)
    return genes, [column.name.strip() for column in columns], means


def _too_wide(path: Path) -> InvalidExpressionTable:
    return InvalidExpressionTable(
        f"{path.name} has more than {MOST_SAMPLES} samples.",
        remedy="Split it: its samples do not depend on each other.",
    )


def _of_column(
    name: str,
    path: Path,
    genes: pl.Series,
    values: NDArray[np.float32],
    is_rnaseq: bool,
    how: str,
    space: Space,
) -> OwnSample:
    from refinebio_assets.compendium.projection import placed
    from refinebio_assets.compendium.projection_files import OwnSample

    if is_rnaseq and (values < 0).any():
        raise InvalidCounts(
            f"It has values below 0, and is {how}: no counts are.",
            remedy="With --matrix-values arrays its values are logarithms.",
        )
    return OwnSample(
        name=name,
        files=(str(path),),
        is_rnaseq=is_rnaseq,
        made_with=f"matrix, {how}",
        row=placed(genes, values, space, is_rnaseq=is_rnaseq),
    )
