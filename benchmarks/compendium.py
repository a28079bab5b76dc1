"""A normalized compendium, from files of values to the written release, beside the reference's way.

The samples are arrays of two platforms, of which one lacks a quarter of the genes, and RNA-seq
with counts, many of them 0, in experiments of 100. Ours does what `normalized_compendium` does,
with its own modules: join, imputation of rank 10, quantile normalisation, comparison, and the
release's Parquet, AnnData and zip with the matrix as text. The reference's way is one process
with pandas: a TSV of each sample is read, joined and filtered, fancyimpute's IterativeSVD fills
the gaps, R's preprocessCore brings all to the target, pandas writes the TSV. Each is a fresh
process; times are taken inside it, without start and imports. Peak memory is the kernel's
VmHWM of the process, all included. Imputed values of the two differ in the last digits; the
share of values that differ by more than 0.01 is told.

    python benchmarks/compendium.py --samples 500 2000 --reference-python PYTHON
    python benchmarks/compendium.py --samples 20000           # ours only

PYTHON is an interpreter that has fancyimpute, pandas and rpy2.
"""

from __future__ import annotations

import argparse
import json
import os
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
PER_EXPERIMENT = 100
COMPARED_GENES = 2_000

OURS = """
import json, sys, time
from pathlib import Path
import numpy as np
import polars as pl
from refinebio_assets.compendium.assembly import join_samples
from refinebio_assets.compendium.comparability import Comparison
from refinebio_assets.compendium.final_matrix import finish
from refinebio_assets.compendium.gaps import fill_gaps
from refinebio_assets.compendium.layered_h5ad import LayeredH5ad
from refinebio_assets.compendium.replicates import LabelledSample
from refinebio_assets.compendium.rules import Rules
from refinebio_assets.compendium.tiles import TileWriter
from refinebio_assets.publish.archive import write_archive
from refinebio_assets.publish.group_samples import GroupSample
from refinebio_assets.publish.matrix_files import tsv_pieces

folder = Path(sys.argv[1])
rows = [line.split("\\t") for line in (folder / "samples.txt").read_text().splitlines()]
target = np.loadtxt(folder / "target.tsv")
parts = {}

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

def build(some, out, rank, parts):
    out.mkdir()
    last = time.perf_counter()
    def done(part):
        nonlocal last
        parts[part], last = time.perf_counter() - last, time.perf_counter()
        print(f"    {part:12}{parts[part]:8.1f} s  {peak():.0f} MiB", flush=True)
    of = {sample: (experiment, technology) for sample, experiment, technology in some}
    asked = [GroupSample(sample, "HOMO_SAPIENS", technology, folder / f"{experiment}.parquet")
             for sample, (experiment, technology) in of.items()]
    with join_samples(asked, Rules(), out) as joined:
        done("joined")
        gaps = fill_gaps(joined, Rules(rank=rank))
        done("imputed")
        comparison = Comparison([LabelledSample(each, of[each][0], "HOMO_SAPIENS", of[each][1],
            of[each][0][0]) for each in joined.samples], len(joined.genes))
        with (TileWriter(out / "values", joined.genes, joined.samples) as tiles,
              LayeredH5ad(out / "o.h5ad", joined.genes, joined.samples) as h5ad):
            finish(joined, gaps.fill, target, [tiles.write, h5ad.write, comparison.add])
        done("normalised, Parquet, AnnData")
        comparison.result(joined.matrix)
        done("compared")
        write_archive({"o.tsv": lambda: tsv_pieces(joined.matrix, joined.genes, joined.samples,
            lambda done: None)}, out / "o.zip")
        done("zip")
        return gaps.imputation, len(joined.samples), len(joined.genes)

build(rows[:30] + rows[-30:], folder / "warm", 2, {})
started = time.perf_counter()
imputation, samples, genes = build(rows, folder / "ours", 10, parts)
(folder / "ours.json").write_text(json.dumps({
    "seconds": time.perf_counter() - started, "peak_mib": peak(), "parts": parts,
    "passes": imputation.passes, "iterations": len(imputation.changes),
    "samples": samples, "genes": genes,
    "bytes": {path.name: path.stat().st_size for path in (folder / "ours").iterdir()},
}))
"""

THEIRS = """
import json, sys, time
from pathlib import Path
import numpy as np
import pandas as pd
import sklearn.utils
from fancyimpute import iterative_svd, solver
import rpy2.robjects as robjects
from rpy2.robjects import numpy2ri
from rpy2.robjects.packages import importr

original = sklearn.utils.check_array
def check_array(values, *, force_all_finite):
    return original(values, ensure_all_finite=force_all_finite)
iterative_svd.check_array = solver.check_array = check_array
folder = Path(sys.argv[1])
rows = [line.split("\\t") for line in (folder / "samples.txt").read_text().splitlines()]
preprocess_core = importr("preprocessCore")
started = last = time.perf_counter()
parts = {}

def done(part):
    global last
    parts[part], last = time.perf_counter() - last, time.perf_counter()

frames = {"MICROARRAY": [], "RNA-SEQ": []}
counts = {}
for sample, _, technology in rows:
    frame = pd.read_csv(folder / "tsv" / f"{sample}.tsv", sep="\\t", header=0, index_col=0,
        dtype={0: str, 1: np.float32})
    frames[technology].append(frame.iloc[:, 0])
    for gene in frame.index:
        counts[gene] = counts.get(gene, 0) + 1
genes = sorted(gene for gene, count in counts.items() if count > len(rows) / 2)
arrays, rnaseq = (pd.DataFrame({each.name: each for each in some}).reindex(genes)
    for some in frames.values())
done("read, joined")
sums = rnaseq.sum(axis=1)
rnaseq = np.log2(rnaseq[sums >= np.percentile(sums, 10)] + 1)
zeros = {sample: rnaseq.index[rnaseq[sample] == 0] for sample in rnaseq.columns}
rnaseq[rnaseq == 0] = np.nan
merged = arrays.merge(rnaseq, how="outer", left_index=True, right_index=True)
merged = merged.dropna(thresh=int(np.ceil(0.7 * merged.shape[1])))
merged = merged.dropna(axis="columns", thresh=int(np.ceil(0.5 * merged.shape[0])))
for sample, genes in zeros.items():
    if sample in merged:
        merged.loc[merged.index.intersection(genes), sample] = 0
transposed = merged.transpose().replace([np.inf, -np.inf], np.nan)
done("filtered")
filled = iterative_svd.IterativeSVD(rank=10, verbose=False).fit_transform(
    transposed.to_numpy(np.float32))
done("imputed")
target = np.loadtxt(folder / "target.tsv")
with (robjects.default_converter + numpy2ri.converter).context():
    values = preprocess_core.normalize_quantiles_use_target(
        np.asarray(filled, np.float64).T, target=robjects.FloatVector(target))
result = pd.DataFrame(np.asarray(values), index=transposed.columns, columns=transposed.index)
done("normalised")
result.index.name = "Gene"
result.to_csv(folder / "theirs.tsv", sep="\\t", encoding="utf-8")
done("written as tsv")
status = Path("/proc/self/status").read_text()
(folder / "theirs.json").write_text(json.dumps({
    "seconds": time.perf_counter() - started, "parts": parts,
    "peak_mib": int(status.split("VmHWM:")[1].split()[0]) / 1024,
}))
"""


def make_input(folder: Path, samples: int, genes: int, tables: bool) -> None:
    """Write expression files, and a table of each sample if asked; the same at every call.

    Two fifths of the experiments are of platform A, one of B, two of RNA-seq.
    """
    rng = np.random.default_rng(20210819)
    names = np.array([f"ENSG{number:011}" for number in range(genes)])
    level = rng.gamma(4, 2, genes).astype(np.float32)
    weights = rng.normal(0, 0.5, (genes, 12)).astype(np.float32)
    listed = []
    (folder / "tsv").mkdir(parents=True, exist_ok=True)
    for number in range(-(-samples // PER_EXPERIMENT)):
        size = min(PER_EXPERIMENT, samples - number * PER_EXPERIMENT)
        kind = "AABRR"[number % 5]
        factors = rng.normal(0, 1, (12, size)).astype(np.float32)
        values = level[:, None] + weights @ factors
        values += np.float32(0.5) * rng.standard_normal(values.shape, np.float32)
        known = (np.arange(genes) % 4 != 1) | (kind != "B")
        if kind == "R":
            values = rng.poisson(np.exp2(np.clip(values - 5, -8, 20))).astype(np.float32)
        columns = [f"GSM{number * PER_EXPERIMENT + each:07}" for each in range(size)]
        experiment = f"{kind}{number}"
        technology = "RNA-SEQ" if kind == "R" else "MICROARRAY"
        write_array_values(
            folder / f"{experiment}.parquet",
            names[known].tolist(),
            columns,
            values[known],
            {"a": "b"},
        )
        for each, column in enumerate(columns):
            listed.append(f"{column}\t{experiment}\t{technology}\n")
            if tables:
                table = {"Gene": names[known], column: values[known, each]}
                pl.DataFrame(table).write_csv(folder / "tsv" / f"{column}.tsv", separator="\t")
    (folder / "samples.txt").write_text("".join(listed))
    target = np.sort(rng.gamma(4, 2, genes)).tolist()
    (folder / "target.tsv").write_text("".join(f"{each!r}\n" for each in target))


def measure(who: str, folder: Path, interpreter: str) -> dict[str, Any]:
    """Run one fresh process; return what it says of itself."""
    script = folder / f"{who}.py"
    script.write_text(OURS if who == "ours" else THEIRS)
    environment = {"RPY2_CFFI_MODE": "ABI", **os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(
        [interpreter, "-W", "ignore", str(script), str(folder)], check=True, env=environment
    )
    said: dict[str, Any] = json.loads((folder / f"{who}.json").read_text())
    return said


def share_that_differs(folder: Path) -> float:
    """Of the first genes' values, by more than 0.01; samples and genes must be the same."""
    with subprocess.Popen(
        ["unzip", "-p", str(folder / "ours" / "o.zip"), "o.tsv"], stdout=subprocess.PIPE
    ) as unzipped:
        assert unzipped.stdout is not None
        lines = [next(unzipped.stdout) for _ in range(COMPARED_GENES + 1)]
        unzipped.kill()
    mine = pl.read_csv(b"".join(lines), separator="\t")
    reference = pl.read_csv(folder / "theirs.tsv", separator="\t", n_rows=len(mine))
    reference = reference.select(mine.columns)
    if not mine["Gene"].equals(reference["Gene"]):
        raise SystemExit("The two do not give the same genes.")
    far = np.abs(mine.drop("Gene").to_numpy() - reference.drop("Gene").to_numpy()) > 0.01
    return float(far.mean())


def show(name: str, found: dict[str, Any]) -> None:
    """Print one process's figures."""
    parts = ", ".join(f"{part} {seconds:.1f}" for part, seconds in found["parts"].items())
    print(f"  {name:11}{found['seconds']:8.1f} s{found['peak_mib']:8.0f} MiB   ({parts})")


def main() -> None:
    """Measure, print ratios, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[500])
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--reference-python", metavar="PYTHON", help="measure its way as well")
    parser.add_argument("--folder", type=Path, help="where there is room; by default in TMPDIR")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results there")
    arguments = parser.parse_args()

    results = []
    for samples in arguments.samples:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            folder = Path(name)
            started = time.perf_counter()
            make_input(folder, samples, arguments.genes, bool(arguments.reference_python))
            print(f"{samples:,} samples (input made in {time.perf_counter() - started:.0f} s)")
            found = {"asked": samples, "ours": measure("ours", folder, sys.executable)}
            show("ours", found["ours"])
            if arguments.reference_python:
                found["theirs"] = measure("theirs", folder, arguments.reference_python)
                show("reference", found["theirs"])
                ratio = found["theirs"]["seconds"] / found["ours"]["seconds"]
                differs = share_that_differs(folder)
                print(f"  {ratio:.1f} x; {100 * differs:.3f} % of values differ by more than 0.01")
                found |= {"ratio": ratio, "share_that_differs": differs}
            results.append(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
