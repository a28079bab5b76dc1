"""The catalogue and its values in Python: what notebooks need, in the words of the tables.

    import refinebio_assets.query as rb

    rb.search("medulloblastoma", organism="HOMO_SAPIENS")
    rb.expression(experiment="SRP111553", column="tpm", as_="anndata")

Every function takes `home`, the folder that holds everything; by default $REFINEBIO_HOME, else
`refinebio_home` here. The catalogue is opened anew each time, so that what is built meanwhile
is seen. Tables come as Polars data frames; values are genes × samples. What would not fit into
memory is refused with its size, unless `allow_large` is said.

Raised, wherever it applies: NoCatalogue where nothing is built yet, InvalidRequest where what
is asked for is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import duckdb
import numpy as np
import polars as pl
from rich.progress import track

from refinebio_assets.command import dagster_instance
from refinebio_assets.errors import InvalidRequest, RefinebioError
from refinebio_assets.matrix.count_scaling import METHODS, Method, scale_counts
from refinebio_assets.matrix.quantile import apply_target
from refinebio_assets.matrix.reader import read_block
from refinebio_assets.metadata.organisms import organism_name
from refinebio_assets.publish.recipe import read_recipe
from refinebio_assets.resources.qn_targets import newest_target
from refinebio_assets.resources.receipts import Receipt, receipt_of
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse

if TYPE_CHECKING:
    from refinebio_assets.compendium.reader import ReleaseMatrix

Home = str | Path | None
Texts = str | Sequence[str]
Form = Literal["polars", "pandas", "anndata"]

COLUMNS: Final = ("value", "counts", "effective_length", "tpm", "length_scaled_tpm")
MOST_CELLS: Final = 100_000_000  # of values: 0.4 GB as float32, some times that while it is made
GENES_EXPECTED: Final = 60_000  # of a sample, before it is read

__all__ = [
    "compendium",
    "dataset",
    "experiments",
    "expression",
    "facets",
    "gene",
    "normalise",
    "random",
    "receipt",
    "samples",
    "search",
    "sql",
]


# --- tables ---------------------------------------------------------------------------


def sql(question: str, *values: Any, home: Home = None) -> pl.DataFrame:
    """The answer to a question in SQL; `?` stands for the values."""
    with _catalogue(home) as database:
        return _answer(database, question, list(values))


def search(
    text: str = "",
    *,
    organism: str | None = None,
    technology: str | None = None,
    platform: str | None = None,
    home: Home = None,
) -> pl.DataFrame:
    """Samples whose records have all the words, best first; without words, all.

    `neuro*` means words that begin so, `"group 3"` words that stand together.
    """
    return _searched("search_samples", text, organism, technology, platform, home)


def experiments(
    text: str = "",
    *,
    organism: str | None = None,
    technology: str | None = None,
    platform: str | None = None,
    home: Home = None,
) -> pl.DataFrame:
    """Experiments that have all the words, themselves or in their samples; see `search`."""
    return _searched("search_experiments", text, organism, technology, platform, home)


def facets(
    text: str = "",
    *,
    organism: str | None = None,
    technology: str | None = None,
    platform: str | None = None,
    home: Home = None,
) -> pl.DataFrame:
    """What a search finds, counted: facet, value, and how many samples and experiments."""
    return _searched("facets", text, organism, technology, platform, home)


def samples(
    *, experiment: Texts | None = None, sample: Texts | None = None, home: Home = None
) -> pl.DataFrame:
    """Rows of the table `samples` with what became of each: of experiments, or by name."""
    question = (
        "SELECT s.*, w.status, w.reason FROM samples AS s "
        "LEFT JOIN sample_status AS w USING (experiment, sample) "
        "WHERE ($experiments IS NULL OR s.experiment IN (SELECT unnest($experiments))) "
        "AND ($samples IS NULL OR s.sample IN (SELECT unnest($samples))) "
        "ORDER BY s.experiment, s.sample"
    )
    with _catalogue(home) as database:
        return _answer(
            database, question, {"experiments": _listed(experiment), "samples": _listed(sample)}
        )


def random(
    count: int,
    *,
    organism: str,
    technology: str | None = None,
    seed: int = 0,
    home: Home = None,
) -> pl.DataFrame:
    """So many processed samples of an organism, drawn at random; the same for the same seed."""
    question = (
        "SELECT experiment, sample, technology, platform FROM samples "
        "JOIN sample_status USING (experiment, sample) "
        "WHERE organism = $organism AND status = 'processed' "
        "AND ($technology IS NULL OR technology = $technology) "
        "ORDER BY hash(experiment, sample, $seed), experiment, sample LIMIT $count"
    )
    asked = {
        "organism": organism_name(organism),
        "technology": technology,
        "seed": seed,
        "count": count,
    }
    with _catalogue(home) as database:
        return _answer(database, question, asked)


# --- values ---------------------------------------------------------------------------


def gene(name: str, *, organism: str, home: Home = None) -> pl.DataFrame:
    """A gene, by its id or symbol, in all samples of an organism: a row for each."""
    question = "SELECT * FROM gene_profile(?, ?)"
    return sql(question, organism_name(organism), name, home=home)


def expression(
    *,
    experiment: Texts | None = None,
    sample: Texts | None = None,
    column: str = "value",
    as_: Form = "polars",
    allow_large: bool = False,
    progress: bool = True,
    home: Home = None,
) -> Any:
    """Values of samples, genes × samples.

    Parameters
    ----------
    experiment, sample
        Whose values: all processed samples of experiments, or those named, or of those named
        the ones of the experiments. A sample of two experiments has the values of the first.
    column
        `value`, or of RNA-seq `counts`, `effective_length`, `tpm`, `length_scaled_tpm`.
    as_
        `polars`: a column `gene` and one for each sample. `pandas`: genes as the index.
        `anndata`: samples × genes, with what is known of both.

    A gene that a sample does not have is missing there.
    """
    if column not in COLUMNS:
        raise InvalidRequest(f"{column!r} is not one of {', '.join(COLUMNS)}.")
    if as_ not in get_args(Form):
        raise InvalidRequest(f"{as_!r} is not one of {', '.join(get_args(Form))}.")
    if experiment is None and sample is None:
        raise InvalidRequest("Name experiments or samples.")
    storage = _storage(home)
    chosen = _processed(experiment, sample, home)
    _refuse_large(len(chosen), allow_large)
    blocks = []
    groups = chosen.group_by("organism", "technology", "experiment", maintain_order=True)
    for (organism, technology, of), rows in track(
        list(groups), description="read", disable=not progress, transient=True
    ):
        path = storage.expression_file(str(organism), str(technology), str(of))
        found = read_block(path, rows["sample"].to_list(), column)
        columns = [
            pl.Series(name, values, nan_to_null=True)
            for name, values in zip(rows["sample"], found.values.T, strict=True)
        ]
        blocks.append(pl.DataFrame([found.genes.alias("gene"), *columns]))
    names = chosen["sample"].to_list()
    table = _joined(blocks).select("gene", *names)
    if as_ == "polars":
        return table
    values = table.drop("gene").to_numpy()
    if as_ == "pandas":
        import pandas as pd  # type: ignore[import-untyped]

        return pd.DataFrame(
            values, index=pd.Index(table["gene"].to_list(), name="gene"), columns=names
        )
    return _annotated(table["gene"], names, values, home)


def normalise(
    values: Any,
    method: Method | Literal["target"] = "quantile",
    *,
    organism: str | None = None,
    home: Home = None,
) -> Any:
    """A matrix of genes × samples, normalised; in the form in which it came.

    Parameters
    ----------
    values
        What `expression` gives as `polars` or `pandas`, or an array. Counts, but for `target`.
    method
        `quantile`, `log_quantile`, `cpm` or `tmm` as ARCHS4 has them (see
        `matrix.count_scaling`), or `target`: every sample is brought to the organism's
        quantile-normalisation target.
    """
    if method != "target" and method not in METHODS:
        raise InvalidRequest(f"{method!r} is not one of target, {', '.join(METHODS)}.")
    if method == "target" and organism is None:
        raise InvalidRequest("Whose target? Name an organism.")
    frame = isinstance(values, pl.DataFrame)
    numbers = np.asarray(values.drop("gene").to_numpy() if frame else values, np.float64)
    if method == "target":
        target = newest_target(_storage(home), organism_name(str(organism))).numbers()
        done = apply_target(numbers, target)
    else:
        done = scale_counts(numbers, method, dtype=np.float64)
    if frame:
        columns = [
            pl.Series(name, column, nan_to_null=True)
            for name, column in zip(values.columns[1:], done.T, strict=True)
        ]
        return pl.DataFrame([values["gene"], *columns])
    if hasattr(values, "index"):
        return values.__class__(done, index=values.index, columns=values.columns)
    return done


def compendium(name: str, *, home: Home = None) -> ReleaseMatrix:
    """The matrix of a release, 'HOMO_SAPIENS@3', or of the newest, 'HOMO_SAPIENS'.

    Read from it by `read_samples` and `read_genes`; to be closed, or used as a context.
    """
    from refinebio_assets.compendium.reader import open_release_matrix
    from refinebio_assets.resources.compendia import release_named

    return open_release_matrix(release_named(_storage(home), name).folder)


def dataset(samples: dict[str, Any], *, home: Home = None, **options: Any) -> Path:
    """Make a dataset, as `refinebio dataset create` does; the path of its zip.

    Parameters
    ----------
    samples
        Experiment -> list of samples, or "ALL".
    options
        As a recipe has them: aggregate_by, scale_by, quantile_normalize, formats, ….
    """
    from refinebio_assets.partitions import register_datasets
    from refinebio_assets.resources.dataset_selection import select_today
    from refinebio_assets.resources.datasets import record_of, register_request, zip_path
    from refinebio_assets.running import run_job

    storage = _storage(home)
    listed = {name: [each] if isinstance(each, str) else each for name, each in samples.items()}
    made = register_request(
        storage, select_today(read_recipe({"samples": listed, **options}), storage)
    )
    record = record_of(storage, made)
    if not zip_path(storage, made).exists() or record is None or record["status"] != "made":
        settings = {"resources": {"storage": {"config": {"home": str(storage.root)}}}}
        with dagster_instance() as instance:
            register_datasets(instance, [made])
            errors = [
                error
                for batch in run_job(instance, "make_datasets", [made], settings)
                for error in batch.errors
            ]
        if errors:
            raise RefinebioError(errors[0])
    return zip_path(storage, made)


def receipt(gene: str, sample: str, *, home: Home = None) -> list[Receipt]:
    """Where a value comes from, from raw file to run; see `resources.receipts`."""
    with _catalogue(home) as database:
        return receipt_of(database, _storage(home), gene, sample)


# --- how ------------------------------------------------------------------------------


def _storage(home: Home) -> Storage:
    return Storage(home=None if home is None else str(home))


@contextmanager
def _catalogue(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    with Warehouse().connect(_storage(home)) as database:
        yield database


def _answer(
    database: duckdb.DuckDBPyConnection, question: str, values: list[Any] | dict[str, Any]
) -> pl.DataFrame:
    try:
        return pl.DataFrame(database.sql(question, params=values))
    except duckdb.Error as error:
        raise InvalidRequest(str(error).partition("\n")[0], remedy="") from error


def _searched(
    macro: str,
    text: str,
    organism: str | None,
    technology: str | None,
    platform: str | None,
    home: Home,
) -> pl.DataFrame:
    named = organism_name(organism) if organism else None
    question = f"SELECT * FROM {macro}(?, organism := ?, technology := ?, platform := ?)"  # noqa: S608
    return sql(question, text, named, technology, platform, home=home)


def _listed(names: Texts | None) -> list[str] | None:
    return [names] if isinstance(names, str) else None if names is None else list(names)


def _processed(experiment: Texts | None, sample: Texts | None, home: Home) -> pl.DataFrame:
    """The samples that are meant and have values, in the order in which they were named."""
    question = (
        "SELECT s.experiment, s.sample, coalesce(q.organism, a.organism) AS organism, "
        "CASE WHEN q.sample IS NULL THEN 'MICROARRAY' ELSE 'RNA-SEQ' END AS technology "
        "FROM samples AS s JOIN sample_status AS w USING (experiment, sample) "
        "LEFT JOIN quantifications AS q USING (experiment, sample) "
        "LEFT JOIN arrays AS a USING (experiment, sample) "
        "WHERE w.status = 'processed' AND coalesce(q.sample, a.sample) IS NOT NULL "
        "AND ($experiments IS NULL OR s.experiment IN (SELECT unnest($experiments))) "
        "AND ($samples IS NULL OR s.sample IN (SELECT unnest($samples))) "
        "QUALIFY row_number() OVER (PARTITION BY s.sample ORDER BY "
        "coalesce(list_position($experiments, s.experiment), 0), s.experiment) = 1 "
        "ORDER BY coalesce(list_position($samples, s.sample), 0), "
        "coalesce(list_position($experiments, s.experiment), 0), s.experiment, s.sample"
    )
    asked = {"experiments": _listed(experiment), "samples": _listed(sample)}
    with _catalogue(home) as database:
        found = _answer(database, question, asked)
    for what, names in (("experiment", asked["experiments"]), ("sample", asked["samples"])):
        missing = sorted(set(names or []) - set(found[what]))
        if missing:
            raise InvalidRequest(
                f"There are no values of {what} {', '.join(missing[:5])}"
                f"{' …' if len(missing) > 5 else ''}.",
                remedy="See `samples` for what became of it.",
            )
    return found


def _refuse_large(samples: int, allow_large: bool) -> None:
    cells = samples * GENES_EXPECTED
    if cells > MOST_CELLS and not allow_large:
        raise InvalidRequest(
            f"{samples:,} samples may have {cells:,} values, {4 * cells / 1e9:.1f} GB.",
            remedy="Say allow_large=True, ask for fewer, or use a compendium.",
        )


def _joined(blocks: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """All genes that any block has, in order."""
    first, *others = blocks
    for each in others:
        if each["gene"].equals(first["gene"]):
            first = first.hstack(each.drop("gene"))
        else:
            first = first.join(each, on="gene", how="full", coalesce=True)
    return first.sort("gene")


def _annotated(genes: pl.Series, names: list[str], values: Any, home: Home) -> Any:
    import anndata

    from refinebio_assets.publish.matrix_files import annotation

    told = samples(sample=names, home=home).unique("sample", keep="first", maintain_order=True)
    known = pl.DataFrame({"sample": names}).join(told, on="sample", maintain_order="left")
    symbols = sql("SELECT gene, any_value(symbol) AS symbol FROM genes GROUP BY gene", home=home)
    var = pl.DataFrame({"gene": genes}).join(symbols, on="gene", how="left", maintain_order="left")
    return anndata.AnnData(
        np.ascontiguousarray(values.T, np.float32),
        obs=annotation(names, known.drop("sample")),
        var=annotation(genes.to_list(), var.drop("gene")),
    )
