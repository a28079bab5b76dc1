"""The examples for DE tools: the genes that were made to differ are found, and by how much.

The truth is `simulate.py`'s: 20 genes four times up, 20 down, 12 that only switch to a longer
transcript, 348 alike. The bounds were measured, and leave room for what Salmon's threads do:
all 40 were found by each tool, no other gene was, and fold changes were within 0.56 of log2.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "differential_expression"
EXPERIMENT = "SIMULATED-READS"
REFERENCE = "reference/EXEMPLI_GRATIA/1"
MOST_FALSE = 5  # of 360, where 5 % of what is called may be
MOST_OFF, USUALLY_OFF = 0.9, 0.3  # of log2 of 4-fold changes: any, the median

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Made:
    """The simulated experiment, and what the `refinebio` command made of it."""

    folder: Path
    home: Path
    dataset: Path
    quantified: Path

    def run(self, *command: object) -> str:
        environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
        done = subprocess.run(
            [*map(str, command)], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def with_truth(self, results: Path) -> pl.DataFrame:
        truth = pl.read_csv(self.folder / "truth.tsv", separator="\t")
        found = pl.read_csv(results, separator="\t", null_values=["NA", ""])
        assert set(found["gene"]) <= set(truth["gene"])
        return truth.join(found, on="gene", how="left").with_columns(
            called=(pl.col("padj") < 0.05).fill_null(False),
            off=(pl.col("log2FoldChange") - pl.col("log2_fold_change")).abs(),
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("expression")
    home, reads = folder / "home", folder / "reads"
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = {**os.environ, "DAGSTER_HOME": str(folder), "REFINEBIO_HOME": str(home)}

    def refinebio(*arguments: object) -> str:
        command = [sys.executable, "-c", "from refinebio_assets.cli import app; app()"]
        done = subprocess.run(
            [*command, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    subprocess.run([sys.executable, EXAMPLE / "simulate.py", reads], check=True)
    refinebio("reference", reads / "reference.yaml")
    refinebio("survey", reads / "samples.tsv")
    refinebio("process", EXPERIMENT)
    [*_, dataset] = refinebio(
        "dataset", "create", "--experiment", EXPERIMENT, "--quant-sf-only"
    ).split()
    own = folder / "quantified"
    files = sorted(reads.glob("*.fastq.gz"))
    options = ("--organism", "Exempli gratia", "-o", own)
    refinebio("quantify", *files, *options, "--each-alone")  # control-1 and -2 are no mates
    return Made(reads, home, Path(dataset), own)


def assert_truth_is_found(table: pl.DataFrame) -> None:
    differ, others = (table.filter(pl.col("log2_fold_change") != 0),
                      table.filter(pl.col("log2_fold_change") == 0))  # fmt: skip
    assert (len(differ), len(others)) == (40, 360)
    assert differ["called"].all()
    assert others["called"].sum() <= MOST_FALSE
    assert (differ["log2FoldChange"] * differ["log2_fold_change"] > 0).all()
    assert differ["off"].max() < MOST_OFF
    assert differ["off"].median() < USUALLY_OFF
    switched = table.filter(role="switched")
    assert switched["off"].max() < MOST_OFF
    assert switched["called"].sum() <= 1


def rscript(*packages: str) -> str:
    """The program, or a skip that says what is missing."""
    program = shutil.which("Rscript")
    if program is None:
        pytest.skip("R is not installed: containers/setup.sh test")
    for package in packages:
        asked = [
            program,
            "-e",
            f"if (!requireNamespace('{package}', quietly = TRUE)) quit(status = 1)",
        ]
        if subprocess.run(asked, capture_output=True, check=False).returncode:
            pytest.skip(f"R has no package {package}: containers/setup.sh test")
    return program


def test_pydeseq2(made: Made, tmp_path: Path) -> None:
    if importlib.util.find_spec("pydeseq2") is None:
        pytest.skip("pydeseq2 is not installed: pip install pydeseq2")
    script, catalogue = EXAMPLE / "with_pydeseq2.py", made.home / "refinebio.duckdb"
    groups = (EXPERIMENT, "condition", "control", "treated")
    scaled, counts = tmp_path / "scaled.tsv", tmp_path / "counts.tsv"
    said = made.run(sys.executable, script, catalogue, *groups, scaled)
    assert "of 400 genes differ" in said
    assert_truth_is_found(made.with_truth(scaled))
    made.run(sys.executable, script, catalogue, *groups, counts, "--values", "counts")
    fooled = made.with_truth(counts).filter(role="switched")
    assert fooled["called"].all()  # which is why the example takes the other values
    assert fooled["log2FoldChange"].median() > 1


def test_tximport_of_an_exported_dataset(made: Made, tmp_path: Path) -> None:
    program = rscript("tximport", "DESeq2", "edgeR")
    transcripts = made.quantified / "transcripts.tsv"
    arguments = (transcripts, made.folder / "samples.tsv", "control", tmp_path)
    said = made.run(program, EXAMPLE / "with_tximport.R", made.dataset, *arguments)
    assert "deseq2.tsv:" in said
    for tool in ("deseq2", "edger"):
        assert_truth_is_found(made.with_truth(tmp_path / f"{tool}.tsv"))


def test_tximeta_of_a_users_own_reads(made: Made, tmp_path: Path) -> None:
    program = rscript("tximeta", "DESeq2", "GenomicFeatures")
    made.run(
        program,
        EXAMPLE / "with_tximeta.R",
        made.quantified / "salmon",
        made.folder / "samples.tsv",
        "control",
        made.home / REFERENCE / "salmon_index_long",
        made.folder / "transcripts.fa.gz",
        made.folder / "transcripts.gtf",
        tmp_path / "out.tsv",
    )
    assert_truth_is_found(made.with_truth(tmp_path / "out.tsv"))
