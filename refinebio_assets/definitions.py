"""What Dagster loads, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from refinebio_assets.assets.dataset import dataset
from refinebio_assets.assets.experiments import experiment_assets
from refinebio_assets.assets.exports import anndata, archs4_h5
from refinebio_assets.assets.normalized_compendium import normalized_compendium
from refinebio_assets.assets.probes import probe_annotation
from refinebio_assets.assets.qn_target import qn_target
from refinebio_assets.assets.reference import (
    salmon_index_long,
    salmon_index_short,
    transcriptome_assets,
)
from refinebio_assets.assets.rnaseq_compendium import rnaseq_compendium
from refinebio_assets.assets.warehouse import warehouse
from refinebio_assets.checks import (
    SOURCE_CHECKS,
    SOURCES,
    daily_source_check,
    source_check_job,
)
from refinebio_assets.console import short_console
from refinebio_assets.dataset_requests import dataset_requests
from refinebio_assets.dispatcher import dispatcher, nightly_sweep
from refinebio_assets.jobs import JOBS
from refinebio_assets.resources.downloads import Downloads
from refinebio_assets.resources.http import Http
from refinebio_assets.resources.r import R
from refinebio_assets.resources.rsem import Rsem
from refinebio_assets.resources.salmon import Salmon
from refinebio_assets.resources.sra_toolkit import SraToolkit
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse
from refinebio_assets.sensors import SENSORS

ASSETS: list[dg.AssetsDefinition | dg.AssetSpec] = [
    *SOURCES,
    transcriptome_assets,
    salmon_index_short,
    salmon_index_long,
    probe_annotation,
    experiment_assets,
    warehouse,
    qn_target,
    normalized_compendium,
    rnaseq_compendium,
    archs4_h5,
    anndata,
    dataset,
]


def build_defs(resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The definitions, with some resources replaced (tests, special installations)."""
    return dg.Definitions(
        assets=ASSETS,
        asset_checks=SOURCE_CHECKS,
        jobs=[*JOBS, source_check_job],
        sensors=[*SENSORS, dispatcher, dataset_requests],
        schedules=[nightly_sweep, daily_source_check],
        resources={
            "storage": Storage(),
            "warehouse_database": Warehouse(),
            "http": Http(),
            "downloads": Downloads(),
            "salmon": Salmon(),
            "sra_toolkit": SraToolkit(),
            "rsem": Rsem(),
            "r": R(),
            **(resources or {}),
        },
        executor=dg.in_process_executor,
        loggers={"console": short_console},
    )


defs = build_defs()
