"""The experiment tier: one operation carries a batch of experiments through its stages.

Partition: `experiments`. A run takes a contiguous range of keys and any subset of the
stages. Each key goes through them in order; its failure is its own: keys that came
through are materialized one by one, as they finish, and the step fails at the end,
naming those that did not.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from refinebio_assets.assets.microarray import express_microarrays
from refinebio_assets.assets.previews import column_schema
from refinebio_assets.assets.progress import Progress
from refinebio_assets.assets.raw import fetch_raw_samples
from refinebio_assets.assets.rnaseq import count_genes, quantify_transcripts
from refinebio_assets.assets.stage import ExperimentsConfig, Stage, Toolbox, as_error
from refinebio_assets.assets.survey import survey_experiment
from refinebio_assets.errors import RefinebioError
from refinebio_assets.partitions import EXPERIMENTS_PER_RUN, experiments, needs_some_of
from refinebio_assets.resources.downloads import Downloads
from refinebio_assets.resources.http import Http
from refinebio_assets.resources.r import R
from refinebio_assets.resources.salmon import Salmon
from refinebio_assets.resources.sra_toolkit import SraToolkit
from refinebio_assets.resources.storage import Storage
from refinebio_assets.tables import ARRAYS, EXPERIMENTS, GENE_COUNTS, QUANTIFICATIONS

RETRIES = 2
LISTED = 20

STAGES: dict[str, Stage] = {
    "experiment_metadata": survey_experiment,
    "raw_samples": fetch_raw_samples,
    "microarray_expression": express_microarrays,
    "transcript_quantification": quantify_transcripts,
    "gene_counts": count_genes,
}


SPECS = [
    dg.AssetSpec(
        "experiment_metadata",
        deps=["geo", "ena", "arrayexpress"],
        group_name="survey",
        kinds={"parquet"},
        skippable=True,
        description="An experiment's record: the experiment, its samples, what the submitter "
        "said of them, and the files they name. Written to processed/experiments/.",
        metadata={"dagster/column_schema": column_schema(EXPERIMENTS)},
    ),
    dg.AssetSpec(
        "raw_samples",
        deps=["experiment_metadata"],
        group_name="raw",
        skippable=True,
        description="The raw files of every sample: fetched if remote, verified to the last "
        "record, digested and measured. Fetched copies are dropped once processed.",
    ),
    dg.AssetSpec(
        "microarray_expression",
        deps=["raw_samples", needs_some_of("probe_annotation")],
        group_name="microarray",
        kinds={"parquet"},
        skippable=True,
        description="Genes × samples of arrays: Affymetrix CEL files by SCAN, Illumina tables by "
        "background correction and SCAN, else the submitter's values with Ensembl ids. Written "
        "to processed/expression/ and processed/arrays/.",
        metadata={"dagster/column_schema": column_schema(ARRAYS)},
    ),
    dg.AssetSpec(
        "transcript_quantification",
        deps=[
            "raw_samples",
            needs_some_of("salmon_index_short"),
            needs_some_of("salmon_index_long"),
        ],
        group_name="rnaseq",
        kinds={"salmon"},
        skippable=True,
        description="One Salmon output folder per run under processed/quant/, as Salmon wrote "
        "it, and a table of rates. The index follows from the read length: k = 31 above "
        "75 bases, else k = 23.",
        metadata={"dagster/column_schema": column_schema(QUANTIFICATIONS)},
    ),
    dg.AssetSpec(
        "gene_counts",
        deps=["transcript_quantification", needs_some_of("gene_map")],
        group_name="rnaseq",
        kinds={"parquet"},
        skippable=True,
        description="Genes × samples by tximport: length-scaled TPM, and the unscaled counts, "
        "effective lengths and TPM. Written to processed/expression/.",
        metadata={"dagster/column_schema": column_schema(GENE_COUNTS)},
    ),
]

NEEDS = {
    spec.key.path[-1]: {dependency.asset_key.path[-1] for dependency in spec.deps} for spec in SPECS
}

WARNINGS = {
    ("microarray_expression", "genes_covered"): "Samples with few of their platform's genes.",
    ("microarray_expression", "model_converged"): "Arrays on which SCAN's fit did not converge.",
    ("microarray_expression", "not_saturated"): "Arrays with many probes at the largest value.",
    ("microarray_expression", "like_its_experiment"): "Samples unlike the others of theirs.",
    ("microarray_expression", "platform_as_labelled"): "Arrays of another chip than stated.",
    ("microarray_expression", "all_samples_processed"): "Samples that have no values, with their "
    "reason in sample_status.",
    ("transcript_quantification", "mapping_rate"): "Samples of which few fragments map.",
    ("transcript_quantification", "reads"): "Samples with few fragments.",
    ("transcript_quantification", "library_type"): "Reads that contradict their library type.",
    ("gene_counts", "genes_detected"): "Samples in which few genes are seen.",
    ("gene_counts", "all_samples_processed"): "Samples that have no values, with their reason "
    "in sample_status.",
}
ERRORS = {
    ("microarray_expression", "same_samples"): "The matrix and the table of arrays name the same "
    "samples.",
    ("gene_counts", "same_samples"): "The matrix and the sample table name the same samples.",
}


@dg.multi_asset(
    name="experiments",
    specs=SPECS,
    partitions_def=experiments,
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.multi_run(EXPERIMENTS_PER_RUN),
    check_specs=[
        dg.AssetCheckSpec(name, asset=asset, description=what)
        for (asset, name), what in {**WARNINGS, **ERRORS}.items()
    ],
)
def experiment_assets(
    context: dg.AssetExecutionContext,
    config: ExperimentsConfig,
    storage: Storage,
    http: Http,
    downloads: Downloads,
    sra_toolkit: SraToolkit,
    salmon: Salmon,
    r: R,
) -> Iterator[Any]:
    """Carry every experiment of the batch through the selected stages."""
    toolbox = Toolbox(
        storage,
        http,
        downloads,
        sra_toolkit,
        salmon,
        r,
        config,
        context.log.info,
        context.run.run_id,
    )
    selected = {key.path[-1] for key in context.selected_asset_keys}
    stages = {name: stage for name, stage in STAGES.items() if name in selected}
    batch = Progress(context.log.info, "Batch", len(context.partition_keys), "experiments", every=0)
    failed: dict[str, RefinebioError] = {}
    findings: dict[tuple[str, str], list[str]] = {}
    transient = False
    for experiment in context.partition_keys:
        stopped: set[str] = set()  # what failed, and what needs it
        for name, stage in stages.items():
            if stopped & NEEDS[name]:
                stopped.add(name)
                continue
            try:
                outcome = stage(experiment, toolbox)
            except Exception as fault:  # noqa: BLE001  # it is this experiment's alone
                error = as_error(fault)
                context.log.error(f"{experiment}: {name}: {error}")
                failed[experiment] = error
                transient |= error.transient
                stopped.add(name)
                continue
            transient |= outcome.transient
            for check, problems in outcome.findings.items():
                findings.setdefault((name, check), []).extend(problems)
            yield dg.AssetMaterialization(name, partition=experiment, metadata=outcome.metadata)
        batch.advance()
    if transient and context.retry_number < RETRIES:
        context.log.info("Some samples may come through on another try: waiting for it.")
        raise dg.RetryRequested(RETRIES, config.retry_seconds * 2**context.retry_number)
    yield from _check_results(context, findings)
    if failed:
        raise dg.Failure(
            f"{len(failed)} of {len(context.partition_keys)} experiments failed: "
            + "; ".join(f"{key}: {error}" for key, error in list(failed.items())[:LISTED]),
            metadata={"failed_experiments": list(failed)},
            allow_retries=False,
        )


def _check_results(
    context: dg.AssetExecutionContext, findings: dict[tuple[str, str], list[str]]
) -> Iterator[dg.AssetCheckResult]:
    for key in context.selected_asset_check_keys:
        check = (key.asset_key.path[-1], key.name)
        problems = findings.get(check)
        if problems is None:
            continue
        yield dg.AssetCheckResult(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=not problems,
            severity=dg.AssetCheckSeverity.ERROR if check in ERRORS else dg.AssetCheckSeverity.WARN,
            description="; ".join(problems[:LISTED]) or "Nothing to complain of.",
            metadata={"n_problems": len(problems)},
        )
