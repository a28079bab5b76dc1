"""`refinebio compendium`: make releases of compendia, list them, check that they are whole."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from refinebio_assets.command import dagster_instance, err, errors_told, out, run, show, shown

compendia = typer.Typer(no_args_is_help=True, help="All samples of an organism, put together.")

Organism = Annotated[str, typer.Argument(help="'Homo sapiens' or HOMO_SAPIENS.")]
Name = Annotated[str, typer.Argument(help="HOMO_SAPIENS@3, or HOMO_SAPIENS for the newest.")]
Rnaseq = Annotated[bool, typer.Option("--rnaseq", help="The one of Salmon's quant.sf files.")]


@compendia.command()
def build(
    organism: Organism,
    rnaseq: Rnaseq = False,
    settings: Annotated[
        list[str],
        typer.Option("--set", help="A setting of the asset, as rank=5; may be repeated."),
    ] = [],  # noqa: B006  # Typer copies it
) -> None:
    """Make an organism's next release; without changes, the last one stays the newest."""
    import yaml

    from refinebio_assets.errors import InvalidRequest
    from refinebio_assets.metadata.organisms import organism_name
    from refinebio_assets.partitions import register_organisms
    from refinebio_assets.resources.compendia import release_named
    from refinebio_assets.resources.storage import Storage

    kind: Any = "rnaseq" if rnaseq else "normalized"
    with errors_told(), dagster_instance() as instance:
        name = organism_name(organism)
        config: dict[str, Any] = {}
        for each in settings:
            key, equals, value = each.partition("=")
            if not equals:
                raise InvalidRequest(f"{each!r} is not NAME=VALUE.")
            config[key] = yaml.safe_load(value)
        asset = f"{kind}_compendium"
        register_organisms(instance, [name])
        asked = {"ops": {asset: {"config": config}}} if config else None
        good = run(instance, f"build_{kind}_compendia", asset, [name], asked)
        if not (run(instance, "build_warehouse", "catalogue", []) and good):
            raise typer.Exit(1)
        release = release_named(Storage(), name, kind)
    out.print(str(release.folder), markup=False, highlight=False)


@compendia.command(name="list")
def list_compendia() -> None:
    """List all releases."""
    from refinebio_assets.resources.compendia import FOLDERS, all_releases
    from refinebio_assets.resources.storage import Storage

    table = shown("release", "kind", "samples", "genes", "imputed", "made", "zip")
    for kind in FOLDERS:
        for each in all_releases(Storage(), kind):
            told = each.record
            imputed = told.get("percent_imputed")
            table.add_row(
                each.name,
                kind,
                f"{told['num_samples']:,}",
                f"{told['num_genes']:,}" if told.get("num_genes") else "–",
                "–" if imputed is None else f"{imputed:.1f} %",
                told["recorded_at"][:19],
                told["file"],
            )
    show(table)


@compendia.command()
def verify(name: Name, rnaseq: Rnaseq = False) -> None:
    """Read all files of a release, and compare them with its manifest."""
    from refinebio_assets.resources.compendia import damaged_files, release_named
    from refinebio_assets.resources.storage import Storage

    with errors_told():
        release = release_named(Storage(), name, "rnaseq" if rnaseq else "normalized")
        damaged = damaged_files(release)
        for each in damaged:
            err.print(f"not as the manifest says: {each}", markup=False, highlight=False)
        if damaged:
            raise typer.Exit(1)
        out.print(f"{release.name}: all files are as the manifest says")
