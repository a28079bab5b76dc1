"""`refinebio project`: where samples of one's own fall among those of a compendium."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from refinebio_assets.command import err, errors_told, show, shown


def project(
    samples: Annotated[
        list[Path],
        typer.Argument(
            help="Files and folders of CEL files, reads (mates found by name), and matrices of "
            "genes × samples (TSV or Parquet)."
        ),
    ],
    compendium: Annotated[
        str, typer.Option(help="HOMO_SAPIENS@3, or HOMO_SAPIENS for the newest release.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to make.")],
    any_reference: Annotated[
        bool,
        typer.Option(
            "--any-reference", help="Take what is installed where the release's own is not there."
        ),
    ] = False,
    matrix_values: Annotated[
        Literal["auto", "arrays", "counts"],
        typer.Option(help="Of matrices; auto: counts if any value of the file is above 100."),
    ] = "auto",
    each_alone: Annotated[
        bool, typer.Option("--each-alone", help="No mates: every file is a sample of its own.")
    ] = False,
    thorough: Annotated[
        bool, typer.Option(help="SCAN in place of SCANfast, if the release's arrays are so made.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(help="Threads of Salmon; by default all.", min=1)
    ] = None,
) -> None:
    """Place samples of your own in a release of a compendium: who is near, what is imputed.

    Files are processed with the very references of the release, and brought to its target.
    What cannot be placed is told with its reason, and the exit code is 1.
    """
    from refinebio_assets.assets.stage import ExperimentsConfig, Toolbox
    from refinebio_assets.assets.user_projection import project_files
    from refinebio_assets.assets.user_samples import HowToRead
    from refinebio_assets.compendium.projection_files import rows_of
    from refinebio_assets.resources.compendia import release_named
    from refinebio_assets.resources.downloads import Downloads
    from refinebio_assets.resources.http import Http
    from refinebio_assets.resources.r import R
    from refinebio_assets.resources.release_references import ReleaseReferences
    from refinebio_assets.resources.salmon import Salmon
    from refinebio_assets.resources.sra_toolkit import SraToolkit
    from refinebio_assets.resources.storage import Storage

    toolbox = Toolbox(
        storage=Storage(),
        http=Http(),
        downloads=Downloads(),
        sra_toolkit=SraToolkit(),
        salmon=Salmon() if threads is None else Salmon(threads=threads),
        r=R(),
        config=ExperimentsConfig(scan="scan" if thorough else "scanfast"),
        log=lambda line: err.print(line, markup=False, highlight=False),
        run_id="refinebio project",
    )
    with errors_told():
        references = ReleaseReferences(
            release_named(toolbox.storage, compendium), toolbox.storage, any_reference
        )
        how = HowToRead(matrix_values, each_alone)
        done = project_files(samples, references, output, toolbox, how)
        if done.found is not None:
            table = shown("sample", "made with", "imputed", "nearest", "correlation", "percentile")
            for row in rows_of(done.samples, done.found):
                table.add_row(
                    escape(row["sample"]),
                    escape(row["made_with"]),
                    f"{row['percent_imputed']:.1f} %",
                    escape(row["nearest"] or "–"),
                    "–" if row["correlation"] is None else f"{row['correlation']:.3f}",
                    "–"
                    if row["distance_percentile"] is None
                    else f"{row['distance_percentile']:.0f}",
                )
            show(table)
    told = f"{len(done.samples)} placed, {len(done.not_placed)} not -> {output}"
    err.print(told, markup=False, highlight=False)
    if done.not_placed or not done.samples:
        raise typer.Exit(1)
