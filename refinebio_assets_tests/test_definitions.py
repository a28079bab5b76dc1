"""What Dagster is shown, and that showing it stays quick: no heavy library is imported."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

import refinebio_assets
from refinebio_assets.assets.experiments import experiment_assets
from refinebio_assets.definitions import build_defs, defs
from refinebio_assets.resources.storage import Storage

PACKAGE = Path(refinebio_assets.__file__).parent
DOMAIN = ("sources", "metadata", "microarray", "rnaseq", "matrix", "publish", "compendium")
HEAVY = {
    "anndata",
    "duckdb",
    "fsspec",
    "h5py",
    "isal",
    "matplotlib",
    "numba",
    "numpy",
    "pandas",
    "polars",
    "rpy2",
    "scipy",
    "sklearn",
}

# asset: (group, partitions, what it depends on)
ASSETS = {
    "transcriptome": ("reference", "organisms", set()),
    "gene_map": ("reference", "organisms", set()),
    "salmon_index_short": ("reference", "organisms", {"transcriptome"}),
    "salmon_index_long": ("reference", "organisms", {"transcriptome"}),
    "probe_annotation": ("reference", "platforms", {"transcriptome"}),
    "geo": ("sources", None, set()),
    "ena": ("sources", None, set()),
    "arrayexpress": ("sources", None, set()),
    "experiment_metadata": ("survey", "experiments", {"geo", "ena", "arrayexpress"}),
    "raw_samples": ("raw", "experiments", {"experiment_metadata"}),
    "transcript_quantification": (
        "rnaseq",
        "experiments",
        {"raw_samples", "salmon_index_short", "salmon_index_long"},
    ),
    "gene_counts": ("rnaseq", "experiments", {"transcript_quantification", "gene_map"}),
    "microarray_expression": ("microarray", "experiments", {"raw_samples", "probe_annotation"}),
    "warehouse": (
        "warehouse",
        None,
        {
            "experiment_metadata",
            "gene_counts",
            "gene_map",
            "microarray_expression",
            "probe_annotation",
        },
    ),
    "qn_target": ("aggregation", "organisms", {"warehouse"}),
    "normalized_compendium": ("aggregation", "organisms", {"warehouse", "qn_target"}),
    "archs4_h5": ("exports", "organisms", {"warehouse"}),
    "anndata": ("exports", "organisms", {"warehouse", "qn_target"}),
    "rnaseq_compendium": ("aggregation", "organisms", {"warehouse"}),
    "dataset": ("datasets", "datasets", {"warehouse", "qn_target"}),
}
JOBS = {
    "check_sources": set(),
    "survey_experiments": {"experiment_metadata"},
    "build_references": {"transcriptome", "gene_map", "salmon_index_short", "salmon_index_long"},
    "annotate_platforms": {"probe_annotation"},
    "process_experiments": {
        "experiment_metadata",
        "raw_samples",
        "microarray_expression",
        "transcript_quantification",
        "gene_counts",
    },
    "build_warehouse": {"warehouse"},
    "build_qn_targets": {"qn_target"},
    "build_normalized_compendia": {"normalized_compendium"},
    "build_rnaseq_compendia": {"rnaseq_compendium"},
    "build_exports": {"archs4_h5", "anndata"},
    "make_datasets": {"dataset"},
}
CHECKS = {
    "geo": {"answers"},
    "ena": {"answers"},
    "arrayexpress": {"answers"},
    "microarray_expression": {
        "genes_covered",
        "model_converged",
        "not_saturated",
        "like_its_experiment",
        "platform_as_labelled",
        "all_samples_processed",
        "same_samples",
    },
    "warehouse": {
        "keys_are_unique",
        "references_hold",
        "columns_as_declared",
        "files_are_known",
    },
    "qn_target": {"like_the_one_before"},
    "normalized_compendium": {
        "matrix_is_its_metadata",
        "nothing_missing",
        "distributed_as_the_target",
        "technologies_comparable",
        "imputation_better_than_means",
    },
    "archs4_h5": {"readable", "as_the_catalogue", "nothing_missing", "samples_complete"},
    "anndata": {"readable", "as_the_catalogue", "nothing_missing", "samples_complete"},
    "rnaseq_compendium": {"zip_is_whole", "all_samples_delivered"},
    "dataset": {
        "matrix_is_its_metadata",
        "all_samples_delivered",
        "alike_after_normalisation",
    },
    "transcript_quantification": {"mapping_rate", "reads", "library_type"},
    "gene_counts": {"genes_detected", "all_samples_processed", "same_samples"},
}


def nodes() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


# --- what is there --------------------------------------------------------------------


def test_definitions_are_loadable() -> None:
    dg.Definitions.validate_loadable(defs)


def test_assets_groups_partitions_and_dependencies() -> None:
    found = {
        name: (
            spec.group_name,
            spec.partitions_def.name if spec.partitions_def else None,  # type: ignore[attr-defined]
            {dependency.asset_key.to_user_string() for dependency in spec.deps},
        )
        for name, spec in nodes().items()
    }
    assert found == ASSETS


def test_jobs() -> None:
    found = {
        job.name: {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
        for job in defs.resolve_all_job_defs()
        if not job.name.startswith("__")
    }
    assert found == JOBS


def test_checks() -> None:
    found: dict[str, set[str]] = {}
    for key in defs.resolve_asset_graph().asset_check_keys:
        found.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
    assert found == CHECKS


@pytest.mark.parametrize("name", ASSETS)
def test_every_asset_is_described(name: str) -> None:
    description = nodes()[name].description
    assert description
    assert description.strip().endswith(".")


def test_resources_can_be_replaced() -> None:
    other = build_defs({"storage": Storage(home="/elsewhere")})
    assert other.resources is not None
    assert other.resources["storage"].home == "/elsewhere"


# --- that it stays light --------------------------------------------------------------


def modules_after(statement: str, folder: Path) -> set[str]:
    """Top-level modules that a fresh interpreter has after a statement, without any settings."""
    script = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE.parent)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return {name.partition(".")[0] for name in json.loads(finished.stdout.splitlines()[-1])}


def test_definitions_load_from_an_empty_environment_without_heavy_libraries(tmp_path: Path) -> None:
    modules = modules_after("import refinebio_assets.definitions", tmp_path)
    assert "dagster" in modules
    assert modules & HEAVY == set()
    assert list(tmp_path.iterdir()) == []  # and nothing is written


def test_the_command_line_starts_without_dagster(tmp_path: Path) -> None:
    modules = modules_after("import refinebio_assets.cli", tmp_path)
    assert modules & {*HEAVY, "dagster"} == set()


# --- layers ---------------------------------------------------------------------------


def imported(path: Path) -> set[str]:
    """Full names of all modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_domain_knows_nothing_of_dagster() -> None:
    files = [path for name in DOMAIN for path in (PACKAGE / name).rglob("*.py")]
    assert len(files) > 10
    outside = ("dagster", *(f"refinebio_assets.{name}" for name in ("assets", "resources")))
    offending = {
        str(path.relative_to(PACKAGE)): name
        for path in files
        for name in imported(path)
        if name.startswith(outside)
    }
    assert offending == {}


def test_experiments_depend_on_no_particular_organism_or_array() -> None:
    """A backfill of experiments asks for organisms of the same names if this goes wrong."""
    reference = {"salmon_index_short", "salmon_index_long", "gene_map", "probe_annotation"}
    arrows = [
        dependency
        for spec in experiment_assets.specs
        for dependency in spec.deps
        if dependency.asset_key.to_user_string() in reference
    ]
    assert {each.asset_key.to_user_string() for each in arrows} == reference
    for each in arrows:
        assert each.partition_mapping == dg.SpecificPartitionsPartitionMapping(partition_keys=[])
