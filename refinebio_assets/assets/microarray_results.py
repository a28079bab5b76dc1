"""Publishing an experiment's arrays: values, the table of arrays, and what people look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from refinebio_assets.assets import previews
from refinebio_assets.assets.array_work import SUBMITTED, Expressed
from refinebio_assets.assets.raw_arrays import drop_shared, stored_array
from refinebio_assets.assets.raw_files import RAW_STAGE, drop_fetched
from refinebio_assets.assets.stage import (
    SampleResults,
    StageOutcome,
    Toolbox,
    counts_by_status,
    failed_at,
    record_statuses,
)
from refinebio_assets.metadata.platforms import MICROARRAY, find_array, is_bead_array
from refinebio_assets.sample_status import SampleStatus

if TYPE_CHECKING:
    from refinebio_assets.sources.records import Sample

STAGE = "microarray_expression"


def publish_arrays(
    experiment: str,
    samples: Sequence[Sample],
    results: SampleResults[Expressed],
    toolbox: Toolbox,
) -> StageOutcome:
    from refinebio_assets.matrix.expression import samples_of, write_array_values
    from refinebio_assets.matrix.samples import histograms, median_correlations, side_by_side
    from refinebio_assets.matrix.tables import frame, write_parquet
    from refinebio_assets.tables import ARRAYS

    statuses = results.statuses()
    organisms = sorted({each.row["organism"] for each in results.values()})
    files, heights, rows = [], {}, []
    for organism in organisms:
        theirs = {
            name: results[name]
            for name in sorted(results)
            if results[name].row["organism"] == organism
        }
        genes, values = side_by_side(
            {name: (each.genes, each.values) for name, each in theirs.items()}
        )
        correlations = median_correlations(values)
        rows += [
            {**each.row, "experiment": experiment, "correlation": correlation}
            for each, correlation in zip(theirs.values(), correlations, strict=True)
        ]
        heights.update(dict(zip(theirs, histograms(values), strict=True)))
        files.append(toolbox.storage.expression_file(organism, MICROARRAY, experiment))
        with toolbox.storage.publish_file(files[-1]) as staged:
            provenance = {"experiment": experiment, **toolbox.lineage()}
            write_array_values(
                staged,
                genes,
                list(theirs),
                values,
                {name: str(value) for name, value in provenance.items()},
            )
    with toolbox.storage.publish_file(toolbox.storage.table_file("arrays", experiment)) as staged:
        write_parquet(frame(ARRAYS, rows), staged)
    for path in toolbox.storage.expression_files(MICROARRAY, experiment):
        if path not in files:
            path.unlink()
    record_statuses(experiment, STAGE, statuses, toolbox)
    _drop_raw(experiment, samples, results, toolbox)
    if statuses and not rows:
        raise results.nothing(f"No array of {experiment} could be processed.")
    in_matrix = {sample for path in files for sample in samples_of(path)}
    return StageOutcome(
        statuses,
        metadata=_metadata(rows, statuses, heights),
        findings={
            **_odd_arrays(experiment, rows, toolbox),
            "all_samples_processed": [
                f"{experiment}, {each.sample}" for each in samples if each.sample not in in_matrix
            ],
            "same_samples": [
                f"{experiment}, {sample}: in only one of matrix and table of arrays"
                for sample in sorted(in_matrix ^ {row["sample"] for row in rows})
            ],
        },
        transient=results.transient,
    )


def _drop_raw(
    experiment: str,
    samples: Sequence[Sample],
    results: SampleResults[Expressed],
    toolbox: Toolbox,
) -> None:
    """Delete fetched copies of what is processed; shared ones when nobody waits for them."""
    if toolbox.config.keep_raw:
        return
    for name in results:
        raw = stored_array(experiment, name, toolbox)
        if raw is not None and not raw.shared:
            drop_fetched([raw.file])
    settled = {*results, *failed_at((RAW_STAGE, STAGE), experiment, toolbox)}
    if all(each.sample in settled for each in samples):
        drop_shared(experiment, toolbox)


def _metadata(
    rows: list[dict[str, Any]], statuses: list[SampleStatus], heights: dict[str, list[float]]
) -> dict[str, Any]:
    columns = ("sample", "chip_type", "platform", "method", "num_genes", "iterations", "seconds")
    chips = Counter(
        f"{row.get('chip_type') or row['platform']} "
        f"(labelled {row['labelled_platform'] or 'nothing'})"
        for row in rows
    )
    return {
        **counts_by_status(statuses),
        "n_genes": max((row["num_genes"] for row in rows), default=0),
        "chips": ", ".join(f"{number} × {chip}" for chip, number in chips.most_common()),
        "seconds": sum(row["seconds"] for row in rows),
        "densities": previews.densities(heights, "values"),
        "preview": previews.table([{name: row.get(name) for name in columns} for row in rows]),
    }


def _odd_arrays(
    experiment: str, rows: list[dict[str, Any]], toolbox: Toolbox
) -> dict[str, list[str]]:
    config = toolbox.config
    found: dict[str, list[str]] = {
        "genes_covered": [],
        "model_converged": [],
        "not_saturated": [],
        "like_its_experiment": [],
        "platform_as_labelled": [],
    }
    for row in rows:
        who = f"{experiment}, {row['sample']}"
        covered, saturated = row.get("percent_of_platform"), row.get("percent_saturated")
        correlation = row.get("correlation")
        if covered is not None and covered < config.warn_genes_covered:
            found["genes_covered"].append(f"{who}: {covered:.0f} % of {row['platform']}")
        if row.get("converged") is False:
            found["model_converged"].append(f"{who}: not after {row['iterations']} rounds")
        if saturated is not None and saturated > config.warn_saturated:
            found["not_saturated"].append(f"{who}: {saturated:.1f} % at the largest intensity")
        if correlation is not None and correlation < config.warn_correlation:
            found["like_its_experiment"].append(f"{who}: median correlation {correlation:.2f}")
        if _is_mislabelled(row):
            found["platform_as_labelled"].append(
                f"{who}: {row['platform']}, labelled {row['labelled_platform']}"
            )
    return found


def _is_mislabelled(row: Mapping[str, Any]) -> bool:
    labelled: str | None = row["labelled_platform"]
    platform: str = row["platform"]
    if not labelled or row["method"] == SUBMITTED or is_bead_array(platform):
        return False
    known = find_array(labelled)
    return (known.internal if known else labelled) != platform
