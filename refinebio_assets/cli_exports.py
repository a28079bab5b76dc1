"""`refinebio export`: an organism's RNA-seq samples as files for other programs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from refinebio_assets.command import dagster_instance, err, errors_told, out, run


def export(
    organism: Annotated[
        str,
        typer.Argument(help="'Homo sapiens' or HOMO_SAPIENS; with --verify also HOMO_SAPIENS@3."),
    ],
    kind: Annotated[
        Literal["archs4", "anndata", "zarr"],
        typer.Option(help="HDF5 for archs4py; AnnData in one file (h5ad); AnnData as Zarr."),
    ] = "archs4",
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare a release with its manifest instead.")
    ] = False,
) -> None:
    """Make an organism's next export and print its files; without changes, it is the last one."""
    from refinebio_assets.resources.compendia import damaged_files, release_named
    from refinebio_assets.resources.storage import Storage

    storage = Storage()
    with errors_told():
        if not verify:
            _make(organism, kind)
        release = release_named(storage, organism, kind)
        damaged = damaged_files(release) if verify else []
        for each in damaged:
            err.print(f"not as the manifest says: {each}", markup=False, highlight=False)
        if damaged:
            raise typer.Exit(1)
    if verify:
        out.print(f"{release.name}: all files are as the manifest says")
        return
    for file in release.record["files"]:
        out.print(str(release.folder / file["name"]), markup=False, highlight=False)


def _make(organism: str, kind: str) -> None:
    from refinebio_assets.metadata.organisms import organism_name
    from refinebio_assets.partitions import register_organisms

    name = organism_name(organism)
    asset = "archs4_h5" if kind == "archs4" else "anndata"
    settings: dict[str, Any] | None = None
    if asset == "anndata":
        formats = ["h5ad" if kind == "anndata" else "zarr"]
        settings = {"ops": {asset: {"config": {"formats": formats}}}}
    with dagster_instance() as instance:
        good = run(instance, "build_warehouse", "catalogue", [])
        register_organisms(instance, [name])
        good &= run(instance, "build_exports", "export", [name], settings, assets=[asset])
        good &= run(instance, "build_warehouse", "catalogue", [])
    if not good:
        raise typer.Exit(1)
