"""`refinebio dataset`: ask for a dataset, foresee what it costs, make it, make it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refinebio_assets.command import dagster_instance, err, errors_told, out, run, show, shown
from refinebio_assets.errors import InvalidRequest

if TYPE_CHECKING:
    from refinebio_assets.publish.recipe import Recipe

datasets = typer.Typer(no_args_is_help=True, help="Any samples as one comparable matrix, one zip.")

Experiments = Annotated[
    list[str], typer.Option("--experiment", help="All processed samples of it; may be repeated.")
]
Samples = Annotated[list[str], typer.Option("--sample", help="EXPERIMENT:SAMPLE; may be repeated.")]
RecipeFile = Annotated[
    Path | None, typer.Option("--recipe", help="YAML or JSON with the recipe instead.")
]
AggregateBy = Annotated[
    str, typer.Option(help="EXPERIMENT, SPECIES or ALL: what makes one matrix.")
]
ScaleBy = Annotated[str, typer.Option(help="NONE, STANDARD (z-score), MINMAX (0–1) or ROBUST.")]
QuantileNormalize = Annotated[
    bool, typer.Option(help="Bring every sample to its organism's target.")
]
QuantSfOnly = Annotated[bool, typer.Option("--quant-sf-only", help="Salmon's files alone.")]
Formats = Annotated[
    list[str], typer.Option("--format", help="parquet or h5ad beside TSV; may be repeated.")
]


@datasets.command()
def create(
    experiment: Experiments = [],  # noqa: B006  # Typer copies it
    sample: Samples = [],  # noqa: B006
    recipe: RecipeFile = None,
    aggregate_by: AggregateBy = "EXPERIMENT",
    scale_by: ScaleBy = "NONE",
    quantile_normalize: QuantileNormalize = True,
    quant_sf_only: QuantSfOnly = False,
    format: Formats = [],  # noqa: B006
    queue: Annotated[
        bool, typer.Option("--queue", help="Only ask for it: the sensor starts the run.")
    ] = False,
) -> None:
    """Make a dataset; print its path."""
    from refinebio_assets.partitions import register_datasets
    from refinebio_assets.resources.dataset_selection import select_today
    from refinebio_assets.resources.datasets import record_of, register_request, zip_path
    from refinebio_assets.resources.storage import Storage

    storage = Storage()
    with errors_told():
        asked = _recipe(
            experiment,
            sample,
            recipe,
            aggregate_by=aggregate_by,
            scale_by=scale_by,
            quantile_normalize=quantile_normalize,
            quant_sf_only=quant_sf_only,
            formats=format,
        )
        selection = select_today(asked, storage)
        dataset = register_request(storage, selection)
        err.print(f"dataset {dataset}: {len(selection.samples):,} samples")
        if selection.missing:
            err.print(f"{len(selection.missing):,} of those asked for have no values")
        record = record_of(storage, dataset)
        there = zip_path(storage, dataset).exists()
        if there and record is not None and record["status"] == "made":
            err.print("made before, of the same data")
        elif not queue:
            with dagster_instance() as instance:
                register_datasets(instance, [dataset])
                good = run(instance, "make_datasets", "dataset", [dataset])
                if not (run(instance, "build_warehouse", "catalogue", []) and good):
                    raise typer.Exit(1)
    out.print(dataset if queue else str(zip_path(storage, dataset)), markup=False, highlight=False)


@datasets.command()
def forecast(
    experiment: Experiments = [],  # noqa: B006
    sample: Samples = [],  # noqa: B006
    recipe: RecipeFile = None,
    aggregate_by: AggregateBy = "EXPERIMENT",
    by_sample: Annotated[
        bool, typer.Option("--by-sample", help="Tell it of samples instead of platforms.")
    ] = False,
) -> None:
    """Say, before anything runs, which platforms cost how many genes."""
    from refinebio_assets.resources.dataset_forecast import gene_loss
    from refinebio_assets.resources.dataset_selection import select_today
    from refinebio_assets.resources.storage import Storage

    storage = Storage()
    with errors_told():
        asked = _recipe(
            experiment, sample, recipe, aggregate_by=aggregate_by, quantile_normalize=False
        )
        found = gene_loss(select_today(asked, storage), storage, by_sample=by_sample)
        what = "sample" if by_sample else "platform"
        table = shown("matrix", what, "samples", "its genes", "genes it costs", "genes kept")
        for name, losses in found.items():
            for each in losses:
                table.add_row(
                    name,
                    each.group,
                    f"{each.samples:,}",
                    f"{each.genes:,}",
                    f"{each.lost:,}",
                    f"{each.kept:,}",
                )
        show(table)


@datasets.command()
def replay(
    dataset: Annotated[str, typer.Argument(help="Id of a dataset that was made.")],
) -> None:
    """Make a dataset again, aside: say that it is identical, or what has changed."""
    from refinebio_assets.assets.dataset_files import make_dataset
    from refinebio_assets.resources.dataset_selection import changes, select
    from refinebio_assets.resources.datasets import record_of, request_of
    from refinebio_assets.resources.storage import Storage
    from refinebio_assets.resources.warehouse import Warehouse

    storage = Storage()
    with errors_told():
        asked = request_of(storage, dataset)
        record = record_of(storage, dataset)
        if record is None or record["status"] != "made":
            raise InvalidRequest(f"{dataset} has not been made.", remedy="Create it first.")
        with Warehouse().connect(storage) as database, storage.staging() as scratch:
            selection = select(asked.recipe, database, storage)
            changed = changes(asked.versions, selection.versions())
            if changed:
                out.print("\n  ".join([f"changed: {len(changed)}", *changed]), markup=False)
                raise typer.Exit(1)
            made = make_dataset(dataset, selection, database, storage, scratch, err.print)
        if made.record["sha256"] != record["sha256"]:
            out.print("the data are the same, the zip is not")
            raise typer.Exit(1)
    out.print("identical")


@datasets.command(name="list")
def list_datasets() -> None:
    """List the datasets that were asked for, and what became of them."""
    from refinebio_assets.resources.datasets import dataset_row, requested_datasets
    from refinebio_assets.resources.storage import Storage

    storage = Storage()
    table = shown("dataset", "status", "samples", "filtered", "asked for", "reason")
    for name in requested_datasets(storage):
        row = dataset_row(storage, name)
        counts = (str(row.get(each, "–")) for each in ("num_samples", "num_filtered"))
        table.add_row(
            name, row["status"], *counts, row["requested_at"][:19], row.get("reason") or ""
        )
    show(table)


def _recipe(
    experiments: list[str], samples: list[str], recipe: Path | None, **options: Any
) -> Recipe:
    from refinebio_assets.publish.recipe import ALL_SAMPLES, read_recipe, read_recipe_file

    if recipe is not None:
        if experiments or samples:
            raise InvalidRequest("Give a recipe, or experiments and samples.")
        return read_recipe_file(recipe)
    wanted: dict[str, list[str]] = {each: [ALL_SAMPLES] for each in experiments}
    for each in samples:
        experiment, colon, name = each.partition(":")
        if not colon:
            raise InvalidRequest(f"{each!r} is not EXPERIMENT:SAMPLE.")
        if experiment in experiments:
            raise InvalidRequest(f"All samples of {experiment} are asked for already.")
        wanted.setdefault(experiment, []).append(name)
    return read_recipe({"samples": wanted, **options})
