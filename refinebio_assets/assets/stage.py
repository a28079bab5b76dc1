"""What the stages of an experiment have in common.

A stage takes one experiment's accession, does its work sample by sample (several at a
time), and returns what became of every sample. One bad sample never sinks its
experiment: its error becomes its status. Not here: what any stage does.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import dagster as dg
from pydantic import Field

from refinebio_assets import __version__
from refinebio_assets.assets.progress import Log
from refinebio_assets.errors import (
    ExperimentNotFound,
    NoSampleLeft,
    RefinebioError,
    UnexpectedError,
)
from refinebio_assets.resources.downloads import Downloads
from refinebio_assets.resources.http import Http
from refinebio_assets.resources.process import kill_all
from refinebio_assets.resources.r import R
from refinebio_assets.resources.salmon import Salmon
from refinebio_assets.resources.sra_toolkit import SraToolkit
from refinebio_assets.resources.storage import Storage
from refinebio_assets.sample_status import SampleStatus, write_statuses

if TYPE_CHECKING:
    from refinebio_assets.sources.records import Experiment, Sample

Result = TypeVar("Result")


class ExperimentsConfig(dg.Config):
    """Settings of a run over experiments; the defaults are the reference system's."""

    parallel_samples: int = Field(
        default=1, ge=1, description="Samples processed at a time; each Salmon has its threads."
    )
    gc_bias_of_paired: bool = Field(
        default=True, description="Correct for GC bias where reads are paired (--gcBias)."
    )
    equivalence_classes: bool = Field(
        default=True, description="Keep Salmon's equivalence classes (--dumpEq)."
    )
    unmapped_names: bool = Field(
        default=False, description="Keep the names of unmapped reads (--writeUnmappedNames; large)."
    )
    early_fraction: float = Field(
        default=0.80, ge=0, le=1, description="tximport runs early above this share of samples …"
    )
    early_samples: int = Field(
        default=20, ge=0, description="… in experiments of more samples than this."
    )
    scan: Literal["scanfast", "scan"] = Field(
        default="scanfast", description="Setting of SCAN: fast as the reference's, or thorough."
    )
    scan_engine: Literal["refinebio", "r"] = Field(
        default="refinebio", description="Who runs SCAN: ours, or R's SCAN.UPC (same numbers)."
    )
    strict_chip_names: bool = Field(
        default=False,
        description="Take v1 and v2 out of chip names wherever they stand, as the reference "
        "does: HG_U95Av2 is then treated as HG_U95A.",
    )
    tximport_in_r: bool = Field(
        default=False, description="Run R's own tximport instead of ours (same numbers, slower)."
    )
    retry_seconds: float = Field(
        default=30,
        ge=0,
        description="Wait before what may pass (a network, a full disk) is tried again.",
    )
    keep_raw: bool = Field(
        default=False, description="Keep fetched raw files after their sample is processed."
    )
    warn_mapping_rate: float = Field(
        default=50, ge=0, le=100, description="Warn below this percentage of mapped fragments."
    )
    warn_reads: int = Field(
        default=100_000, ge=0, description="Warn below this number of fragments."
    )
    warn_genes_covered: float = Field(
        default=80,
        ge=0,
        le=100,
        description="Warn of arrays with values for fewer per cent of their platform's genes.",
    )
    warn_saturated: float = Field(
        default=1,
        ge=0,
        le=100,
        description="Warn of arrays with more per cent of probes at the largest intensity.",
    )
    warn_correlation: float = Field(
        default=0.7,
        ge=-1,
        le=1,
        description="Warn of arrays whose median correlation with the others is lower.",
    )
    warn_genes: int = Field(
        default=5_000, ge=0, description="Warn below this number of genes detected (count > 0)."
    )


@dataclass(frozen=True)
class Toolbox:
    """Everything a stage may use: resources, settings, log, and who is asking."""

    storage: Storage
    http: Http
    downloads: Downloads
    sra_toolkit: SraToolkit
    salmon: Salmon
    r: R
    config: ExperimentsConfig
    log: Log
    run_id: str

    def lineage(self) -> dict[str, Any]:
        """The columns that every written row ends with."""
        return {
            "code_version": __version__,
            "run_id": self.run_id,
            "recorded_at": datetime.now(UTC),
        }


@dataclass
class StageOutcome:
    """What one stage did for one experiment.

    `findings` holds, for each check, the problems found; `transient` whether a retry of
    the step may help a sample.
    """

    statuses: list[SampleStatus]
    metadata: dict[str, Any] = field(default_factory=dict)
    findings: dict[str, list[str]] = field(default_factory=dict)
    transient: bool = False


Stage = Callable[[str, Toolbox], StageOutcome]


@dataclass
class SampleResults(dict[str, Result]):
    """Results of the samples that came through, and the errors of those that did not."""

    errors: dict[str, RefinebioError] = field(default_factory=dict)

    def statuses(self) -> list[SampleStatus]:
        """One status for every sample worked on."""
        done = [SampleStatus(sample, "processed") for sample in self]
        return done + [SampleStatus.of_error(name, error) for name, error in self.errors.items()]

    @property
    def transient(self) -> bool:
        """Whether a retry may help any of the samples."""
        return any(error.transient for error in self.errors.values())

    def nothing(self, message: str) -> NoSampleLeft:
        """The error for a stage through which no sample came."""
        error = NoSampleLeft(message)
        error.transient = self.transient
        return error


def for_each_sample(
    samples: Iterable[str], work: Callable[[str], Result], toolbox: Toolbox, experiment: str
) -> SampleResults[Result]:
    """Do the work for every sample, `parallel_samples` at a time.

    When the run is interrupted, programs that are running are killed and no further sample
    is begun.
    """
    names = list(samples)
    results: SampleResults[Result] = SampleResults()

    def guarded(sample: str) -> Result | RefinebioError:
        try:
            return work(sample)
        except Exception as fault:  # noqa: BLE001  # a fault of ours must not sink the others
            error = as_error(fault)
            toolbox.log(f"{experiment}, {sample}: {error.code}: {error}")
            return error

    pool = ThreadPoolExecutor(toolbox.config.parallel_samples, thread_name_prefix="sample")
    try:
        for name, result in zip(names, pool.map(guarded, names), strict=True):
            if isinstance(result, RefinebioError):
                results.errors[name] = result
            else:
                results[name] = result
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        kill_all()
        raise
    pool.shutdown()
    return results


def as_error(fault: Exception) -> RefinebioError:
    """The fault itself where it is one that we know, else one with its whole story."""
    if isinstance(fault, RefinebioError):
        return fault
    return UnexpectedError("".join(traceback.format_exception(fault)))


def surveyed(experiment: str, storage: Storage) -> Experiment:
    """The experiment's records as the survey stored them.

    Raises
    ------
    ExperimentNotFound
        If `experiment_metadata` has not been materialized for it.
    """
    from refinebio_assets.sources.records import read_experiment

    try:
        return read_experiment(storage.table_file("experiments", experiment))
    except FileNotFoundError as error:
        raise ExperimentNotFound(
            f"{experiment} has not been surveyed.", remedy="Materialize experiment_metadata first."
        ) from error


def processable(experiment: Experiment, technology: str) -> list[Sample]:
    """The samples of a technology that the survey did not rule out."""
    return [
        sample
        for sample in experiment.samples
        if sample.technology == technology and sample.skip_reason is None
    ]


def record_statuses(
    experiment: str, stage: str, statuses: Sequence[SampleStatus], toolbox: Toolbox
) -> None:
    """Publish the statuses of one experiment after one stage."""
    with toolbox.storage.publish_file(toolbox.storage.status_file(stage, experiment)) as path:
        write_statuses(statuses, path, experiment=experiment, stage=stage, **toolbox.lineage())


def failed_at(stages: Iterable[str], experiment: str, toolbox: Toolbox) -> set[str]:
    """Samples whose own data were at fault: they are not waited for, and have no values."""
    import polars as pl

    failed: set[str] = set()
    for stage in stages:
        path = toolbox.storage.status_file(stage, experiment)
        if path.exists():
            statuses = pl.read_parquet(path, columns=["sample", "status"], glob=False)
            failed |= set(statuses.filter(pl.col("status") == "failed")["sample"])
    return failed


def counts_by_status(statuses: Iterable[SampleStatus]) -> Mapping[str, int]:
    """Numbers for metadata: n_samples, n_processed, n_failed, …"""
    found = {"n_samples": 0, "n_processed": 0, "n_waiting": 0, "n_failed": 0, "n_skipped": 0}
    for each in statuses:
        found["n_samples"] += 1
        found[f"n_{each.status}"] += 1
    return found
