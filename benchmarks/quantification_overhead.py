"""How much longer our quantification takes than plain `salmon quant` on the same reads.

Both run in turn, in one go, on made-up reads from a made-up transcriptome; each figure is
the median over the rounds, the ratio is taken round by round. "our quantification" is the
work of the asset `transcript_quantification` for one sample: choosing the index, running
Salmon, reading its output, publishing the folder. Reading and checking the raw files
(`raw_samples`) and the fixed cost of a Dagster run are told apart from it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import dagster as dg

from refinebio_assets.assets.raw import fetch_raw_samples
from refinebio_assets.assets.rnaseq import quantify_transcripts
from refinebio_assets.assets.stage import ExperimentsConfig, Toolbox
from refinebio_assets.assets.survey import survey_experiment
from refinebio_assets.partitions import register_experiments, register_organisms
from refinebio_assets.resources.downloads import Downloads
from refinebio_assets.resources.http import Http
from refinebio_assets.resources.r import R
from refinebio_assets.resources.references import newest_index
from refinebio_assets.resources.registry import register_references, register_sample_sheet
from refinebio_assets.resources.salmon import Salmon
from refinebio_assets.resources.sra_toolkit import SraToolkit
from refinebio_assets.resources.storage import Storage
from refinebio_assets.rnaseq.quantification import SalmonOptions, read_arguments
from refinebio_assets.running import run_job
from refinebio_assets_tests.synthetic import (
    make_transcriptome,
    write_catalogue,
    write_pair,
    write_sheet,
)

EXPERIMENT, SAMPLE = "BENCHMARK", "sample"


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, dg.instance_for_test() as instance:
        os.environ["REFINEBIO_HOME"] = f"{folder}/home"
        toolbox = prepare(Path(folder), instance, options.pairs)
        result = measure(Path(folder), instance, toolbox, options.rounds)
    result |= {"pairs": options.pairs, "rounds": options.rounds, "threads": os.cpu_count()}
    for name, value in result.items():
        print(f"{name:34} {value:>10.3f}" if isinstance(value, float) else f"{name:34} {value:>10}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


def prepare(folder: Path, instance: dg.DagsterInstance, pairs: int) -> Toolbox:
    """Reference, reads and records, as a user would have them."""
    storage = Storage()
    transcriptome = make_transcriptome("HOMO_SAPIENS", genes=2000)
    catalogue = write_catalogue(folder / "inputs", transcriptome)
    register_references(storage, str(catalogue))
    register_organisms(instance, [transcriptome.organism])
    _succeed(run_job(instance, "build_references", [transcriptome.organism]))
    files = write_pair(folder / "inputs", SAMPLE, transcriptome, pairs)
    row = {"experiment": EXPERIMENT, "sample": SAMPLE, "organism": "Homo sapiens", "files": files}
    sheet = write_sheet(folder / "inputs" / "sheet.tsv", [row])
    register_experiments(instance, register_sample_sheet(storage, str(sheet)))
    log = lambda _line: None  # noqa: E731
    toolbox = Toolbox(
        storage,
        Http(),
        Downloads(),
        SraToolkit(),
        Salmon(),
        R(),
        ExperimentsConfig(),
        log,
        "benchmark",
    )
    survey_experiment(EXPERIMENT, toolbox)
    return toolbox


def measure(
    folder: Path, instance: dg.DagsterInstance, toolbox: Toolbox, rounds: int
) -> dict[str, float]:
    """Seconds and ratios."""
    checking = _seconds(lambda: fetch_raw_samples(EXPERIMENT, toolbox))
    plain, ours, whole = [], [], []
    reads = [folder / "inputs" / f"{SAMPLE}_{mate}.fastq.gz" for mate in (1, 2)]
    index = newest_index(toolbox.storage, "HOMO_SAPIENS", "long").folder
    command = ["salmon", "--no-version-check", "quant", "-i", index, "-o", folder / "plain"]
    command += [*read_arguments(reads, "PAIRED", SalmonOptions()), "-p", str(os.cpu_count())]
    quant = toolbox.storage.quant_folder(EXPERIMENT, SAMPLE)
    salmons_peak = 0.0
    Path("/proc/self/clear_refs").write_text("5")  # making the reads took memory: begin anew
    for _ in range(rounds):
        shutil.rmtree(folder / "plain", ignore_errors=True)
        start = time.perf_counter()
        salmons_peak = max(salmons_peak, _run_watched(command))
        plain.append(time.perf_counter() - start)
        shutil.rmtree(quant, ignore_errors=True)
        ours.append(_seconds(lambda: quantify_transcripts(EXPERIMENT, toolbox)))
        shutil.rmtree(quant, ignore_errors=True)
        whole.append(
            _seconds(lambda: _succeed(run_job(instance, "process_experiments", [EXPERIMENT])))
        )
    ratios = [b / a for a, b in zip(plain, ours, strict=True)]
    return {
        "salmon_quant_seconds": statistics.median(plain),
        "our_quantification_seconds": statistics.median(ours),
        "ratio": statistics.median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        "checking_raw_files_seconds": checking,
        "whole_dagster_run_seconds": statistics.median(whole),
        "our_process_peak_mib": _peak_mib("self"),
        "salmon_peak_mib": salmons_peak,
    }


def _run_watched(command: list[str | Path]) -> float:
    """Run a program to its end and return its peak memory, looked up while it runs.

    (What the system keeps of a finished child includes the parent's memory before exec.)
    """
    peak = 0.0
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if Path(f"/proc/{process.pid}/comm").read_text().strip() == command[0]:
                peak = max(peak, _peak_mib(str(process.pid)))
            time.sleep(0.02)
    assert process.returncode == 0
    return peak


def _peak_mib(process: str) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    found = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0].split()[1]) / 1024 if found else 0.0


def _seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _succeed(batches) -> None:
    for batch in batches:
        assert not batch.errors, batch.errors


if __name__ == "__main__":
    main()
