"""A dataset's matrix: ours beside the reference's way, from the same values, in one run.

The samples are of arrays, in experiments of 100 on two platforms, of which one lacks some
genes. The reference's way is one process with pandas: a TSV of each sample is read and
cleaned, one sample after the other is joined, R's preprocessCore (in the same process, through
rpy2) brings all to the target, and pandas writes the TSV. Ours reads the experiments' Parquet
files; the check of upper halves and the components, which it makes besides, count as writing.
Nothing is scaled. Each is a fresh process; times are taken inside it, without start and
imports, and ours without what compiling takes once per installation. Peak memory is the
kernel's VmHWM of the process, all included. The two TSVs are compared.

    python benchmarks/dataset.py --json result.json          # 200 and 2,000 samples
    python benchmarks/dataset.py --quick                     # 200
    python benchmarks/dataset.py --large                     # and 10,000, ours only
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from refinebio_assets.matrix.expression import write_array_values

REPOSITORY = Path(__file__).resolve().parents[1]
ORGANISM = "HOMO_SAPIENS"
PER_EXPERIMENT = 100
COMPARED_GENES = 2_000
FORMATS = ("tsv", "parquet", "h5ad")

OURS = """
import json, sys, time
from pathlib import Path
import numpy as np
from refinebio_assets.publish.matrices import GroupSample, assemble
from refinebio_assets.publish.recipe import Recipe

folder, formats = Path(sys.argv[1]), tuple(sys.argv[2].split(","))
asked = [line.split("\\t") for line in (folder / "samples.txt").read_text().splitlines()]
samples = [
    GroupSample(sample, "HOMO_SAPIENS", "MICROARRAY", folder / f"{experiment}.parquet")
    for sample, experiment in asked
]
target = {"HOMO_SAPIENS": np.loadtxt(folder / "target.tsv")}
ends = {}

def told(stage, done, total):
    ends[stage] = time.perf_counter()

def make(name, some, on_progress):
    return assemble(name, some, recipe=Recipe({}, formats=formats), targets=target,
        folder=folder, scratch=folder, on_progress=on_progress)

make("warm", samples[:2], lambda *_: None)
started = time.perf_counter()
made = make("ours", samples, told)
seconds = time.perf_counter() - started
status = Path("/proc/self/status").read_text()
parts, before = {}, started
for stage, end in ends.items():
    parts[stage], before = end - before, end
(folder / "ours.json").write_text(json.dumps({
    "seconds": seconds, "peak_mib": int(status.split("VmHWM:")[1].split()[0]) / 1024,
    "parts": parts, "genes": len(made.genes),
    "bytes": {kind: path.stat().st_size for kind, path in made.files.items()},
}))
"""

THEIRS = """
import json, sys, time
from pathlib import Path
import numpy as np
import pandas as pd
import rpy2.robjects as robjects
from rpy2.robjects import numpy2ri
from rpy2.robjects.packages import importr

folder = Path(sys.argv[1])
samples = [line.split("\\t")[0] for line in (folder / "samples.txt").read_text().splitlines()]
preprocess_core = importr("preprocessCore")
started = last = time.perf_counter()
parts = {}

def done(part):
    global last
    parts[part], last = time.perf_counter() - last, time.perf_counter()

frames = []
for sample in samples:
    frame = pd.read_csv(folder / "tsv" / f"{sample}.tsv", sep="\\t", header=0, index_col=0,
        dtype={0: str, 1: np.float32})
    frame.columns = frame.columns.str.strip()
    frame = frame.dropna(axis="columns", how="all")
    frame.index = frame.index.str.replace("_at", "")
    frame = frame[~frame.index.str.contains("AFFX-")]
    frame.index = frame.index.str.replace(r"\\.[^.]*$", "", regex=True)
    frame = frame.groupby(frame.index, sort=False).mean()
    frames.append(np.log2(frame) if frame.max().max() > 100 else frame)
done("read")
merged = frames[0]
for frame in frames[1:]:
    joined = merged.join(frame, how="inner")
    merged = joined if len(joined) else merged
done("joined")
target = pd.read_csv(folder / "target.tsv", header=None)[0].to_numpy()
with (robjects.default_converter + numpy2ri.converter).context():
    values = preprocess_core.normalize_quantiles_use_target(
        merged.to_numpy(np.float64), target=robjects.FloatVector(target))
merged = pd.DataFrame(np.asarray(values), index=merged.index, columns=merged.columns)
done("normalised")
merged.index.name = "Gene"
merged.to_csv(folder / "theirs.tsv", sep="\\t", encoding="utf-8")
done("written as tsv")
seconds = time.perf_counter() - started
status = Path("/proc/self/status").read_text()
(folder / "theirs.json").write_text(json.dumps({
    "seconds": seconds, "peak_mib": int(status.split("VmHWM:")[1].split()[0]) / 1024,
    "parts": parts, "genes": len(merged),
}))
"""


def make_input(folder: Path, samples: int, genes: int, tables: bool) -> None:
    """Write expression files, and a table of each sample if asked; the same at every call."""
    rng = np.random.default_rng(20210819)
    names = np.array([f"ENSG{number:011}_at" for number in range(genes)])
    level = rng.gamma(4, 2, (genes, 1)).astype(np.float32)
    listed = []
    (folder / "tsv").mkdir(parents=True, exist_ok=True)
    for number in range(-(-samples // PER_EXPERIMENT)):
        size = min(PER_EXPERIMENT, samples - number * PER_EXPERIMENT)
        values = level + np.float32(0.5) * rng.standard_normal((genes, size), np.float32)
        known = (np.arange(genes) % 20 != 7) | (number % 2 == 0)
        columns = [f"GSM{number * PER_EXPERIMENT + each:07}" for each in range(size)]
        write_array_values(
            folder / f"E{number}.parquet", names[known].tolist(), columns, values[known], {"a": "b"}
        )
        for each, column in enumerate(columns):
            listed.append(f"{column}\tE{number}\n")
            if tables:
                table = {"Gene": names[known], column: values[known, each]}
                pl.DataFrame(table).write_csv(folder / "tsv" / f"{column}.tsv", separator="\t")
    (folder / "samples.txt").write_text("".join(listed))
    target = np.sort(rng.gamma(4, 2, genes)).tolist()
    (folder / "target.tsv").write_text("".join(f"{each!r}\n" for each in target))


def measure(who: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """Run one fresh process; return what it says of itself and the whole wall time."""
    script = folder / f"{who}.py"
    script.write_text(OURS if who == "ours" else THEIRS)
    environment = {"RPY2_CFFI_MODE": "ABI", **os.environ, "PYTHONPATH": str(REPOSITORY)}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder), *arguments],
        check=True,
        env=environment,
    )
    said: dict[str, Any] = json.loads((folder / f"{who}.json").read_text())
    return {**said, "whole": time.perf_counter() - started}


def largest_difference(folder: Path) -> float:
    """Of the values of the first genes, which must be the same, as must be the samples."""
    mine, reference = (
        pl.read_csv(folder / f"{who}.tsv", separator="\t", n_rows=COMPARED_GENES)
        for who in ("ours", "theirs")
    )
    if mine.columns != reference.columns or not mine["Gene"].equals(reference["Gene"]):
        raise SystemExit("The two do not give the same genes and samples.")
    return float(np.abs(mine.drop("Gene").to_numpy() - reference.drop("Gene").to_numpy()).max())


def show(name: str, found: dict[str, Any]) -> None:
    """Print one process's figures."""
    parts = ", ".join(f"{part} {seconds:.1f}" for part, seconds in found["parts"].items())
    print(f"  {name:11}{found['seconds']:8.1f} s{found['peak_mib']:8.0f} MiB   ({parts})")


def main() -> None:
    """Measure, print ratios, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="200 samples only")
    parser.add_argument("--large", action="store_true", help="also 10,000 samples, ours only")
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results there")
    arguments = parser.parse_args()

    results = []
    for samples in [200] if arguments.quick else [200, 2_000]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_input(folder, samples, arguments.genes, tables=True)
            ours, theirs = measure("ours", folder, "tsv"), measure("theirs", folder)
            if ours["genes"] != theirs["genes"]:
                raise SystemExit(f"{ours['genes']} genes are not {theirs['genes']}.")
            difference = largest_difference(folder)
        ratio = {key: theirs[key] / ours[key] for key in ("seconds", "whole", "peak_mib")}
        print(f"{samples:,} samples, {ours['genes']:,} of {arguments.genes:,} genes")
        show("ours", ours)
        show("reference", theirs)
        print(
            f"  reference / ours: time {ratio['seconds']:.1f} (whole process "
            f"{ratio['whole']:.1f}), memory {ratio['peak_mib']:.1f}; "
            f"largest difference {difference:.1e}"
        )
        results.append(
            {
                "samples": samples,
                "ours": ours,
                "reference": theirs,
                "reference_over_ours": ratio,
                "largest_difference": difference,
            }
        )
    if arguments.large:
        with tempfile.TemporaryDirectory() as name:
            make_input(Path(name), 10_000, arguments.genes, tables=False)
            large = measure("ours", Path(name), ",".join(FORMATS))
        print(f"10,000 samples, {large['genes']:,} genes, {', '.join(FORMATS)}")
        show("ours", large)
        results.append({"samples": 10_000, "ours": large})
    if arguments.json:
        result = {
            "benchmark": "dataset",
            "genes": arguments.genes,
            "machine": {"cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
            "results": results,
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
