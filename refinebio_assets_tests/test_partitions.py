"""How experiments and organisms become partitions."""

from __future__ import annotations

import dagster as dg

from refinebio_assets.partitions import register_experiments, register_organisms
from refinebio_assets.sources.records import Experiment, Sample


def experiment(name: str, organism: str, samples: int, technology: str = "RNA-SEQ") -> Experiment:
    members = (Sample(f"s{n}", organism, technology, "LOCAL") for n in range(samples))
    return Experiment(name, "LOCAL", tuple(members), "")


def test_a_wave_is_sorted_by_organism_technology_and_size() -> None:
    wave = [
        experiment("E1", "MUS_MUSCULUS", 1),
        experiment("E2", "HOMO_SAPIENS", 9),
        experiment("E3", "HOMO_SAPIENS", 2),
        experiment("E4", "HOMO_SAPIENS", 5, "MICROARRAY"),
    ]
    with dg.instance_for_test() as instance:
        assert register_experiments(instance, wave) == ["E4", "E3", "E2", "E1"]
        assert register_experiments(instance, wave) == []
        later = [experiment("E0", "HOMO_SAPIENS", 1), *wave]
        assert register_experiments(instance, later) == ["E0"]
        registered = instance.get_dynamic_partitions("experiments")
        assert list(registered) == ["E4", "E3", "E2", "E1", "E0"]  # those known keep their place


def test_organisms_are_added_once() -> None:
    with dg.instance_for_test() as instance:
        assert register_organisms(instance, ["B_B", "A_A", "B_B"]) == ["A_A", "B_B"]
        assert register_organisms(instance, ["A_A", "C_C"]) == ["C_C"]
