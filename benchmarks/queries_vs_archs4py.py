# ruff: noqa: S608 — the SQL is put together here, from nothing a user wrote
"""One gene over all samples, and 100 random samples over all genes: the catalogue and archs4py.

The same made-up counts are written as the platform writes RNA-seq (a Parquet file for each
experiment, four columns of values) and as an ARCHS4 file (genes × samples, a chunk for each sample,
gzip and shuffle). The catalogue answers from the first, the unmodified archs4py from the
second, each question in a fresh process, imports not counted; both give a data frame, genes by
samples where it is several samples. The numbers must be equal. archs4py needs a Python of its own:

    python -m venv /tmp/archs4py && /tmp/archs4py/bin/pip install archs4py
    python benchmarks/queries_vs_archs4py.py --archs4py /tmp/archs4py/bin/python
    python benchmarks/queries_vs_archs4py.py --quick      # without it: says so and does nothing

`--keep DIR` leaves the files there; given again, they are used as they are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import h5py
import numpy as np
import polars as pl
from expression_layout import LAYOUTS, Experiment, Maker

from refinebio_assets.matrix.expression import ArrowStream
from refinebio_assets.resources.warehouse_queries import MACROS, VIEWS

ORGANISM = "HOMO_SAPIENS"
OF_EXPERIMENT = 20

# Both print seconds (and of processors, with child processes), size and sum of the result, memory.
SHARED = """
import json, os, re, sys, time
def peak():
    return int(re.findall(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[0]) // 1024
def processors():
    return sum(os.times()[:4])
def say(seconds, size, total):
    print(json.dumps({"seconds": seconds, "cpu": processors() - used, "size": size, "sum": total,
                      "peak_mb": peak()}))
file, what, gene, numbers = json.loads(sys.argv[1])
"""
ARCHS4PY = (
    SHARED
    + """
import archs4py as a4, numpy as np
started, used = time.perf_counter(), processors()
if what == "gene":
    found = a4.data.index(file, numbers, gene_idx=[gene], silent=True)
else:
    found = a4.data.index(file, numbers, silent=True)
seconds = time.perf_counter() - started
say(seconds, int(found.size), float(found.to_numpy(dtype=float).sum()))
"""
)
OURS = (
    SHARED
    + """
import duckdb, numpy as np, polars as pl
database = duckdb.connect(file, read_only=True)
started, used = time.perf_counter(), processors()
if what == "gene":
    sql = ("SELECT sample, counts FROM gene_counts WHERE organism = 'HOMO_SAPIENS' "
           f"AND gene = '{gene}'")
    found = pl.DataFrame(database.sql(sql))
    values = found["counts"].to_numpy()
elif what == "gene_profile":
    found = pl.DataFrame(database.sql(f"FROM gene_profile('HOMO_SAPIENS', '{gene}')"))
    values = np.zeros(len(found))  # other numbers, length-scaled
else:
    names = [f"GSM{n}" for n in numbers]
    owners = database.execute("SELECT DISTINCT experiment FROM samples WHERE sample IN "
                              "(SELECT unnest(?))", [names]).fetchall()
    sql = (f"SELECT gene, sample, counts FROM gene_counts WHERE sample IN {tuple(names)} "
           f"AND experiment IN {tuple(name for name, in owners)}")
    found = pl.DataFrame(database.sql(sql))
    # Rows to a matrix, as Polars' and DuckDB's pivots do in three times the time.
    genes = found["gene"].unique().sort()
    row = found["gene"].cast(pl.Enum(genes)).to_physical().to_numpy()
    column = found["sample"].cast(pl.Enum(names)).to_physical().to_numpy()
    values = np.zeros((len(names), len(genes)), np.float32)
    values[column, row] = found["counts"].to_numpy()
    wide = pl.DataFrame([genes, *map(pl.Series, names, values)])
seconds = time.perf_counter() - started
say(seconds, int(values.size), float(values.sum(dtype=float)))
"""
)


def make(folder: Path, samples: int, maker: Maker) -> None:
    """Write Parquet files, catalogue and H5 file."""
    (layout,) = (each for each in LAYOUTS if each.name == "long gene √")
    parquet = folder / f"expression/organism={ORGANISM}/technology=RNA-SEQ"
    parquet.mkdir(parents=True)
    owners = []
    with h5py.File(folder / "archs4.h5", "w") as h5:
        shape = (len(maker.genes), samples)
        expression = h5.create_dataset(
            "data/expression",
            shape,
            np.uint32,
            chunks=(len(maker.genes), 1),
            compression="gzip",
            shuffle=True,
        )
        names = [f"GSM{n}" for n in range(samples)]
        h5["meta/genes/symbol"] = h5["meta/genes/ensembl_gene"] = maker.genes
        h5["meta/samples/geo_accession"] = names
        for first in range(0, samples, OF_EXPERIMENT):
            of_experiment = tuple(names[first : first + OF_EXPERIMENT])
            # An odd number: RNA-seq, see `Experiment.technology`.
            experiment = Experiment(1 + 2 * (first // OF_EXPERIMENT), of_experiment)
            values = maker.values(experiment)
            values["counts"] = np.rint(values["counts"])
            counted = Counted(maker.genes, values)
            layout.write(counted, experiment, parquet / f"{experiment.accession}.parquet")  # type: ignore[arg-type]
            expression[:, first : first + len(of_experiment)] = values["counts"].astype(np.uint32)
            owners += [(experiment.accession, sample) for sample in of_experiment]
    catalogue(folder, owners, maker)


class Counted:
    """What `Layout.write` asks of a Maker: the genes, and the values of an experiment."""

    def __init__(self, genes: list[str], values: dict[str, np.ndarray]) -> None:
        self.genes = genes
        self._values = values

    def values(self, experiment: Experiment) -> dict[str, np.ndarray]:
        return self._values


def catalogue(folder: Path, owners: list[tuple[str, str]], maker: Maker) -> None:
    """The views and macros of the platform's own catalogue over the files."""
    files = f"'{folder}/expression/*/*/*.parquet'"
    rows = ArrowStream(pl.DataFrame(owners, schema=["experiment", "sample"], orient="row"))
    genes = ArrowStream(pl.DataFrame({"gene": maker.genes}))
    with duckdb.connect(str(folder / "catalogue.duckdb")) as database:
        database.register("rows", rows)
        database.register("some_genes", genes)
        database.execute("CREATE TABLE samples AS FROM rows")
        database.execute(
            f"CREATE TABLE genes AS SELECT '{ORGANISM}' AS organism, gene, gene || 's' AS symbol "
            "FROM some_genes"
        )
        for name, (_, query) in VIEWS.items():
            database.execute(f"CREATE VIEW {name} AS {query.replace('$files', files)}")
        for macro in MACROS:
            database.execute(macro.definition())


def ask(python: str, script: str, question: list[Any], repeat: int) -> dict[str, Any]:
    """The median of fresh processes."""
    answers = []
    for _ in range(repeat):
        command = [python, "-c", script, json.dumps(question)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout.splitlines()[-1]))
    middle = {key: statistics.median(each[key] for each in answers) for key in ("seconds", "cpu")}
    return {**answers[0], **middle}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--archs4py", metavar="PYTHON", help="a Python that has archs4py")
    parser.add_argument("--repeat", type=int, default=3, help="fresh processes per question")
    parser.add_argument("--quick", action="store_true", help="400 samples × 2,000 genes")
    parser.add_argument("--keep", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="PATH")
    args = parser.parse_args()
    if not args.archs4py:
        print("Nothing to compare with: give --archs4py a Python that has archs4py.")
        return
    if args.quick:
        args.samples, args.genes = 400, 2_000
    maker = Maker(args.genes)
    results = {}
    with tempfile.TemporaryDirectory(prefix="queries_vs_archs4py.") as scratch:
        folder = (args.keep or Path(scratch)).absolute()
        if not (folder / "catalogue.duckdb").exists():
            make(folder, args.samples, maker)
        for name, path in (("Parquet", "expression/*/*/*"), ("H5", "archs4.h5")):
            size = sum(file.stat().st_size for file in folder.glob(path))
            print(f"{name}: {size / 1e9:.2f} GB")
        drawn = sorted(np.random.default_rng(5).choice(args.samples, 100, False).tolist())
        row = args.genes * 2 // 3
        everyone = list(range(args.samples))
        ours, theirs = str(folder / "catalogue.duckdb"), str(folder / "archs4.h5")
        symbol = f"{maker.genes[row]}s"
        for name, question, incumbent in (
            ("100 samples", [ours, "samples", None, drawn], [theirs, "samples", None, drawn]),
            ("one gene", [ours, "gene", maker.genes[row], []], [theirs, "gene", row, everyone]),
            ("one gene by its symbol", [ours, "gene_profile", symbol, []], None),
        ):
            results[name] = {"ours": ask(sys.executable, OURS, question, args.repeat)}
            print(f"{name}: {results[name]['ours']}", flush=True)
            if incumbent:
                given = ask(args.archs4py, ARCHS4PY, incumbent, args.repeat)
                results[name]["archs4py"] = given
                assert (given["size"], given["sum"]) == (
                    results[name]["ours"]["size"],
                    results[name]["ours"]["sum"],
                ), given
                ratio = {
                    key: round(given[key] / results[name]["ours"][key], 1)
                    for key in ("seconds", "cpu")
                }
                print(f"{name}: {given} archs4py; × {ratio}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
