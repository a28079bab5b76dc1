"""What the commands share: consoles, errors in words, Dagster's instance, running a job."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from refinebio_assets.errors import RefinebioError

if TYPE_CHECKING:
    import dagster as dg

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


def shown(*columns: str) -> Table:
    """An empty table whose cells are never cut short."""
    table = Table()
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def show(table: Table) -> None:
    """Print a table: as wide as the terminal, or, to a file or a pipe, as wide as it is."""
    (out if out.is_terminal else Console(width=1_000)).print(table)


@contextmanager
def errors_told() -> Iterator[None]:
    """End with exit code 1 and the error's own words instead of a traceback."""
    try:
        yield
    except RefinebioError as error:
        tell(error)
        raise typer.Exit(1) from error
    except OSError as error:
        err.print(str(error), markup=False, highlight=False)
        raise typer.Exit(1) from error


def tell(error: RefinebioError) -> None:
    """Print an error's code and its words."""
    err.print(f"[bold red]{error.code}[/]: ", end="")
    err.print(str(error), markup=False, highlight=False)


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


def run(
    instance: dg.DagsterInstance,
    job: str,
    what: str,
    keys: list[str],
    settings: dict[str, Any] | None = None,
    assets: Sequence[str] | None = None,
) -> bool:
    """Run a job (or some of its assets) for partitions, with its log; False if something failed."""
    from refinebio_assets.running import run_job

    good = True
    for batch in run_job(instance, job, keys, settings, assets):
        name = ", ".join(batch.keys) or what
        good &= not batch.errors
        out.print(f"[red]failed[/]: {name}" if batch.errors else f"[green]done[/]: {name}")
        for error in batch.errors:
            err.print(error, markup=False, highlight=False)
    return good
