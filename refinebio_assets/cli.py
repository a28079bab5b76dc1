"""The `refinebio` command.

Heavy modules, Dagster among them, are imported inside the commands that need them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from refinebio_assets import __version__
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
out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


@contextmanager
def errors_told() -> Iterator[None]:
    """End with exit code 1 and the error's own words instead of a traceback."""
    try:
        yield
    except RefinebioError as error:
        _tell(error)
        raise typer.Exit(1) from error
    except OSError as error:
        err.print(str(error), markup=False, highlight=False)
        raise typer.Exit(1) from error


def _tell(error: RefinebioError) -> None:
    err.print(f"[bold red]{error.code}[/]: ", end="")
    err.print(str(error), markup=False, highlight=False)


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
                _tell(error)
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
        good &= not names or _run(instance, "survey_experiments", "experiment", names)
        good &= _run(instance, "build_warehouse", "catalogue", [])
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
        good = _run(instance, "process_experiments", "experiment", experiments, settings)
        good &= _run(instance, "build_warehouse", "catalogue", [])
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
        with Warehouse().connect(Storage()) as database:
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
            _tell(error)
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
    from refinebio_assets.metadata.platforms import array_of_chip
    from refinebio_assets.microarray.cel import read_cel, read_cel_header

    table = Table("file", "format", "chip", "platform", "rows", "columns", "scanned", "problems")
    good = True
    for path in cels:
        told = ["–"] * 6
        problem = "none"
        try:
            header = read_cel_header(path)
            platform = array_of_chip(header.chip_type)
            told = [
                f"{header.format}{', gzip' if header.is_gzip else ''}",
                header.chip_type,
                platform.internal if platform else "not known",
                str(header.rows),
                str(header.columns),
                header.scanned or "–",
            ]
            cel = read_cel(path)
            marked = {"outliers": cel.n_outliers, "masked": cel.n_masked}
            problem = ", ".join(f"{number} {name}" for name, number in marked.items() if number)
        except RefinebioError as error:
            good, problem = False, f"{error.code}: {error.message}"
        table.add_row(*map(escape, (path.name, *told, problem or "none")))
    out.print(table)
    if not good:
        raise typer.Exit(1)


@app.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


def _build(instance: dg.DagsterInstance, job: str, key: str, told: str, *, built: bool) -> bool:
    out.print(f"{told} (built already)" if built else told)
    return built or _run(instance, job, "reference", [key])


@contextmanager
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of DAGSTER_HOME, or of the nearest folder with a dagster.yaml."""
    import dagster as dg

    if "DAGSTER_HOME" not in os.environ:
        here = Path.cwd()
        homes = [folder for folder in (here, *here.parents) if (folder / "dagster.yaml").exists()]
        if not homes:
            raise RefinebioError(
                "There is no dagster.yaml here.",
                remedy="Run this in the project's folder, or set DAGSTER_HOME.",
            )
        os.environ["DAGSTER_HOME"] = str(homes[0])
    with dg.DagsterInstance.get() as instance:
        yield instance


def _run(
    instance: dg.DagsterInstance,
    job: str,
    what: str,
    keys: list[str],
    settings: dict[str, Any] | None = None,
) -> bool:
    """Run a job for partitions, showing Dagster's own log; False where something failed."""
    from refinebio_assets.running import run_job

    good = True
    for batch in run_job(instance, job, keys, settings):
        name = ", ".join(batch.keys) or what
        good &= not batch.errors
        out.print(f"[red]failed[/]: {name}" if batch.errors else f"[green]done[/]: {name}")
        for error in batch.errors:
            err.print(error, markup=False, highlight=False)
    return good
