"""`raw_samples`: the raw files of every sample, fetched, verified and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from refinebio_assets.assets import previews
from refinebio_assets.assets.raw_arrays import fetch_arrays
from refinebio_assets.assets.raw_files import RAW_STAGE, manifest_path
from refinebio_assets.assets.raw_reads import verified_reads
from refinebio_assets.assets.stage import (
    StageOutcome,
    Toolbox,
    counts_by_status,
    for_each_sample,
    processable,
    record_statuses,
    surveyed,
)
from refinebio_assets.metadata.platforms import MICROARRAY, RNA_SEQ

if TYPE_CHECKING:
    from refinebio_assets.microarray.raw_array import RawArray
    from refinebio_assets.rnaseq.raw_reads import RawReads


def fetch_raw_samples(experiment: str, toolbox: Toolbox) -> StageOutcome:
    """Fetch and verify each sample's files; write its manifest."""
    found = surveyed(experiment, toolbox.storage)
    sequenced = {each.sample: each for each in processable(found, RNA_SEQ)}
    reads = for_each_sample(
        sequenced,
        lambda name: verified_reads(experiment, sequenced[name], toolbox),
        toolbox,
        experiment,
    )
    arrays = fetch_arrays(experiment, processable(found, MICROARRAY), toolbox)
    for name in (*reads.errors, *arrays.errors):
        manifest_path(experiment, name, toolbox).unlink(missing_ok=True)
    statuses = reads.statuses() + arrays.statuses()
    record_statuses(experiment, RAW_STAGE, statuses, toolbox)
    transient = reads.transient or arrays.transient
    if statuses and not reads and not arrays:
        error = reads.nothing(f"No raw data of {experiment} could be read.")
        error.transient = transient
        raise error
    return StageOutcome(
        statuses,
        metadata={
            **counts_by_status(statuses),
            "bytes": sum(file.bytes for raw in reads.values() for file in raw.files)
            + sum(raw.file.bytes for raw in arrays.values()),
            "reads": sum(raw.reads for raw in reads.values()),
            "preview": previews.table(
                [_of_reads(name, raw) for name, raw in reads.items()]
                or [_of_array(name, raw) for name, raw in arrays.items()]
            ),
        },
        transient=transient,
    )


def _of_reads(name: str, raw: RawReads) -> dict[str, Any]:
    return {
        "sample": name,
        "format": raw.format,
        "layout": raw.layout,
        "reads": raw.reads,
        "mean length": raw.mean_length,
        "sha256": ", ".join(digest[:12] for digest in raw.sha256),
    }


def _of_array(name: str, raw: RawArray) -> dict[str, Any]:
    return {
        "sample": name,
        "kind": raw.kind,
        "file": raw.name,
        "chip": raw.chip_type or "",
        "sha256": raw.file.sha256[:12],
    }
