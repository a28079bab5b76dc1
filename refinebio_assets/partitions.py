"""The partition definitions and how keys are added to them, nothing else.

Keys are permanent, so they are checked (metadata.accessions, metadata.organisms) before
they come here. Batches of a backfill are contiguous in registration order, so new
experiments are registered in sorted waves: organism, technology, size.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from refinebio_assets.sources.records import Experiment

experiments = dg.DynamicPartitionsDefinition(name="experiments")
organisms = dg.DynamicPartitionsDefinition(name="organisms")
datasets = dg.DynamicPartitionsDefinition(name="datasets")
platforms = dg.DynamicPartitionsDefinition(name="platforms")

EXPERIMENTS_PER_RUN = 50  # of a backfill, and of the command line
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def range_tags(first: str, last: str) -> dict[str, str]:
    """The tags that make a run one over a range of keys, both included."""
    return {RANGE_START: first, RANGE_END: last}


def needs_some_of(asset: str) -> dg.AssetDep:
    """An arrow to an asset of other partitions, of which Dagster cannot know the ones needed.

    To Dagster no particular partition is depended on; without this, it would take those of the
    same names. What is missing is found when the work is done, and waited for.
    """
    return dg.AssetDep(
        asset, partition_mapping=dg.SpecificPartitionsPartitionMapping(partition_keys=[])
    )


def register_experiments(instance: dg.DagsterInstance, surveyed: Iterable[Experiment]) -> list[str]:
    """Add experiments as partitions; return the keys that are new, in the order added."""
    wave = sorted(
        surveyed,
        key=lambda each: (each.organisms, each.technology, len(each.samples), each.experiment),
    )
    known = set(instance.get_dynamic_partitions("experiments"))
    new = [each.experiment for each in wave if each.experiment not in known]
    instance.add_dynamic_partitions("experiments", new)
    return new


def register_organisms(instance: dg.DagsterInstance, names: Iterable[str]) -> list[str]:
    """Add organisms as partitions; return the keys that are new."""
    return _register(instance, "organisms", names)


def register_platforms(instance: dg.DagsterInstance, names: Iterable[str]) -> list[str]:
    """Add array platforms as partitions; return the keys that are new."""
    return _register(instance, "platforms", names)


def register_datasets(instance: dg.DagsterInstance, ids: Iterable[str]) -> list[str]:
    """Add requested datasets as partitions; return the keys that are new."""
    return _register(instance, "datasets", ids)


def _register(instance: dg.DagsterInstance, kind: str, names: Iterable[str]) -> list[str]:
    new = sorted(set(names) - set(instance.get_dynamic_partitions(kind)))
    instance.add_dynamic_partitions(kind, new)
    return new
