"""`microarray_expression`: arrays to genes × samples.

Affymetrix CEL files by SCAN, array by array; Illumina tables by background correction and
SCAN, table by table; submitted values with their ids translated. What was processed
before from the same file, with the same annotation and method, is taken over.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from refinebio_assets.assets.array_work import (
    ArrayWork,
    Expressed,
    expressed,
    method_of,
    refuse_dropped,
)
from refinebio_assets.assets.bead_tables import bead_values
from refinebio_assets.assets.cel_files import scan_cel
from refinebio_assets.assets.microarray_results import publish_arrays
from refinebio_assets.assets.progress import Progress
from refinebio_assets.assets.raw_arrays import stored_array
from refinebio_assets.assets.stage import (
    SampleResults,
    StageOutcome,
    Toolbox,
    as_error,
    for_each_sample,
    processable,
    surveyed,
)
from refinebio_assets.assets.submitted_tables import submitted_values
from refinebio_assets.errors import MissingProbeAnnotation, RefinebioError
from refinebio_assets.metadata.platforms import MICROARRAY
from refinebio_assets.resources.annotations import newest_annotation

if TYPE_CHECKING:
    from refinebio_assets.microarray.raw_array import RawArray


def express_microarrays(experiment: str, toolbox: Toolbox) -> StageOutcome:
    """Bring every array of an experiment to genes; publish values and the table of arrays."""
    samples = processable(surveyed(experiment, toolbox.storage), MICROARRAY)
    ready = {
        each.sample: ArrayWork(each, raw)
        for each in samples
        if (raw := stored_array(experiment, each.sample, toolbox))
    }
    results = _taken_over(experiment, ready, toolbox)
    left = {name: work for name, work in ready.items() if name not in results}
    overall = Progress(toolbox.log, f"{experiment}: processed", len(left), "arrays")
    tables: dict[str, list[ArrayWork]] = defaultdict(list)
    alone: dict[str, ArrayWork] = {}
    for name, work in left.items():
        if work.raw.kind == "BEADS":
            tables[work.raw.file.sha256].append(work)
        else:
            alone[name] = work
    for theirs in tables.values():
        _merge(results, _of_bead_table(experiment, theirs, toolbox, overall))
    processed = for_each_sample(
        alone, lambda name: _alone(alone[name], toolbox, overall), toolbox, experiment
    )
    _merge(results, processed)
    return publish_arrays(experiment, samples, results, toolbox)


def is_expressed(experiment: str, sample: str, raw: RawArray, toolbox: Toolbox) -> bool:
    """Whether values made of this file, with the current annotation and method, exist."""
    row = _earlier_rows(experiment, toolbox).get(sample)
    return row is not None and _is_current(row, raw, toolbox)


def _merge(results: SampleResults[Expressed], more: SampleResults[Expressed]) -> None:
    results.update(more)
    results.errors.update(more.errors)


# --- what is there already ------------------------------------------------------------


def _taken_over(
    experiment: str, ready: Mapping[str, ArrayWork], toolbox: Toolbox
) -> SampleResults[Expressed]:
    from refinebio_assets.matrix.expression import read_array_values

    rows = _earlier_rows(experiment, toolbox)
    current = {
        name: rows[name]
        for name, work in ready.items()
        if name in rows
        and rows[name]["organism"] == work.sample.organism
        and _is_current(rows[name], work.raw, toolbox)
    }
    # A table of bead summaries is normalised as a whole: with other columns, again.
    for digest in {work.raw.file.sha256 for work in ready.values() if work.raw.kind == "BEADS"}:
        before = {name for name, row in rows.items() if row["raw_sha256"] == digest}
        now = {name for name, work in ready.items() if work.raw.file.sha256 == digest}
        if before != now or not now <= current.keys():
            current = {name: row for name, row in current.items() if name not in now}
    found: SampleResults[Expressed] = SampleResults()
    for organism in {row["organism"] for row in current.values()}:
        names = [name for name, row in current.items() if row["organism"] == organism]
        path = toolbox.storage.expression_file(organism, MICROARRAY, experiment)
        if not path.exists():
            continue
        for (name,), values in read_array_values(path, names).group_by("sample"):
            ordered = values.sort("gene")
            found[str(name)] = Expressed(
                ordered["gene"].to_list(), ordered["value"].to_numpy(), current[str(name)]
            )
    return found


def _earlier_rows(experiment: str, toolbox: Toolbox) -> dict[str, dict[str, Any]]:
    import polars as pl

    path = toolbox.storage.table_file("arrays", experiment)
    if not path.exists():
        return {}
    return {row["sample"]: row for row in pl.read_parquet(path, glob=False).to_dicts()}


def _is_current(row: Mapping[str, Any], raw: RawArray, toolbox: Toolbox) -> bool:
    try:
        annotation = newest_annotation(toolbox.storage, row["platform"])
    except MissingProbeAnnotation:
        return False
    method, engine = method_of(raw, toolbox)
    return (row["raw_sha256"], row["annotation_sha256"], row["method"], row["engine"]) == (
        raw.file.sha256,
        annotation.sha256,
        method,
        engine,
    )


# --- what is new ----------------------------------------------------------------------


def _alone(work: ArrayWork, toolbox: Toolbox, overall: Progress) -> Expressed:
    started = time.monotonic()
    refuse_dropped(work.raw)
    made = (scan_cel if work.raw.kind == "CEL" else submitted_values)(work, toolbox)
    overall.advance()
    return expressed(work, made, time.monotonic() - started, toolbox)


def _of_bead_table(
    experiment: str, theirs: list[ArrayWork], toolbox: Toolbox, overall: Progress
) -> SampleResults[Expressed]:
    """All samples of one table; an error about the table is that of each of them."""
    results: SampleResults[Expressed] = SampleResults()
    started = time.monotonic()
    try:
        refuse_dropped(theirs[0].raw)
        made = bead_values(theirs, toolbox)
    except Exception as fault:  # noqa: BLE001  # the table's, or ours: not the experiment's
        error = as_error(fault)
        toolbox.log(f"{experiment}, {theirs[0].raw.name}: {error.code}: {error}")
        results.errors.update({work.sample.sample: error for work in theirs})
        return results
    seconds = (time.monotonic() - started) / len(theirs)
    for work in theirs:
        name, found = work.sample.sample, made[work.sample.sample]
        overall.advance()
        if isinstance(found, RefinebioError):
            toolbox.log(f"{experiment}, {name}: {found.code}: {found}")
            results.errors[name] = found
        else:
            results[name] = expressed(work, found, seconds, toolbox)
    return results
