"""Imputation: ours beside fancyimpute's IterativeSVD, from the same values, in one run.

Samples × genes in float32 from ten components and noise, in four platforms that each lack
genes of their own. Ours reads the matrix from disk in blocks and writes the imputed one;
fancyimpute has it in memory. Each measurement is a fresh process; times are taken inside it,
without start and imports, and ours without what compiling takes once per installation; CPU
seconds are those of all its threads. Peak memory is the kernel's VmHWM of the process, all
included. What is imputed is compared: with each other, and with the values that were hidden.

fancyimpute comes with the extra `fancyimpute`; without it, ours alone is measured.

    python benchmarks/imputation.py --json result.json       # 500 and 2,000 samples
    python benchmarks/imputation.py --quick                  # 500
    python benchmarks/imputation.py --large                  # and 20,000, ours only
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[1]
COMPONENTS, PLATFORMS, LACKING = 10, 4, 0.15
SAMPLES_AT_A_TIME = 200

OURS = """
import json, os, sys, time
from pathlib import Path
import numpy as np
from refinebio_assets.matrix.impute import IterativeSvd, impute
from refinebio_assets.matrix.missing_cells import SamplesInMemory

given, result, samples, genes, turning = sys.argv[1:]

class OnDisk:
    samples, genes = int(samples), int(genes)

    def __init__(self):
        self.file = os.open(given, os.O_RDONLY)

    def read_samples(self, first, end):
        values = np.empty((end - first, self.genes), np.float32)
        left, at = values.reshape(-1).view(np.uint8).data, 4 * first * self.genes
        while left:
            done = os.preadv(self.file, [left], at)
            left, at = left[done:], at + done
        return values

small = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
small[0, 0] = np.nan
impute(SamplesInMemory(small))                                         # by pattern
small[np.random.default_rng(1).random(small.shape) < 0.1] = np.nan
impute(SamplesInMemory(small))                                         # by cell
started, cpu = time.perf_counter(), time.process_time()
source = OnDisk()
found = impute(source, IterativeSvd(turning=float(turning)))
with open(result + ".bin", "wb") as file:
    for first in range(0, source.samples, 200):
        rows = slice(first, min(first + 200, source.samples))
        values = source.read_samples(rows.start, rows.stop)
        found.put(values, rows)
        values.tofile(file)
status = Path("/proc/self/status").read_text()
Path(result + ".json").write_text(json.dumps({
    "seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu,
    "peak_mib": int(status.split("VmHWM:")[1].split()[0]) / 1024,
    "iterations": len(found.changes), "passes": found.passes,
}))
"""

THEIRS = """
import json, sys, time
from pathlib import Path
import numpy as np
from refinebio_assets.matrix.fancyimpute_svd import impute_by_fancyimpute
import fancyimpute

given, result, samples, genes = sys.argv[1:]
started, cpu = time.perf_counter(), time.process_time()
values = np.fromfile(given, np.float32).reshape(int(samples), int(genes))
impute_by_fancyimpute(values, 10).tofile(result + ".bin")
status = Path("/proc/self/status").read_text()
Path(result + ".json").write_text(json.dumps({
    "seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu,
    "peak_mib": int(status.split("VmHWM:")[1].split()[0]) / 1024,
}))
"""


def make_input(folder: Path, samples: int, genes: int) -> None:
    """Write the matrix, and the one without gaps."""
    rng = np.random.default_rng(20010607)
    loadings = rng.normal(size=(COMPONENTS, genes)).astype(np.float32)
    loadings *= (3 * 0.7 ** np.arange(COMPONENTS, dtype=np.float32))[:, None]
    typical = rng.gamma(4, 2, genes).astype(np.float32)
    lacks = rng.random((PLATFORMS, genes)) < LACKING
    lacks[0] &= ~lacks[1:].all(axis=0)
    with (folder / "whole.bin").open("wb") as whole, (folder / "given.bin").open("wb") as given:
        for first in range(0, samples, SAMPLES_AT_A_TIME):
            some = min(SAMPLES_AT_A_TIME, samples - first)
            values = rng.standard_normal((some, COMPONENTS), np.float32) @ loadings
            values += typical
            values += 0.5 * rng.standard_normal(values.shape, np.float32)
            values.tofile(whole)
            values[lacks[rng.integers(PLATFORMS, size=some)]] = np.nan
            values.tofile(given)


def measure(folder: Path, name: str, script: str, *arguments: object) -> dict[str, Any]:
    """Run one fresh process; return what it says of itself."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    subprocess.run(
        [sys.executable, "-c", script, str(folder / "given.bin"), str(folder / name)]
        + [str(argument) for argument in arguments],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found


def difference(folder: Path, one: str, other: str, shape: tuple[int, int]) -> dict[str, float]:
    """The largest and the typical (rms) difference of two files' imputed values."""
    given, mine, theirs = (
        np.memmap(folder / f"{name}.bin", np.float32, "r", shape=shape)
        for name in ("given", one, other)
    )
    largest = squares = 0.0
    count = 0
    for first in range(0, shape[0], SAMPLES_AT_A_TIME):
        rows = slice(first, first + SAMPLES_AT_A_TIME)
        missing = np.isnan(given[rows])
        known: NDArray[np.bool_] = mine[rows][~missing] == given[rows][~missing]
        if not known.all():
            raise SystemExit(f"{one} has changed values that were known.")
        apart = (mine[rows][missing] - theirs[rows][missing]).astype(np.float64)
        if len(apart):
            largest = max(largest, float(np.abs(apart).max()))
            squares, count = squares + float((apart**2).sum()), count + len(apart)
    return {"largest": largest, "rms": (squares / count) ** 0.5}


def compare(folder: Path, samples: int, genes: int, *, theirs: bool) -> dict[str, Any]:
    """Measure on one matrix."""
    make_input(folder, samples, genes)
    shape = (samples, genes)
    ways = {"ours": 1e-3, "ours, one pass each": "inf"}
    result: dict[str, Any] = {"samples": samples}
    if theirs:
        result["fancyimpute"] = measure(folder, "fancyimpute", THEIRS, *shape)
        result["fancyimpute"]["from hidden"] = difference(folder, "fancyimpute", "whole", shape)
    for name, turning in ways.items():
        found = result[name] = measure(folder, name, OURS, *shape, turning)
        found["from hidden"] = difference(folder, name, "whole", shape)
        if theirs:
            found["from fancyimpute"] = difference(folder, name, "fancyimpute", shape)
    return result


def show(result: dict[str, Any], genes: int) -> None:
    """Print what was measured on one matrix."""
    print(f"{genes:,} genes × {result['samples']:,} samples")
    for name, found in result.items():
        if name == "samples":
            continue
        print(
            f"  {name:22}{found['seconds']:8.1f} s {found['cpu_seconds']:8.1f} CPU s"
            f"{found['peak_mib']:8.0f} MiB  rms from hidden {found['from hidden']['rms']:.4f}"
            + (f"  {found['iterations']} iterations" if "iterations" in found else "")
            + (f", {found['passes']} passes" if "passes" in found else "")
        )
        if "from fancyimpute" in found:
            apart = found["from fancyimpute"]
            times = result["fancyimpute"]["seconds"] / found["seconds"]
            print(
                f"    {times:.1f} × as fast; from fancyimpute: largest {apart['largest']:.1e}, "
                f"rms {apart['rms']:.1e}"
            )


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="500 samples only")
    parser.add_argument("--large", action="store_true", help="20,000 samples too, ours only")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results there")
    arguments = parser.parse_args()

    installed = importlib.util.find_spec("fancyimpute") is not None
    sizes = [(500, installed)] if arguments.quick else [(500, installed), (2_000, installed)]
    results = []
    for samples, theirs in sizes + ([(20_000, False)] if arguments.large else []):
        with tempfile.TemporaryDirectory() as folder:
            results.append(compare(Path(folder), samples, arguments.genes, theirs=theirs))
        show(results[-1], arguments.genes)
    if arguments.json:
        result = {
            "benchmark": "imputation",
            "genes": arguments.genes,
            "machine": {"cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
            "results": results,
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
