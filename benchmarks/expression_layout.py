# ruff: noqa: S608 — the SQL is put together here, from nothing a user wrote
"""How should gene × sample values lie in Parquet so that DuckDB answers well?

One file per experiment, at the paths the platform uses
(`organism=<ORGANISM>/technology=<TECHNOLOGY>/<ACCESSION>.parquet`), half of them RNA-seq (four
float columns), half microarray (one). Every candidate layout gets the same made-up values, a
catalogue with an `expression` view over its files, and the same questions:

    gene          one gene over every sample of the organism
    sample        one sample over all its genes, its experiment known
    sample only   the same, knowing nothing but the sample
    100 samples   100 samples drawn at random, over all genes, experiments known
    100 joined    the same, through a join with the table of samples
    matrix        the largest experiment as a genes × samples array: its rows, then a pivot
    as stored     the same without the pivot: its values in the order of its file

A question is asked in a fresh process each time, so nothing that DuckDB or the allocator keeps
helps the next one; the files are in the operating system's cache. `gene again` is the second
time in the same process. Answers are compared between layouts before a time is believed.

What it says: long rows sorted by gene and sample, with row groups growing with the square root of
the file (`row_group_rows`), written by DuckDB as Parquet v2 with zstd. Row groups too small make
the footers dear (every file's is read), too large make one gene dear. DuckDB's writer adds Bloom
filters, so that to find a sample only its own file's values are read, though no file is sorted
by it; Polars' does not. Rows sorted by sample cost a gene ten times as much. Lists per sample
need a table of genes beside them and cost a gene three to fifteen times as much. Lists per gene
are the smallest, but a sample cannot be looked for in them. A column per sample cannot serve one
view over many experiments. A question that names the experiment opens one file in any layout.

    python benchmarks/expression_layout.py --quick
    python benchmarks/expression_layout.py                       # 10,000 samples × 20,000 genes
    python benchmarks/expression_layout.py --sizes mixed         # half in experiments of 500
    python benchmarks/expression_layout.py --layouts 'long gene √' --files 60000 --patience 120
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl

from refinebio_assets.matrix.expression import VECTOR, ArrowStream, row_group_rows

ORGANISM = "HOMO_SAPIENS"
TECHNOLOGIES = ("MICROARRAY", "RNA-SEQ")
LARGE = 500  # samples in a large experiment of `--sizes mixed`


# ── the data ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Experiment:
    number: int
    samples: tuple[str, ...]

    @property
    def accession(self) -> str:
        return f"GSE{100_000 + self.number}"

    @property
    def technology(self) -> str:
        return TECHNOLOGIES[self.number % 2]


def plan(samples: int, experiments: int, sizes: str) -> list[Experiment]:
    """Who is in which experiment. Accessions are scattered over the experiments, so that the
    smallest and largest accession of a file say nothing about which samples it holds."""
    if sizes == "uniform":
        counts = [samples // experiments] * experiments
    else:
        counts = [LARGE] * (samples // 2 // LARGE) + [20] * (samples // 2 // 20)
    order = np.random.default_rng(1).permutation(sum(counts))
    ends = np.cumsum(counts)
    return [
        Experiment(i, tuple(f"SRR{1_000_000 + n}" for n in sorted(order[end - count : end])))
        for i, (count, end) in enumerate(zip(counts, ends, strict=True))
    ]


class Maker:
    """Values with the texture of real ones: a level per gene, noise, many zero counts."""

    def __init__(self, genes: int) -> None:
        rng = np.random.default_rng(2)
        self.genes = [f"ENSG{3 + 7 * i:011d}" for i in range(genes)]
        self.level = rng.normal(5, 2.5, genes).astype(np.float32)
        self.length = rng.gamma(4, 500, genes).astype(np.float32) + 100

    def values(self, experiment: Experiment) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([3, experiment.number])
        shape = (len(self.genes), len(experiment.samples))
        noise = rng.standard_normal(shape, dtype=np.float32)
        signal = self.level[:, None] + np.float32(0.6) * noise
        if experiment.technology == "MICROARRAY":
            return {"value": signal}
        expected = np.clip(np.exp2(signal) - 8, 0, None)
        counts = rng.poisson(expected).astype(np.float32)
        shared = (counts > 0) & (rng.random(shape, dtype=np.float32) < 0.4)  # multi-mapping reads
        counts += shared * rng.random(shape, dtype=np.float32).round(3)
        length = self.length[:, None] * np.exp(
            np.float32(0.02) * rng.standard_normal(shape, dtype=np.float32)
        )
        rate = counts / length
        tpm = rate / rate.sum(axis=0) * 1e6
        value = tpm * length.mean(axis=1, keepdims=True)
        value *= counts.sum(axis=0) / value.sum(axis=0)
        return {"value": value, "counts": counts, "effective_length": length, "tpm": tpm}


# ── writing ─────────────────────────────────────────────────────────────────────────────────


def long_by_gene(
    genes: list[str], samples: tuple[str, ...], values: dict[str, Any]
) -> pl.DataFrame:
    keys = pl.DataFrame({"gene": genes}).join(pl.DataFrame({"sample": samples}), how="cross")
    return keys.hstack([pl.Series(name, matrix.ravel()) for name, matrix in values.items()])


def long_by_sample(
    genes: list[str], samples: tuple[str, ...], values: dict[str, Any]
) -> pl.DataFrame:
    keys = pl.DataFrame({"sample": samples}).join(pl.DataFrame({"gene": genes}), how="cross")
    return keys.hstack([pl.Series(name, matrix.T.ravel()) for name, matrix in values.items()])


def wide(genes: list[str], samples: tuple[str, ...], values: dict[str, Any]) -> pl.DataFrame:
    columns = np.ascontiguousarray(values["value"].T)
    return pl.DataFrame({"gene": genes, **dict(zip(samples, columns, strict=True))})


def as_list(name: str, matrix: np.ndarray) -> pl.Series:
    return pl.Series(name, np.ascontiguousarray(matrix)).cast(pl.List(pl.Float32))


def list_per_sample(
    genes: list[str], samples: tuple[str, ...], values: dict[str, Any]
) -> pl.DataFrame:
    return pl.DataFrame(
        [pl.Series("sample", samples), *(as_list(name, m.T) for name, m in values.items())]
    )


def list_per_gene(
    genes: list[str], samples: tuple[str, ...], values: dict[str, Any]
) -> pl.DataFrame:
    names = pl.Series("sample", [list(samples)]).new_from_index(0, len(genes))
    return pl.DataFrame(
        [pl.Series("gene", genes), names, *(as_list(name, m) for name, m in values.items())]
    )


# ── the candidates ──────────────────────────────────────────────────────────────────────────

FILES = """read_parquet('{root}/organism=*/technology=*/*.parquet', filename = true,
    hive_partitioning = true, hive_types = {{organism: VARCHAR, technology: VARCHAR}})"""
FILE = "read_parquet('{file}', hive_partitioning = false)"  # the largest experiment's
WHERE_FROM = "organism, technology, parse_filename(filename, true) AS experiment"

LONG = f"SELECT {WHERE_FROM}, gene, sample, value FROM {FILES}"
WIDE = f"""SELECT {WHERE_FROM}, gene, sample, value FROM (
    UNPIVOT (FROM {FILES.replace("filename = true", "filename = true, union_by_name = true")})
    ON COLUMNS(* EXCLUDE (organism, technology, filename, gene)) INTO NAME sample VALUE value)"""
PER_GENE = f"""SELECT {WHERE_FROM}, gene, unnest(sample) AS sample, unnest(value) AS value
    FROM {FILES}"""
PER_SAMPLE = f"""SELECT {WHERE_FROM}, unnest(genes) AS gene, sample, unnest(value) AS value
    FROM {FILES} CROSS JOIN gene_order"""


@dataclass(frozen=True)
class Layout:
    name: str
    frame: Callable[[list[str], tuple[str, ...], dict[str, Any]], pl.DataFrame]
    view: str = LONG
    rows: int | None = None  # in a row group; None: see `row_group_rows`
    compression: str = "zstd"
    version: str = "v2"  # v2 is what gives floats BYTE_STREAM_SPLIT
    writer: str = "duckdb"
    columns: tuple[str, ...] = ()  # those to keep; all when empty
    inside: bool = False  # `experiment` as a column in the file, instead of from its name
    best: dict[str, str] = field(default_factory=dict)  # its own way to ask a question

    def write(self, maker: Maker, experiment: Experiment, target: Path) -> float:
        """Write one experiment; seconds taken, making the values not counted."""
        values = maker.values(experiment)
        if self.columns:
            values = {name: m for name, m in values.items() if name in self.columns}
        started = time.perf_counter()
        frame = self.frame(maker.genes, experiment.samples, values)
        if self.inside:
            frame = frame.with_columns(pl.lit(experiment.accession).alias("experiment"))
        rows = self.rows or row_group_rows(len(frame))
        if self.writer == "polars":
            frame.write_parquet(target, compression="zstd", row_group_size=rows)
        else:
            stream = ArrowStream(frame)  # noqa: F841 — DuckDB finds it by name
            with duckdb.connect() as connection:
                connection.execute(
                    f"COPY (FROM stream) TO '{target}' (FORMAT parquet, COMPRESSION "
                    f"{self.compression}, PARQUET_VERSION {self.version}, ROW_GROUP_SIZE {rows})"
                )
        return time.perf_counter() - started


LAYOUTS = [
    Layout("long gene 8k", long_by_gene, rows=8_192),
    Layout("long gene 16k", long_by_gene, rows=16_384),
    Layout("long gene 32k", long_by_gene, rows=32_768),
    Layout("long gene 64k", long_by_gene, rows=65_536),
    Layout("long gene 122k", long_by_gene, rows=122_880),
    Layout("long gene 1M", long_by_gene, rows=1_048_576),
    Layout("long gene √", long_by_gene),
    Layout("  value only", long_by_gene, columns=("value",)),
    Layout("  lz4", long_by_gene, compression="lz4_raw"),
    Layout("  snappy", long_by_gene, compression="snappy"),
    Layout("  parquet v1", long_by_gene, version="v1"),
    Layout("  by polars", long_by_gene, writer="polars"),
    Layout(
        "  experiment inside",
        long_by_gene,
        view=LONG.replace("parse_filename(filename, true) AS experiment", "experiment"),
        inside=True,
    ),
    Layout("long sample", long_by_sample, rows=20_480),
    Layout(
        "wide, value only",
        wide,
        view=WIDE,
        columns=("value",),
        best={"as stored": f"SELECT * EXCLUDE (gene) FROM {FILE} -- columns"},
    ),
    Layout(
        "list per sample",
        list_per_sample,
        view=PER_SAMPLE,
        rows=VECTOR,
        best={
            "gene": f"SELECT sample, value[{{position}}] AS value FROM {FILES} "
            f"WHERE organism = '{ORGANISM}'",
            "as stored": f"SELECT unnest(value) AS value FROM {FILE}",
        },
    ),
    Layout(
        "list per gene",
        list_per_gene,
        view=PER_GENE,
        rows=VECTOR,
        best={"as stored": f"SELECT unnest(value) AS value FROM {FILE}"},
    ),
]


# ── asking ──────────────────────────────────────────────────────────────────────────────────


def questions(
    layout: Layout, maker: Maker, experiments: list[Experiment], root: Path
) -> dict[str, str]:
    rng = np.random.default_rng(4)
    position = len(maker.genes) * 2 // 3
    everyone = [(e, sample) for e in experiments for sample in e.samples]
    drawn = [everyone[i] for i in rng.choice(len(everyone), min(100, len(everyone)), False)]
    owner, sample = next(pair for pair in drawn if pair[0].technology == "RNA-SEQ")
    largest = max(experiments, key=lambda e: (len(e.samples), e.technology == "RNA-SEQ"))
    names = ", ".join(f"'{s}'" for _, s in drawn)
    owners = ", ".join(sorted({f"'{e.accession}'" for e, _ in drawn}))
    asked = {
        "gene": f"SELECT sample, value FROM expression WHERE organism = '{ORGANISM}' "
        f"AND gene = '{maker.genes[position]}'",
        "sample": f"SELECT gene, value FROM expression WHERE experiment = '{owner.accession}' "
        f"AND sample = '{sample}'",
        "sample only": f"SELECT gene, value FROM expression WHERE sample = '{sample}'",
        "100 samples": f"SELECT gene, sample, value FROM expression WHERE sample IN ({names}) "
        f"AND experiment IN ({owners})",
        "100 joined": "SELECT gene, sample, value FROM expression JOIN samples "
        f"USING (experiment, sample) WHERE sample IN ({names})",
        "matrix": "SELECT gene, sample, value FROM expression "
        f"WHERE experiment = '{largest.accession}' -- pivot",
    }
    best = {"as stored": f"SELECT value FROM {FILE}", **layout.best}
    for name, sql in best.items():
        asked[name] = sql.format(root=root, position=position + 1, file=path_of(root, largest))
    return asked


def peak_memory() -> int:
    """In bytes. Not `ru_maxrss`, which a process takes over from the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def answer(catalogue: str, settings: list[str], sql: str) -> dict[str, Any]:
    """Ask once, and once more, in this process (which is new)."""
    connection = duckdb.connect(catalogue, read_only=True)
    for setting in settings:
        connection.execute(f"SET {setting}")
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        frame = pl.DataFrame(connection.sql(sql))
        if sql.endswith("-- pivot"):
            matrix = frame.pivot("sample", index="gene", values="value").drop("gene").to_numpy()
        elif sql.endswith("-- columns"):
            matrix = frame.to_numpy()
        else:
            matrix = frame["value"].to_numpy()  # of a whole file: only to be reshaped
        seconds.append(time.perf_counter() - started)
    return {
        "seconds": seconds[0],
        "again": seconds[1],
        "peak": peak_memory(),
        "size": matrix.size,
        "sum": float(matrix.sum(dtype=np.float64)),
    }


def ask(catalogue: Path, args: argparse.Namespace, sql: str) -> dict[str, Any] | None:
    """The median of fresh processes; None when no answer came, or none in time."""
    answers = []
    for _ in range(args.repeat):
        command = [
            sys.executable,
            __file__,
            "--answer",
            json.dumps([str(catalogue), args.set, sql]),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=args.patience
            )
        except subprocess.TimeoutExpired:
            return None
        except subprocess.CalledProcessError as failed:
            print(failed.stderr[-2000:], file=sys.stderr)
            return None
        answers.append(json.loads(done.stdout))
    middle = {key: statistics.median(a[key] for a in answers) for key in ("seconds", "again")}
    return {**answers[0], **middle, "peak": max(a["peak"] for a in answers)}


# ── one layout from start to end ────────────────────────────────────────────────────────────


def path_of(root: Path, experiment: Experiment) -> Path:
    folder = root / f"organism={ORGANISM}" / f"technology={experiment.technology}"
    return folder / f"{experiment.accession}.parquet"


def build_catalogue(
    path: Path, layout: Layout, maker: Maker, experiments: list[Experiment], root: Path
) -> None:
    samples = ArrowStream(
        pl.DataFrame(
            [(e.accession, s) for e in experiments for s in e.samples],
            schema=["experiment", "sample"],
            orient="row",
        )
    )
    gene_order = ArrowStream(pl.DataFrame({"genes": [maker.genes]}))
    with duckdb.connect(str(path)) as connection:
        connection.register("samples_frame", samples)
        connection.register("gene_order_frame", gene_order)
        connection.execute("CREATE TABLE samples AS FROM samples_frame")
        connection.execute("CREATE TABLE gene_order AS FROM gene_order_frame")
        connection.execute(f"CREATE VIEW expression AS {layout.view.format(root=root)}")


def link_to(root: Path, wanted: int) -> None:
    """Make the folder look as if it held many experiments: hard links under new names."""
    files = sorted(root.glob("*/*/*.parquet"))
    for i in range(len(files), wanted):
        file = files[i % len(files)]
        os.link(file, file.with_name(f"{file.stem}-{i}.parquet"))


def measure(
    layout: Layout,
    maker: Maker,
    experiments: list[Experiment],
    work: Path,
    args: argparse.Namespace,
) -> dict[str, Any]:
    root = work / "expression"
    for technology in TECHNOLOGIES:
        (root / f"organism={ORGANISM}" / f"technology={technology}").mkdir(parents=True)
    write = sum(layout.write(maker, e, path_of(root, e)) for e in experiments)
    size = sum(file.stat().st_size for file in root.glob("*/*/*.parquet"))
    ((footer,),) = duckdb.sql(
        f"SELECT max(footer_size) FROM parquet_file_metadata('{root}/*/*/*.parquet')"
    ).fetchall()
    if args.files:
        link_to(root, args.files)
    catalogue = work / "catalogue.duckdb"
    asked = questions(layout, maker, experiments, root)
    try:
        build_catalogue(catalogue, layout, maker, experiments, root)
        answers = {name: ask(catalogue, args, sql) for name, sql in asked.items()}
    except duckdb.Error as error:
        print(f"{layout.name}: no view: {error}", file=sys.stderr)
        answers = dict.fromkeys(asked)
    return {
        "layout": layout.name,
        "bytes": size,
        "write_seconds": write,
        "largest_footer": footer,
        "answers": answers,
    }


def agree(results: list[dict[str, Any]]) -> None:
    """Every layout must have given the same numbers."""
    for name, reference in results[0]["answers"].items():
        for result in results[1:]:
            given = result["answers"][name]
            if reference and given:
                same = given["size"] == reference["size"] and np.isclose(
                    given["sum"], reference["sum"], rtol=1e-6
                )
                assert same, f"{result['layout']}, {name}: {given} is not {reference}"


QUESTIONS = ("gene", "sample", "sample only", "100 samples", "100 joined", "matrix", "as stored")
HEAD = ("MB", "write s", "footer KB", *QUESTIONS, "gene again", "peak MB")


def line(name: str, cells: Iterable[str]) -> str:
    return f"{name:<20}" + "".join(f"{cell:>12}" for cell in cells)


def described(result: dict[str, Any]) -> str:
    answers = result["answers"]
    times = [f"{a['seconds']:.3f}" if (a := answers[name]) else "–" for name in QUESTIONS]
    cells = [
        f"{result['bytes'] / 1e6:,.0f}",
        f"{result['write_seconds']:.1f}",
        f"{result['largest_footer'] / 1e3:.1f}",
        *times,
        f"{answers['gene']['again']:.3f}" if answers["gene"] else "–",
        f"{max((a['peak'] for a in answers.values() if a), default=0) / 1e6:,.0f}",
    ]
    return line(result["layout"], cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--experiments", type=int, default=500)
    parser.add_argument("--sizes", choices=("uniform", "mixed"), default="uniform")
    parser.add_argument("--layouts", nargs="+", metavar="NAME", help="only these")
    parser.add_argument(
        "--files",
        type=int,
        help="hard-link the files up to this many; a copy's samples are found too",
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="DuckDB's")
    parser.add_argument("--repeat", type=int, default=3, help="fresh processes per question")
    parser.add_argument("--patience", type=float, default=30, help="seconds to wait for a process")
    parser.add_argument("--quick", action="store_true", help="400 samples × 2,000 genes")
    parser.add_argument("--json", type=Path, metavar="PATH")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the files here")
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.answer:
        print(json.dumps(answer(*json.loads(args.answer))))
        return
    if args.quick:
        args.samples, args.genes, args.experiments, args.repeat = 400, 2_000, 20, 1
    chosen = [y for y in LAYOUTS if not args.layouts or y.name.strip() in args.layouts]
    experiments = plan(args.samples, args.experiments, args.sizes)
    maker = Maker(args.genes)
    results: list[dict[str, Any]] = []
    print(line("layout", HEAD))
    for layout in chosen:
        work = Path(tempfile.mkdtemp(prefix="expression_layout."))
        if args.keep:
            work = args.keep / layout.name.strip().replace(" ", "_")
            work.mkdir(parents=True)
        try:
            results.append(measure(layout, maker, experiments, work, args))
        finally:
            if not args.keep:
                shutil.rmtree(work)
        print(described(results[-1]), flush=True)
    agree(results)
    if args.json:
        sizes = {key: getattr(args, key) for key in ("samples", "genes", "experiments", "sizes")}
        args.json.write_text(json.dumps({**sizes, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
