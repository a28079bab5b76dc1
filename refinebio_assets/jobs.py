"""The jobs that people and schedules start: which assets belong together in a run."""

from __future__ import annotations

import dagster as dg

reference_job = dg.define_asset_job(
    "build_references",
    selection=dg.AssetSelection.groups("reference") - dg.AssetSelection.assets("probe_annotation"),
    description="Transcriptome, gene map and both Salmon indices of organisms.",
)

platforms_job = dg.define_asset_job(
    "annotate_platforms",
    selection=dg.AssetSelection.assets("probe_annotation"),
    description="The probes of array platforms, and the genes that they belong to.",
)

survey_job = dg.define_asset_job(
    "survey_experiments",
    selection=dg.AssetSelection.groups("survey"),
    description="The records of experiments, from their sources.",
)

experiments_job = dg.define_asset_job(
    "process_experiments",
    selection=dg.AssetSelection.groups("survey", "raw", "microarray", "rnaseq"),
    description="Experiments from their record to genes × samples.",
)

warehouse_job = dg.define_asset_job(
    "build_warehouse",
    selection=dg.AssetSelection.groups("warehouse"),
    description="The DuckDB catalogue over everything published.",
)

targets_job = dg.define_asset_job(
    "build_qn_targets",
    selection=dg.AssetSelection.assets("qn_target"),
    description="The quantile-normalisation targets of organisms.",
)

normalized_compendia_job = dg.define_asset_job(
    "build_normalized_compendia",
    selection=dg.AssetSelection.assets("normalized_compendium"),
    description="The next releases of organisms' normalized compendia.",
)

exports_job = dg.define_asset_job(
    "build_exports",
    selection=dg.AssetSelection.groups("exports"),
    description="The next releases of organisms' RNA-seq samples as ARCHS4's HDF5 and AnnData.",
)

rnaseq_compendia_job = dg.define_asset_job(
    "build_rnaseq_compendia",
    selection=dg.AssetSelection.assets("rnaseq_compendium"),
    description="The next releases of organisms' RNA-seq sample compendia.",
)

datasets_job = dg.define_asset_job(
    "make_datasets",
    selection=dg.AssetSelection.assets("dataset"),
    description="The datasets that were asked for.",
)

JOBS = [
    reference_job,
    platforms_job,
    survey_job,
    experiments_job,
    warehouse_job,
    targets_job,
    normalized_compendia_job,
    rnaseq_compendia_job,
    exports_job,
    datasets_job,
]
