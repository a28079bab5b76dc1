"""Imputation: ours beside fancyimpute's IterativeSVD, from the same values, in one run.

Samples × genes in float32 from ten components and noise, in four platforms that each lack
genes of their own. Ours reads the matrix from disk in blocks and writes the imputed one;
fancyimpute has it in memory. Ours is also started from the factors of the first nine tenths of
the samples, as a compendium that has grown. Each measurement is a fresh process; times are
taken inside it, without start and imports, and ours without what compiling takes once per
installation; CPU seconds are those of all its threads. Peak memory is the kernel's VmHWM of
the process, all included. What is imputed is compared: with each other, and with the values
that were hidden. Beyond 20,000 samples ours is measured alone, and writes nothing.

fancyimpute comes with the extra `fancyimpute`, or is that of another Python; without it, ours
alone is measured. It needs about 9 GB for 20,000 samples.

    python benchmarks/imputation.py --json result.json       # 500, 2,000 and 5,000 samples
    python benchmarks/imputation.py --samples 20000 --fancyimpute /its/python
    python benchmarks/imputation.py --samples 100000 --folder /has/8/GB
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
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
MOST_COMPARED = 20_000

OURS = """
import json, os, sys, time
from pathlib import Path
import numpy as np
from refinebio_assets.matrix.impute import IterativeSvd, impute
from refinebio_assets.matrix.kept_factors import read_factors, save_factors
from refinebio_assets.matrix.missing_cells import SamplesInMemory

given, result, samples, genes, before, write = sys.argv[1:]
samples, genes, before = int(samples), int(genes), int(before)

class OnDisk:
    def __init__(self, samples):
        self.file, self.samples, self.genes = os.open(given, os.O_RDONLY), samples, genes

    def read_samples(self, first, end):
        values = np.empty((end - first, self.genes), np.float32)
        left, at = values.reshape(-1).view(np.uint8).data, 4 * first * self.genes
        while left:
            done = os.preadv(self.file, [left], at)
            left, at = left[done:], at + done
        return values

small = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
small[0, 0] = np.nan
impute(SamplesInMemory(small))                                         # compiled now
start, names = None, [f"GENE{each}" for each in range(genes)]
if before:
    earlier = impute(OnDisk(before))
    numbers = [f"GSM{each}" for each in range(samples)]
    save_factors(Path(result + ".npz"), earlier.fill, earlier.basis, names, numbers[:before])
    start = read_factors(Path(result + ".npz")).aligned(names, numbers)
passes = []
started, cpu = time.perf_counter(), time.process_time()
source = OnDisk(samples)
found = impute(source, start=start, on_pass=lambda _: passes.append(time.perf_counter()))
imputed = time.perf_counter()
if int(write):
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
    "seconds_imputing": imputed - started,
    "seconds_of_passes": np.diff([started, *passes]).tolist(),
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


def make_input(folder: Path, samples: int, genes: int, *, whole: bool) -> None:
    """Write the matrix and, if asked, the one without gaps."""
    rng = np.random.default_rng(20010607)
    loadings = rng.normal(size=(COMPONENTS, genes)).astype(np.float32)
    loadings *= (3 * 0.7 ** np.arange(COMPONENTS, dtype=np.float32))[:, None]
    typical = rng.gamma(4, 2, genes).astype(np.float32)
    lacks = rng.random((PLATFORMS, genes)) < LACKING
    lacks[0] &= ~lacks[1:].all(axis=0)
    with (folder / "whole.bin").open("wb") as full, (folder / "given.bin").open("wb") as given:
        for first in range(0, samples, SAMPLES_AT_A_TIME):
            some = min(SAMPLES_AT_A_TIME, samples - first)
            values = rng.standard_normal((some, COMPONENTS), np.float32) @ loadings
            values += typical
            values += 0.5 * rng.standard_normal(values.shape, np.float32)
            if whole:
                values.tofile(full)
            values[lacks[rng.integers(PLATFORMS, size=some)]] = np.nan
            values.tofile(given)


def measure(
    folder: Path, name: str, python: str, script: str, *arguments: object
) -> dict[str, Any]:
    """Run one fresh process; return what it says of itself."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    subprocess.run(
        [python, "-c", script, str(folder / "given.bin"), str(folder / name)]
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


def compare(folder: Path, samples: int, genes: int, theirs: str | None) -> dict[str, Any]:
    """Measure on one matrix; `theirs` is the Python that has fancyimpute."""
    alone = samples > MOST_COMPARED
    make_input(folder, samples, genes, whole=not alone)
    shape = (samples, genes)
    result: dict[str, Any] = {"samples": samples}
    if theirs and not alone:
        found = result["fancyimpute"] = measure(folder, "fancyimpute", theirs, THEIRS, *shape)
        found["from hidden"] = difference(folder, "fancyimpute", "whole", shape)
    for name, before in {"ours": 0, "ours, grown": samples * 9 // 10}.items():
        found = measure(folder, name, sys.executable, OURS, *shape, before, int(not alone))
        result[name] = found
        if not alone:
            found["from hidden"] = difference(folder, name, "whole", shape)
        if "fancyimpute" in result:
            found["from fancyimpute"] = difference(folder, name, "fancyimpute", shape)
    return result


def show(result: dict[str, Any], genes: int) -> None:
    """Print what was measured on one matrix."""
    print(f"{genes:,} genes × {result['samples']:,} samples")
    for name, found in result.items():
        if name == "samples":
            continue
        line = (
            f"  {name:14}{found['seconds']:8.1f} s {found['cpu_seconds']:8.1f} CPU s"
            f"{found['peak_mib']:8.0f} MiB"
        )
        if "from hidden" in found:
            line += f"  rms from hidden {found['from hidden']['rms']:.4f}"
        if "passes" in found:
            line += f"  {found['iterations']} iterations, {found['passes']} passes"
            line += f" of {np.mean(found['seconds_of_passes'][1:] or [math.nan]):.1f} s"
        print(line)
        if "from fancyimpute" in found:
            apart, other = found["from fancyimpute"], result["fancyimpute"]
            print(
                f"    {other['seconds'] / found['seconds']:.1f} × as fast, "
                f"{other['cpu_seconds'] / found['cpu_seconds']:.1f} × in CPU time; "
                f"from fancyimpute: largest {apart['largest']:.1e}, rms {apart['rms']:.1e}"
            )


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--samples", type=int, nargs="+", default=[500, 2_000, 5_000])
    parser.add_argument(
        "--fancyimpute", metavar="PYTHON", help="a Python that has fancyimpute, if not this one"
    )
    parser.add_argument("--folder", type=Path, help="where matrices are put for the time being")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results there")
    arguments = parser.parse_args()

    here = importlib.util.find_spec("fancyimpute") is not None
    theirs = arguments.fancyimpute or (sys.executable if here else None)
    results = []
    for samples in arguments.samples:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            results.append(compare(Path(folder), samples, arguments.genes, theirs))
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
