"""From a sample sheet to SQL, with the real Salmon, through Dagster."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from refinebio_assets.rnaseq.tximport import gene_level
from refinebio_assets_tests.end_to_end.conftest import HUMAN, MOUSE, Laboratory
from refinebio_assets_tests.synthetic import make_pairs, write_fastq, write_pair, write_sheet


@pytest.fixture
def experiment(laboratory: Laboratory) -> Laboratory:
    """LAB-1: two human samples (paired, 76 bases; single, 50 bases) and one of the mouse."""
    inputs = laboratory.inputs
    single, _ = make_pairs(HUMAN, 3000, length=50, seed=11)
    write_fastq(inputs / "single.fastq", single)
    rows = [
        {"sample": "paired", "organism": "Homo sapiens", "sex": "female", "batch": "A",
         "files": write_pair(inputs, "paired", HUMAN, 3000)},
        {"sample": "single", "organism": "Homo sapiens", "batch": "B", "files": "single.fastq"},
        {"sample": "mouse", "organism": "Mus musculus",
         "files": write_pair(inputs, "mouse", MOUSE, 3000)},
    ]  # fmt: skip
    write_sheet(inputs / "sheet.tsv", [{"experiment": "LAB-1", **row} for row in rows])
    laboratory.survey(inputs / "sheet.tsv")
    return laboratory


def test_values_are_tximport_of_what_salmon_wrote(experiment: Laboratory) -> None:
    [batch] = experiment.process("LAB-1", parallel_samples=2)
    assert batch.errors == []
    assert experiment.statuses() == {
        "paired": ("processed", None),
        "single": ("processed", None),
        "mouse": ("processed", None),
    }
    gene_map = pl.DataFrame({"transcript": HUMAN.genes.keys(), "gene": HUMAN.genes.values()})
    for sample in ("paired", "single"):  # different indices, so each by itself
        quant = experiment.storage.quant_folder("LAB-1", sample) / "quant.sf"
        expected = gene_level({sample: quant}, gene_map)
        rows = experiment.ask(
            "SELECT gene, counts, effective_length, tpm, length_scaled_tpm FROM gene_counts "
            "WHERE sample = ? ORDER BY gene",
            sample,
        )
        assert [row[0] for row in rows] == expected.genes
        arrays = (
            expected.counts,
            expected.length,
            expected.abundance,
            expected.length_scaled_tpm(),
        )
        for column, matrix in enumerate(arrays, start=1):
            found = np.array([row[column] for row in rows])
            np.testing.assert_allclose(found, matrix[:, 0], rtol=1e-6)  # stored as float32


def test_index_follows_read_length(experiment: Laboratory) -> None:
    experiment.process("LAB-1")
    rows = experiment.ask(
        "SELECT sample, layout, index_length, mean_read_length, percent_mapped > 90, "
        "len(raw_sha256) FROM quantifications ORDER BY sample"
    )
    assert rows == [
        ("mouse", "PAIRED", "long", 76.0, True, 2),
        ("paired", "PAIRED", "long", 76.0, True, 2),
        ("single", "SINGLE", "short", 50.0, True, 1),
    ]


def test_salmon_folder_is_complete_and_flags_are_the_reference_systems(
    experiment: Laboratory,
) -> None:
    experiment.process("LAB-1")
    folder = experiment.storage.quant_folder("LAB-1", "paired")
    expected = {"quant.sf", "cmd_info.json", "lib_format_counts.json", "aux_info", "logs"}
    assert expected <= {path.name for path in folder.iterdir()}
    [(command,)] = experiment.ask("SELECT command FROM quantifications WHERE sample = 'paired'")
    assert '"gcBias"' in command
    assert '"seqBias"' in command
    assert '"libType": "A"' in command
    [(command,)] = experiment.ask("SELECT command FROM quantifications WHERE sample = 'single'")
    assert '"gcBias"' not in command


def test_submitted_metadata_can_be_queried(experiment: Laboratory) -> None:
    experiment.process("LAB-1")
    assert experiment.ask("SELECT sample FROM samples WHERE sex = 'female'") == [("paired",)]
    assert experiment.ask(
        "SELECT sample, value FROM sample_attributes WHERE key = 'batch' ORDER BY sample"
    ) == [("paired", "A"), ("single", "B")]
    assert experiment.ask("SELECT organisms, technology FROM experiments") == [
        (["HOMO_SAPIENS", "MUS_MUSCULUS"], "RNA-SEQ")
    ]


def test_materializations_checks_and_metadata_are_in_dagster(experiment: Laboratory) -> None:
    [batch] = experiment.process("LAB-1", warn_reads=10_000, warn_genes=10)
    instance = experiment.instance
    for asset in ("experiment_metadata", "raw_samples", "transcript_quantification", "gene_counts"):
        assert instance.get_materialized_partitions(dg.AssetKey(asset)) == {"LAB-1"}
    event = instance.get_latest_materialization_event(dg.AssetKey("transcript_quantification"))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["n_processed"].value == 3
    assert "data:image/svg+xml" in str(metadata["mapping_rates"].value)
    assert len(str(metadata)) < 10_000
    checks = {each.check_name: each for each in _checks(instance, batch.run_id)}
    assert not checks["reads"].passed
    assert checks["reads"].severity == dg.AssetCheckSeverity.WARN
    assert "3,000 fragments" in checks["reads"].description
    assert checks["same_samples"].passed
    assert checks["genes_detected"].passed


def _checks(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetCheckEvaluation]:
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    records = instance.get_records_for_run(run_id, of_type=kind).records
    return [record.event_log_entry.dagster_event.event_specific_data for record in records]


def test_a_rerun_repeats_no_finished_sample(experiment: Laboratory) -> None:
    experiment.process("LAB-1")
    before = {path: path.stat().st_ino for path in _quant_files(experiment)}
    rows = [{"experiment": "LAB-1", "sample": "late", "organism": "Homo sapiens",
             "files": write_pair(experiment.inputs, "late", HUMAN, 500, seed=3)}]  # fmt: skip
    sheet = experiment.inputs / "sheet.tsv"
    late = write_sheet(experiment.inputs / "late.tsv", rows).read_text().splitlines()
    header = sheet.read_text().splitlines()[0].split("\t")
    row = dict(zip(late[0].split("\t"), late[1].split("\t"), strict=True))
    with sheet.open("a") as file:
        file.write("\t".join(row.get(name, "") for name in header) + "\n")
    experiment.process("LAB-1")
    after = {path: path.stat().st_ino for path in _quant_files(experiment)}
    assert len(after) == 4
    assert before.items() <= after.items()
    assert set(experiment.statuses().values()) == {("processed", None)}


def _quant_files(laboratory: Laboratory) -> list[Path]:
    return sorted(laboratory.storage.processed("quant").glob("*/*/quant.sf"))
