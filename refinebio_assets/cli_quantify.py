"""`refinebio quantify`: a user's own reads to counts in the same space as the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from refinebio_assets.command import err, errors_told, show, shown


def quantify(
    reads: Annotated[
        list[Path],
        typer.Argument(help="FASTQ, gzip or not, mates found by name; or .sra files."),
    ],
    organism: Annotated[str, typer.Option(help="Whose transcriptome: one that is built.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to fill.")],
    level: Annotated[
        Literal["gene", "transcript"], typer.Option(help="What a row of the tables is.")
    ] = "gene",
    ids: Annotated[
        Literal["ensembl", "symbol"],
        typer.Option(help="How genes are called; those of one symbol are added up."),
    ] = "ensembl",
    format: Annotated[Literal["tsv", "parquet"], typer.Option(help="Of the tables.")] = "tsv",
    each_alone: Annotated[
        bool, typer.Option("--each-alone", help="No mates: every file is a sample of its own.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(help="Threads of Salmon; by default all.", min=1)
    ] = None,
) -> None:
    """Quantify reads of your own as the published ones are: index, Salmon, tximport.

    Counts, TPM, effective lengths and length-scaled TPM become a table each, a column for each
    sample. Salmon's folders are kept; stopped and called again, it goes on. A sample that cannot
    be quantified is told and left out.
    """
    if level == "transcript" and ids == "symbol":
        raise typer.BadParameter("a symbol is a gene's: --ids symbol goes with --level gene")
    from refinebio_assets.assets.stage import ExperimentsConfig, Toolbox
    from refinebio_assets.assets.user_reads import quantify_runs
    from refinebio_assets.metadata.organisms import organism_name
    from refinebio_assets.resources.downloads import Downloads
    from refinebio_assets.resources.http import Http
    from refinebio_assets.resources.r import R
    from refinebio_assets.resources.salmon import Salmon
    from refinebio_assets.resources.sra_toolkit import SraToolkit
    from refinebio_assets.resources.storage import Storage
    from refinebio_assets.rnaseq.pairing import runs_of

    toolbox = Toolbox(
        storage=Storage(),
        http=Http(),
        downloads=Downloads(),
        sra_toolkit=SraToolkit(),
        salmon=Salmon() if threads is None else Salmon(threads=threads),
        r=R(),
        config=ExperimentsConfig(),
        log=lambda line: err.print(line, markup=False, highlight=False),
        run_id="refinebio quantify",
    )
    with errors_told():
        done = quantify_runs(
            runs_of([str(path) for path in reads], each_alone=each_alone),
            organism_name(organism),
            output,
            toolbox,
            level=level,
            ids=ids,
            format=format,
        )
        table = shown("sample", "layout", "reads", "index", "mapped")
        for row in done.rows:
            table.add_row(
                row["sample"],
                row["layout"],
                f"{row['reads']:,}",
                f"{row['index_length']}, {row['reference_release']}",
                f"{row['percent_mapped']:.1f} %",
            )
        show(table)
        for words in done.odd:
            err.print(words, markup=False, highlight=False)
        names = ", ".join(path.name for path in done.tables)
        size = f"{done.features:,} {level}s × {len(done.rows)}"
        err.print(f"{size} -> {output}: {names}", markup=False, highlight=False)
    if done.errors:
        err.print(f"{len(done.errors)} left out: samples.tsv says why")
        raise typer.Exit(1)
