"""Quantile normalisation to a target: ours beside R's preprocessCore, in one run.

Both read the same float32 matrix (genes × samples, many ties), determine its target and
bring every sample to it, in float64. Each measurement is a fresh process; the two take turns
and the median counts. Times are taken inside, without start, reading and writing; ours
leaves out what compiling the kernels takes once per installation. Peak memory is the
kernel's VmHWM of the process, reading included. The numbers are compared afterwards.

    python benchmarks/quantile_normalisation.py --json result.json
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

REPOSITORY = Path(__file__).resolve().parents[1]

OURS = """
import json, sys, time
from pathlib import Path
import numpy as np
import numba
from refinebio_assets.matrix.quantile import apply_target, determine_target

matrix, genes, threads, result = sys.argv[1], *map(int, sys.argv[2:4]), Path(sys.argv[4])
x = np.fromfile(matrix, np.float32).reshape(-1, genes).T
apply_target(x[:2, :1], np.zeros(2))
started = time.perf_counter()
target = determine_target(x.T)
determined = time.perf_counter()
found = apply_target(x, target, threads=threads)
applied = time.perf_counter()
status = Path("/proc/self/status").read_text()
found.T.tofile(result / "applied.bin")
(result / "result.json").write_text(json.dumps({
    "determine": determined - started,
    "apply": applied - determined,
    "peak_mib": int(status.split("VmHWM:")[1].split()[0]) / 1024,
    "version": f"Python {sys.version.split()[0]}, NumPy {np.__version__}, "
        f"Numba {numba.__version__}",
}))
"""

THEIRS = """
arguments <- commandArgs(TRUE)
genes <- as.integer(arguments[2])
result <- arguments[4]
suppressMessages(library(preprocessCore))
cells <- file.size(arguments[1]) / 4
x <- matrix(readBin(arguments[1], "numeric", cells, size = 4), genes)
started <- proc.time()[["elapsed"]]
target <- normalize.quantiles.determine.target(x)
determined <- proc.time()[["elapsed"]]
found <- normalize.quantiles.use.target(x, target)
applied <- proc.time()[["elapsed"]]
peak <- as.numeric(gsub("[^0-9]", "", grep("VmHWM", readLines("/proc/self/status"), value = TRUE)))
writeBin(as.vector(found), file.path(result, "applied.bin"))
writeLines(sprintf('{"determine": %.3f, "apply": %.3f, "peak_mib": %.1f, "version": "%s"}',
  determined - started, applied - determined, peak / 1024,
  paste0("R ", getRversion(), ", preprocessCore ", packageVersion("preprocessCore"))),
  file.path(result, "result.json"))
"""


def make_input(path: Path, samples: int, genes: int) -> None:
    """Write values on the log scale with two decimals: about one in ten thousand is alone."""
    rng = np.random.default_rng(20030122)
    typical = rng.gamma(4, 2, genes)
    with path.open("wb") as file:
        for _ in range(samples):
            values = typical + rng.normal(0, 0.5, genes)
            file.write(values.round(2).astype(np.float32).tobytes())


def measure(command: list[str], result: Path, threads: int) -> dict[str, Any]:
    """Run one fresh process; return what it says of itself and the whole wall time."""
    result.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "R_THREADS": str(threads)}
    started = time.perf_counter()
    subprocess.run([*command, str(result)], check=True, env=environment)
    said: dict[str, Any] = json.loads((result / "result.json").read_text())
    return {**said, "whole": time.perf_counter() - started}


def largest_difference(ours: Path, theirs: Path) -> float:
    """The largest |ours - theirs| of all cells."""
    mine, reference = (np.memmap(each / "applied.bin", np.float64, "r") for each in (ours, theirs))
    if mine.shape != reference.shape:
        raise SystemExit("The two do not give as many values.")
    return float(np.abs(mine - reference).max())


def compare(samples: int, genes: int, threads: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Measure both on one matrix."""
    make_input(folder / "matrix.bin", samples, genes)
    given = [str(folder / "matrix.bin"), str(genes), str(threads)]
    commands = {
        "ours": [sys.executable, str(folder / "ours.py"), *given],
        "R": ["Rscript", "--vanilla", str(folder / "theirs.R"), *given],
    }
    runs: dict[str, list[dict[str, Any]]] = {who: [] for who in commands}
    for _ in range(repeats):
        for who, command in commands.items():
            runs[who].append(measure(command, folder / who, threads))
    middle = {
        who: {
            **several[0],
            **{
                key: statistics.median(run[key] for run in several)
                for key in ("determine", "apply", "whole", "peak_mib")
            },
        }
        for who, several in runs.items()
    }
    return {
        "samples": samples,
        **middle,
        "R_over_ours": {
            key: middle["R"][key] / middle["ours"][key]
            for key in ("determine", "apply", "whole", "peak_mib")
        },
        "largest_difference": largest_difference(folder / "ours", folder / "R"),
    }


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results there")
    arguments = parser.parse_args()

    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ours.py").write_text(OURS)
        (folder / "theirs.R").write_text(THEIRS)
        for samples in arguments.samples:
            found = compare(samples, arguments.genes, arguments.threads, arguments.repeats, folder)
            results.append(found)
            print(
                f"{arguments.genes} genes × {samples} samples, {arguments.threads} threads, "
                f"median of {arguments.repeats}"
            )
            print(f"  ours: {found['ours']['version']}")
            print(f"  R:    {found['R']['version']}")
            print(f"{'':24}{'ours':>10}{'R':>10}{'R / ours':>10}")
            for label, key in (
                ("target, seconds", "determine"),
                ("applied, seconds", "apply"),
                ("whole process, seconds", "whole"),
                ("peak memory, MiB", "peak_mib"),
            ):
                ours, theirs = found["ours"][key], found["R"][key]
                ratio = found["R_over_ours"][key]
                print(f"{label:24}{ours:10.3f}{theirs:10.3f}{ratio:10.1f}")
            print(f"largest difference: {found['largest_difference']:.1e}")
    if arguments.json:
        result = {
            "benchmark": "quantile_normalisation",
            "genes": arguments.genes,
            "threads": arguments.threads,
            "machine": {"cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
            "results": results,
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
