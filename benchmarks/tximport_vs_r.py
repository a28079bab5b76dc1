"""Gene-level estimates: ours beside R's tximport, on the same files, in one run.

Both get the same quant.sf files and gene map and give abundance, length and
lengthScaledTPM counts. Each measurement is a fresh process; the two take turns and the
median counts. Inside time runs from the first file read to the last array made, without
interpreter start and imports; whole time has those too. Peak memory is the kernel's
VmHWM of the process. The numbers are compared afterwards.

    python benchmarks/tximport_vs_r.py --json result.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

REPOSITORY = Path(__file__).resolve().parents[1]
ARRAYS = ("abundance", "length", "counts")

OURS = """
import json, sys, time
from pathlib import Path
import numpy as np
import polars as pl
from refinebio_assets.rnaseq.tximport import find_quant_files, gene_level, read_gene_map

folder, result = Path(sys.argv[1]), Path(sys.argv[2])
started = time.perf_counter()
gene_map = read_gene_map(folder / "genes.tsv")
found = gene_level(find_quant_files(folder / "quant"), gene_map)
scaled = found.length_scaled_tpm()
seconds = time.perf_counter() - started
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0])
for name, values in (("abundance", found.abundance), ("length", found.length), ("counts", scaled)):
    np.asfortranarray(values).T.tofile(result / f"{name}.bin")
(result / "genes.txt").write_text("\\n".join(found.genes) + "\\n")
(result / "result.json").write_text(json.dumps({
    "seconds": seconds, "peak_kib": peak,
    "version": f"Python {sys.version.split()[0]}, Polars {pl.__version__}, NumPy {np.__version__}",
}))
"""

THEIRS = """
arguments <- commandArgs(TRUE)
folder <- arguments[1]
result <- arguments[2]
suppressMessages({
  library(tximport)
  has_readr <- requireNamespace("readr", quietly = TRUE)
})
started <- proc.time()[["elapsed"]]
genes <- if (has_readr) {
  readr::read_tsv(file.path(folder, "genes.tsv"), col_names = FALSE, col_types = "cc",
    progress = FALSE)
} else {
  read.delim(file.path(folder, "genes.tsv"), header = FALSE)
}
samples <- list.files(file.path(folder, "quant"))
files <- setNames(file.path(folder, "quant", samples, "quant.sf"), samples)
notes <- character()
found <- withCallingHandlers(
  tximport(files, type = "salmon", tx2gene = genes, countsFromAbundance = "lengthScaledTPM"),
  message = function(note) {
    notes <<- c(notes, conditionMessage(note))
    invokeRestart("muffleMessage")
  })
seconds <- proc.time()[["elapsed"]] - started
peak <- grep("VmHWM", readLines("/proc/self/status"), value = TRUE)
for (name in c("abundance", "length", "counts"))
  writeBin(as.vector(found[[name]]), file.path(result, paste0(name, ".bin")))
writeLines(rownames(found$counts), file.path(result, "genes.txt"))
writeLines(sprintf('{"seconds": %.3f, "peak_kib": %s, "version": "%s", "reader": "%s"}',
  seconds, gsub("[^0-9]", "", peak),
  paste0("R ", getRversion(), ", tximport ", packageVersion("tximport"),
    if (has_readr) paste0(", readr ", packageVersion("readr")) else ", no readr"),
  trimws(grep("reading in files with", notes, value = TRUE)[1])),
  file.path(result, "result.json"))
"""


def make_input(folder: Path, samples: int, transcripts: int, genes: int) -> None:
    """Write quant.sf files as Salmon prints them, and the map; the same at every call."""
    rng = np.random.default_rng(20151230)
    names = [f"ENST{number:011d}.{number % 9 + 1}" for number in range(transcripts)]
    # Every gene has a transcript; the others go to few genes more often than to many.
    gene = np.concatenate(
        [np.arange(genes), (genes * rng.random(transcripts - genes) ** 2).astype(int)]
    )
    rng.shuffle(gene)
    pl.DataFrame({"t": names, "g": [f"ENSG{number:011d}" for number in gene]}).write_csv(
        folder / "genes.tsv", separator="\t", include_header=False
    )
    length = rng.lognormal(7.2, 0.8, transcripts).astype(int) + 60
    silent_gene = rng.random(genes) < 0.15
    typical = rng.lognormal(0, 2.2, transcripts) * ~silent_gene[gene]
    for sample in range(samples):
        expressed = rng.random(transcripts) < typical / (typical + 0.3)
        effective = np.maximum(1, length - rng.normal(190, 15, transcripts)).round(3)
        tpm = typical * rng.lognormal(0, 0.6, transcripts) * expressed
        tpm *= 1e6 / tpm.sum()
        reads = tpm * effective
        reads *= 3e7 / reads.sum()
        target = folder / "quant" / f"SRR{sample:07d}"
        target.mkdir(parents=True)
        pl.DataFrame(
            {
                "Name": names,
                "Length": length,
                "EffectiveLength": effective,
                "TPM": tpm.round(6),
                "NumReads": reads.round(3),
            }
        ).write_csv(target / "quant.sf", separator="\t")


def measure(command: list[str], folder: Path, result: Path) -> dict[str, Any]:
    """Run one fresh process; return what it says of itself and the whole wall time."""
    result.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "TZ": "UTC",  # tximport avoids the fast readr where R finds no time zone
    }
    started = time.perf_counter()
    subprocess.run([*command, str(folder), str(result)], check=True, env=environment)
    whole = time.perf_counter() - started
    said: dict[str, Any] = json.loads((result / "result.json").read_text())
    return {**said, "whole_seconds": whole}


def read_result(result: Path, samples: int) -> dict[str, Any]:
    """The arrays, rows in code point order of the genes."""
    genes = (result / "genes.txt").read_text().split()
    order = sorted(range(len(genes)), key=genes.__getitem__)
    arrays = {
        name: np.fromfile(result / f"{name}.bin").reshape(samples, len(genes))[:, order]
        for name in ARRAYS
    }
    return {"genes": sorted(genes), **arrays}


def largest_difference(ours: Path, theirs: Path, samples: int) -> float:
    """The largest |ours - theirs| / |theirs| over all arrays; infinite where only one is zero."""
    mine, reference = read_result(ours, samples), read_result(theirs, samples)
    if mine["genes"] != reference["genes"]:
        raise SystemExit("The two do not give the same genes.")
    largest = 0.0
    for name in ARRAYS:
        a, b = mine[name], reference[name]
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(a == b, 0.0, np.abs(a - b) / np.abs(b))
        largest = max(largest, float(relative.max()))
    return largest


def middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Median times and the largest peak of several runs."""
    return {
        **runs[0],
        "seconds": statistics.median(run["seconds"] for run in runs),
        "whole_seconds": statistics.median(run["whole_seconds"] for run in runs),
        "peak_mib": max(run["peak_kib"] for run in runs) / 1024,
        "runs": [{key: run[key] for key in ("seconds", "whole_seconds")} for run in runs],
    }


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--transcripts", type=int, default=60_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results there")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_input(folder, arguments.samples, arguments.transcripts, arguments.genes)
        (folder / "ours.py").write_text(OURS)
        (folder / "theirs.R").write_text(THEIRS)
        commands = {
            "ours": [sys.executable, str(folder / "ours.py")],
            "R": ["Rscript", "--vanilla", str(folder / "theirs.R")],
        }
        runs: dict[str, list[dict[str, Any]]] = {who: [] for who in commands}
        for _ in range(arguments.repeats):
            for who, command in commands.items():
                runs[who].append(measure(command, folder, folder / who))
        difference = largest_difference(folder / "ours", folder / "R", arguments.samples)

    ours, theirs = middle(runs["ours"]), middle(runs["R"])
    ratio = {key: theirs[key] / ours[key] for key in ("seconds", "whole_seconds", "peak_mib")}
    result = {
        "benchmark": "tximport_vs_r",
        "samples": arguments.samples,
        "transcripts": arguments.transcripts,
        "genes": arguments.genes,
        "machine": {"cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "ours": ours,
        "R": theirs,
        "R_over_ours": ratio,
        "largest_relative_difference": difference,
    }
    print(
        f"tximport, {arguments.samples} samples, {arguments.transcripts} transcripts, "
        f"{arguments.genes} genes, median of {arguments.repeats}"
    )
    print(f"  ours: {ours['version']}")
    print(f"  R:    {theirs['version']} ({theirs['reader']})")
    print(f"{'':24}{'ours':>10}{'R':>10}{'R / ours':>10}")
    for label, key in (
        ("inside, seconds", "seconds"),
        ("whole process, seconds", "whole_seconds"),
        ("peak memory, MiB", "peak_mib"),
    ):
        print(f"{label:24}{ours[key]:10.3f}{theirs[key]:10.3f}{ratio[key]:10.1f}")
    print(f"largest relative difference: {difference:.1e}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
