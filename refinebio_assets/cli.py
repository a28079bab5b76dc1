"""The `refinebio` command.

Heavy modules, Dagster among them, are imported inside the commands that need them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from refinebio_assets import __version__
from refinebio_assets.cli_compendia import compendia
from refinebio_assets.cli_datasets import datasets
from refinebio_assets.cli_exports import export
from refinebio_assets.cli_project import project
from refinebio_assets.cli_quantify import quantify
from refinebio_assets.cli_receipt import receipt
from refinebio_assets.cli_serve import serve
from refinebio_assets.command import (
    dagster_instance,
    err,
    errors_told,
    out,
    run,
    show,
    shown,
    tell,
)
from refinebio_assets.errors import RefinebioError

if TYPE_CHECKING:
    import dagster as dg

    from refinebio_assets.sources.records import Experiment

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Gene-expression data, processed uniformly, as tables to compute on.",
    pretty_exceptions_enable=False,
)
app.command()(receipt)
app.add_typer(datasets, name="dataset")
app.add_typer(compendia, name="compendium")
app.command()(export)
app.command()(project)
app.command()(quantify)
app.command()(serve)


@app.command()
def doctor() -> None:
    """Say which outside programs are installed, which version, and how to mend what is missing."""
    from refinebio_assets.resources.doctor import examine

    findings = examine()
    table = Table("", "what", "version", "remark")
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else "[red]missing[/]"
        table.add_row(mark, finding.what, finding.version or "–", finding.remark)
    out.print(table)
    missing = sum(not finding.ok for finding in findings)
    if missing:
        err.print(f"{missing} of {len(findings)} must be mended.")
        raise typer.Exit(1)


@app.command()
def survey(
    what: Annotated[
        list[str], typer.Argument(help="Accessions (GSE…, SRP…, E-MTAB-…, …) or sample sheets.")
    ],
) -> None:
    """Find experiments at their source, or in sample sheets, and register them."""
    from refinebio_assets.metadata.accessions import source_of
    from refinebio_assets.partitions import register_experiments
    from refinebio_assets.resources import registry
    from refinebio_assets.resources.http import Http
    from refinebio_assets.resources.storage import Storage

    storage, web = Storage(), Http()
    with errors_told(), dagster_instance() as instance:
        found: list[Experiment] = []
        good = True
        for named in what:
            try:
                if source_of(named):
                    found.append(registry.survey(storage, named, web))
                else:
                    found += registry.register_sample_sheet(storage, named)
            except RefinebioError as error:
                tell(error)
                good = False
        new = register_experiments(instance, found)
        for each in found:
            state = "new" if each.experiment in new else "known"
            skipped = sum(sample.skip_reason is not None for sample in each.samples)
            out.print(
                f"{each.experiment} ({state}): {len(each.samples)} samples"
                + (f" ({skipped} of them won't be processed)" if skipped else "")
                + f", {each.technology}, {', '.join(each.organisms)}"
            )
        names = [each.experiment for each in found]
        good &= not names or run(instance, "survey_experiments", "experiment", names)
        good &= run(instance, "build_warehouse", "catalogue", [])
    if not good:
        raise typer.Exit(1)


@app.command()
def reference(
    catalogues: Annotated[list[str], typer.Argument(help="Reference catalogues (YAML).")],
    rebuild: Annotated[bool, typer.Option(help="Build also what is built already.")] = False,
) -> None:
    """Register organisms and arrays of reference catalogues; build indices, annotate probes."""
    from refinebio_assets.partitions import register_organisms, register_platforms
    from refinebio_assets.resources.annotations import annotation_is_built
    from refinebio_assets.resources.references import is_built
    from refinebio_assets.resources.registry import register_references
    from refinebio_assets.resources.storage import Storage

    storage = Storage()
    with errors_told(), dagster_instance() as instance:
        found = [register_references(storage, name) for name in catalogues]
        organisms = [each for catalogue in found for each in catalogue.organisms]
        platforms = [each for catalogue in found for each in catalogue.platforms]
        register_organisms(instance, [each.organism for each in organisms])
        register_platforms(instance, [each.platform for each in platforms])
        good = True
        for organism in organisms:
            name = f"{organism.organism}: {organism.database} {organism.release}, "
            good &= _build(
                instance,
                "build_references",
                organism.organism,
                name + organism.assembly,
                built=is_built(storage, organism) and not rebuild,
            )
        for platform in platforms:
            good &= _build(
                instance,
                "annotate_platforms",
                platform.platform,
                f"{platform.platform}: probes of release {platform.release}",
                built=annotation_is_built(storage, platform) and not rebuild,
            )
        good &= run(instance, "build_warehouse", "catalogue", [])
    if not good:
        raise typer.Exit(1)


@app.command()
def process(
    experiments: Annotated[list[str], typer.Argument(help="Registered experiments.")],
    parallel_samples: Annotated[int, typer.Option(help="Samples at a time.", min=1)] = 1,
) -> None:
    """Process experiments from raw files to genes, then rebuild the catalogue."""
    with errors_told(), dagster_instance() as instance:
        settings = {"ops": {"experiments": {"config": {"parallel_samples": parallel_samples}}}}
        good = run(instance, "process_experiments", "experiment", experiments, settings)
        good &= run(instance, "build_warehouse", "catalogue", [])
    if not good:
        raise typer.Exit(1)


@app.command()
def retry(
    experiments: Annotated[list[str], typer.Argument(help="Parked experiments.")],
) -> None:
    """Let the dispatcher try parked experiments again."""
    from refinebio_assets.resources.attempts import Attempts
    from refinebio_assets.resources.storage import Storage

    Attempts(Storage()).forget(experiments)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="An SQL query over the catalogue.")],
    rows: Annotated[int, typer.Option(help="Most rows to show.")] = 40,
) -> None:
    """Ask the DuckDB catalogue a question."""
    import duckdb

    from refinebio_assets.resources.storage import Storage
    from refinebio_assets.resources.warehouse import Warehouse

    try:
        with errors_told(), Warehouse().connect(Storage()) as database:
            out.print(str(database.sql(sql).limit(rows)), markup=False, highlight=False)
    except duckdb.Error as error:
        err.print(str(error), markup=False, highlight=False)
        raise typer.Exit(1) from error


@app.command()
def tximport(
    quant_dir: Annotated[Path, typer.Argument(help="Holds <sample>/quant.sf or <sample>_quant.sf")],
    gene_map: Annotated[Path, typer.Option(help="Table or GTF: transcript, gene.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="TSV to write.")],
    counts_from_abundance: Annotated[
        str, typer.Option(help="lengthScaledTPM, scaledTPM or no (estimated counts).")
    ] = "lengthScaledTPM",
    ignore_transcript_version: Annotated[
        bool, typer.Option(help="Match transcripts without their version.")
    ] = False,
) -> None:
    """Bring Salmon's transcript estimates to genes, as R's tximport does."""
    from refinebio_assets.rnaseq.transcriptome import gene_map_from_file
    from refinebio_assets.rnaseq.tximport import Matrix, find_quant_files, gene_level, write_tsv

    with errors_told():
        genes = gene_level(
            find_quant_files(quant_dir),
            gene_map_from_file(gene_map),
            ignore_transcript_version=ignore_transcript_version,
        )
        matrices: dict[str, Callable[[], Matrix]] = {
            "lengthScaledTPM": genes.length_scaled_tpm,
            "scaledTPM": genes.scaled_tpm,
            "no": lambda: genes.counts,
        }
        if counts_from_abundance not in matrices:
            raise typer.BadParameter(f"one of {', '.join(matrices)}")
        write_tsv(output, genes.genes, genes.samples, matrices[counts_from_abundance]())
    err.print(f"{len(genes.genes):,} genes × {len(genes.samples)} samples -> {output}")


@app.command()
def scan(
    cels: Annotated[list[Path], typer.Argument(help="CEL files of one platform, gzip or not.")],
    probes: Annotated[
        list[Path],
        typer.Option(help="Probe tab (or probe package; PGF and CLF); may be given again."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="TSV to write.")],
    genes: Annotated[
        Path | None, typer.Option(help="Columns x, y, gene, or BrainArray's; else probe sets.")
    ] = None,
    thorough: Annotated[
        bool, typer.Option(help="Setting SCAN: a larger sample and more rounds than SCANfast.")
    ] = False,
    upc: Annotated[
        bool, typer.Option(help="Probability of expression in place of values.")
    ] = False,
    threads: Annotated[int, typer.Option(help="Arrays at a time.", min=1)] = 2,
) -> None:
    """Normalise Affymetrix arrays, each by itself, by SCAN; one column per array."""
    from refinebio_assets.microarray.array_model import ArrayModel
    from refinebio_assets.microarray.probe_sources import read_gene_map, read_probes
    from refinebio_assets.microarray.scan import SCAN, SCANFAST
    from refinebio_assets.microarray.scan_files import scan_files, write_columns

    with errors_told():
        model = ArrayModel.prepared(
            read_probes(probes),
            read_gene_map(genes) if genes else None,
            SCAN if thorough else SCANFAST,
        )
        found, problems = scan_files(model, cels, upc=upc, threads=threads)
        for path, error in problems.items():
            err.print(f"{path}: ", end="", markup=False, highlight=False)
            tell(error)
        if found:
            write_columns(output, model.groups.names, found)
            err.print(f"{len(model.groups.names):,} {model.feature}s × {len(found)} -> {output}")
    if problems:
        raise typer.Exit(1)


@app.command()
def cel_info(
    cels: Annotated[list[Path], typer.Argument(help="CEL files, gzip or not.")],
) -> None:
    """Say what CEL files are: format, chip, rows, columns, and what is wrong with them."""
    from refinebio_assets.metadata.platforms import array_of_chip, chip_key
    from refinebio_assets.microarray.cel import read_cel, read_cel_header

    columns = ("file", "format", "chip", "platform", "rows", "columns", "scanned")
    table = shown(*columns, "marked", "problems")
    good = True
    for path in cels:
        told = ["–"] * 6
        marked, problem = "–", "none"
        try:
            header = read_cel_header(path)
            platform = array_of_chip(header.chip_type)
            told = [
                f"{header.format}{', gzip' if header.is_gzip else ''}",
                header.chip_type,
                platform.internal if platform else f"{chip_key(header.chip_type)} (not listed)",
                str(header.rows),
                str(header.columns),
                header.scanned or "–",
            ]
            cel = read_cel(path)
            cells = {"outliers": cel.n_outliers, "masked": cel.n_masked}
            marked = ", ".join(f"{number} {name}" for name, number in cells.items() if number)
        except RefinebioError as error:
            said = error.message.removeprefix(f"{path.name}: ")
            good, problem = False, f"{error.code}: {said}"
        table.add_row(*map(escape, (path.name, *told, marked or "–", problem)))
    show(table)
    if not good:
        raise typer.Exit(1)


@app.command()
def qn_target(
    matrix: Annotated[
        Path | None, typer.Argument(help="TSV of genes × samples: first column ids.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="TSV to write.")] = None,
    organism: Annotated[
        str | None, typer.Option(help="Make the organism's own target, from its arrays.")
    ] = None,
    minimum_samples: Annotated[
        int, typer.Option(help="Arrays that an organism's target needs at least.", min=1)
    ] = 100,
) -> None:
    """Make a quantile-normalisation target: of a matrix, or of an organism's arrays."""
    if (matrix is None) == (organism is None) or (matrix is None) != (output is None):
        raise typer.BadParameter("give a matrix and -o, or --organism")
    with errors_told():
        if organism is not None:
            _make_target(organism, minimum_samples)
        elif matrix is not None and output is not None:
            from refinebio_assets.matrix.user_tables import read_matrix, write_target_of

            genes = write_target_of(read_matrix(matrix), output)
            err.print(f"{genes:,} numbers -> {output}")


def _make_target(organism: str, minimum_samples: int) -> None:
    from refinebio_assets.metadata.organisms import organism_name
    from refinebio_assets.partitions import register_organisms

    settings = {"ops": {"qn_target": {"config": {"minimum_samples": minimum_samples}}}}
    with dagster_instance() as instance:
        good = run(instance, "build_warehouse", "catalogue", [])
        name = organism_name(organism)
        register_organisms(instance, [name])
        good &= run(instance, "build_qn_targets", "target", [name], settings)
        good &= run(instance, "build_warehouse", "catalogue", [])
    if not good:
        raise typer.Exit(1)


@app.command()
def normalise(
    matrix: Annotated[Path, typer.Argument(help="TSV of genes × samples: first column ids.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="TSV to write.")],
    organism: Annotated[str | None, typer.Option(help="Use this organism's target.")] = None,
    target: Annotated[Path | None, typer.Option(help="Use this target: a number a line.")] = None,
) -> None:
    """Quantile-normalise a matrix of your own to a target."""
    from refinebio_assets.matrix.quantile import read_target
    from refinebio_assets.matrix.user_tables import normalised, read_matrix, write_matrix
    from refinebio_assets.metadata.organisms import organism_name
    from refinebio_assets.resources.qn_targets import newest_target
    from refinebio_assets.resources.storage import Storage

    if (organism is None) == (target is None):
        raise typer.BadParameter("give --organism or --target")
    with errors_told():
        if organism is not None:
            found = newest_target(Storage(), organism_name(organism))
            numbers, told = found.numbers(), f"{found.organism}, version {found.version}"
        else:
            numbers, told = read_target(Path(str(target))), str(target)
        table = normalised(read_matrix(matrix), numbers)
        write_matrix(table, output)
    err.print(f"{table.height:,} × {table.width - 1}, to the target {told} -> {output}")


@app.command()
def impute(
    matrix: Annotated[
        Path, typer.Argument(help="TSV or Parquet of genes × samples: first column ids.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write, of its kind.")],
    rank: Annotated[int, typer.Option(help="Rank of the approximation.", min=1)] = 10,
    engine: Annotated[
        Literal["svd", "fancyimpute"],
        typer.Option(help="fancyimpute is the original, to compare with."),
    ] = "svd",
) -> None:
    """Impute the missing values of a matrix; stopped and called again, it goes on."""
    from refinebio_assets.matrix.impute import Progress
    from refinebio_assets.matrix.user_imputation import impute_file

    def told(progress: Progress) -> None:
        said = f"pass {progress.passes}"
        if progress.iterations:
            said += f": iteration {progress.iterations}, rank {progress.rank}"
        if progress.iterations > 1:
            said += f", change {progress.change:.1e}"
        if progress.passes_left is not None:
            said += f", about {progress.passes_left} passes left"
        err.print(said, highlight=False)

    with errors_told():
        done = impute_file(matrix, output, rank=rank, engine=engine, on_pass=told)
    size = f"{done.genes:,} × {done.samples:,}"
    if not done.missing:
        err.print(f"nothing is missing: {size} as it was -> {output}")
        return
    if done.infinite:
        err.print(f"{done.infinite:,} infinite values were taken as missing")
    if not done.converged:
        err.print(f"the values still changed after {done.iterations} iterations")
    share = done.missing / (done.genes * done.samples)
    err.print(f"{size}, {done.missing:,} values imputed ({share:.1%}) -> {output}")


@app.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


def _build(instance: dg.DagsterInstance, job: str, key: str, told: str, *, built: bool) -> bool:
    out.print(f"{told} (built already)" if built else told)
    return built or run(instance, job, "reference", [key])
