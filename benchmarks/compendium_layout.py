# ruff: noqa: S608 — the SQL is put together here, from nothing a user wrote
"""How should the matrix of a compendium lie in Parquet, and what do its files cost?

Made-up values that quantile normalisation brought to one target, half of the samples RNA-seq
with zeros and imputed genes. Candidates are written by DuckDB in blocks of samples, and asked
in a fresh process each time: one gene over all samples, one sample over all genes, 100 samples
drawn at random. Then the platform's own writers: tiles, AnnData, and the text in a zip.

What it says: long rows beat a list for each gene, of which DuckDB cannot write small row groups.
Large row groups beat small ones even for one gene, since samples share their values: a row
group then pays for a dictionary of them.

    python benchmarks/compendium_layout.py --quick
    python benchmarks/compendium_layout.py                      # 10,000 samples × 20,000 genes
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl

from refinebio_assets.compendium.assembly import IMPUTED, ZERO_RESTORED
from refinebio_assets.compendium.layered_h5ad import LayeredH5ad
from refinebio_assets.compendium.reader import open_release_matrix
from refinebio_assets.compendium.tiles import TileWriter
from refinebio_assets.matrix.expression import ArrowStream
from refinebio_assets.publish.archive import write_archive
from refinebio_assets.publish.disk_matrix import DiskMatrix
from refinebio_assets.publish.matrix_files import tsv_pieces

ROWS = """SELECT gene, unnest($names::VARCHAR[]) AS sample, unnest(v) AS value,
    unnest(o) AS origin FROM wide"""
LISTS = "SELECT gene, v, o FROM wide"
LAYOUTS = {  # samples of a block, query, options
    "rows, groups of 64k": (1024, ROWS, "ROW_GROUP_SIZE 65536"),
    "rows, 64k, dictionaries": (1024, ROWS, "ROW_GROUP_SIZE 65536, DICTIONARY_SIZE_LIMIT 65536"),
    "rows, 256k, dictionaries": (1024, ROWS, "ROW_GROUP_SIZE 262144, DICTIONARY_SIZE_LIMIT 65536"),
    "rows, 512k, dictionaries": (1024, ROWS, "ROW_GROUP_SIZE 524288, DICTIONARY_SIZE_LIMIT 65536"),
    "… 2,048 samples, 256k": (2048, ROWS, "ROW_GROUP_SIZE 262144, DICTIONARY_SIZE_LIMIT 65536"),
    "lists, 2,048 genes": (1024, LISTS, "ROW_GROUP_SIZE 2048"),
}


class Matrix:
    """Made-up values and origins, (samples, genes), in files."""

    def __init__(self, folder: Path, samples: int, genes: int) -> None:
        rng = np.random.default_rng(1)
        self.genes = pl.Series([f"ENSG{3 + 7 * n:011d}" for n in range(genes)])
        self.samples = [f"GSM{1_000_000 + 7 * n}" for n in range(samples)]
        self.values = np.memmap(folder / "values", np.float32, "w+", shape=(samples, genes))
        self.origins = np.memmap(folder / "origins", np.uint8, "w+", shape=(samples, genes))
        level = rng.normal(5, 2.5, genes).astype(np.float32)
        target = np.sort(rng.gamma(4, 1.6, genes)).astype(np.float32)
        on_arrays_only = rng.random(genes) < 0.15
        for sample, (values, origins) in enumerate(zip(self.values, self.origins, strict=True)):
            signal = level + np.float32(0.6) * rng.standard_normal(genes, dtype=np.float32)
            values[np.argsort(signal)] = target
            if sample >= samples // 2:
                zeros = signal < 2
                values[zeros] = target[int(zeros.sum()) // 2]
                origins[zeros] = ZERO_RESTORED
                origins[on_arrays_only] = IMPUTED

    def blocks(self, size: int) -> Iterator[tuple[int, Any, Any]]:
        for first in range(0, len(self.samples), size):
            some = slice(first, first + size)
            yield first, np.array(self.values[some]), np.array(self.origins[some])


def write_layout(name: str, matrix: Matrix, folder: Path) -> None:
    size, query, options = LAYOUTS[name]
    for first, values, origins in matrix.blocks(size):
        columns = {
            "gene": matrix.genes,
            "v": pl.Series(np.ascontiguousarray(values.T)).cast(pl.List(pl.Float32)),
            "o": pl.Series(np.ascontiguousarray(origins.T)).cast(pl.List(pl.UInt8)),
        }
        wide = pl.DataFrame(columns)
        pieces = pl.concat([wide[n : n + 16] for n in range(0, len(wide), 16)], rechunk=False)
        with duckdb.connect() as database:
            database.execute("SET threads = 1")
            database.register("wide", ArrowStream(pieces))
            database.execute(
                f"COPY ({query}) TO '{folder}/{first:06d}.parquet' "
                f"(FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, {options})",
                {"names": matrix.samples[first : first + size]} if query == ROWS else None,
            )


def asked(matrix: Matrix, folder: Path, *, lists: bool) -> dict[str, str]:
    """Question -> SQL; a position in a list is known where a sample's name would be."""
    rng = np.random.default_rng(4)
    files, gene = f"read_parquet('{folder}/*.parquet')", matrix.genes[len(matrix.genes) * 2 // 3]
    drawn = [int(n) for n in rng.choice(len(matrix.samples), 100, replace=False)]
    if lists:
        known = f"read_parquet('{folder}/{drawn[0] // 1024 * 1024:06d}.parquet')"
        place = drawn[0] % 1024 + 1
        return {
            "gene": f"SELECT unnest(v), unnest(o) FROM {files} WHERE gene = '{gene}'",
            "sample": f"SELECT gene, v[{place}], o[{place}] FROM {known}",
        }
    names = ", ".join(f"'{matrix.samples[n]}'" for n in drawn)
    one = matrix.samples[drawn[0]]
    return {
        "gene": f"SELECT sample, value, origin FROM {files} WHERE gene = '{gene}'",
        "sample": f"SELECT gene, value, origin FROM {files} WHERE sample = '{one}'",
        "100 samples": f"SELECT gene, sample, value FROM {files} WHERE sample IN ({names})",
    }


def answer(query: str) -> float:
    with duckdb.connect() as database:
        started = time.perf_counter()
        database.sql(query).fetchnumpy()
        return time.perf_counter() - started


def in_fresh_processes(query: str, repeat: int) -> float:
    command = [sys.executable, __file__, "--answer", query]
    outputs = [subprocess.run(command, capture_output=True, check=True) for _ in range(repeat)]
    return statistics.median(float(each.stdout) for each in outputs)


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def size_of(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def of_files(matrix: Matrix, folder: Path) -> dict[str, dict[str, float]]:
    """What the platform's own files cost."""
    names = (matrix.genes, matrix.samples)
    tiles = TileWriter(folder / "tiles", *names)
    h5ad = LayeredH5ad(folder / "H.h5ad", *names)
    seconds = {"tiles": 0.0, "h5ad": 0.0}
    for name, writer in {"tiles": tiles, "h5ad": h5ad}.items():
        started = time.perf_counter()
        with writer:
            for _, values, origins in matrix.blocks(200):
                writer.write(values, origins)
        seconds[name] = time.perf_counter() - started
    with open_release_matrix(folder) as opened:
        sample = timed(lambda: opened.read_samples(matrix.samples[:1]))
        gene = timed(lambda: opened.read_genes([matrix.genes[7]]))
    with DiskMatrix(folder, matrix.values.shape, 16 << 20) as disk:
        for first, values, _ in matrix.blocks(500):
            disk.write_samples(first, values)
        text = {"H.tsv": lambda: tsv_pieces(disk, *names, lambda done: None)}
        zipped = timed(lambda: write_archive(text, folder / "H.zip"))
    return {
        "tiles": {"write": seconds["tiles"], "MB": size_of(folder / "tiles")},
        "h5ad": {
            "write": seconds["h5ad"],
            "MB": (folder / "H.h5ad").stat().st_size / 1e6,
            "gene": gene,
            "sample": sample,
        },
        "zip of text": {"write": zipped, "MB": (folder / "H.zip").stat().st_size / 1e6},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="2,500 × 5,000, once")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.answer:
        print(answer(args.answer))
        return
    if args.quick:
        args.samples, args.genes, args.repeat = 2_500, 5_000, 1
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        matrix = Matrix(Path(temporary), args.samples, args.genes)
        for number, (name, (_, query, _)) in enumerate(LAYOUTS.items()):
            folder = Path(temporary) / str(number)
            folder.mkdir()
            seconds = timed(lambda name=name, folder=folder: write_layout(name, matrix, folder))
            found[name] = {"write": seconds, "MB": size_of(folder)}
            for question, sql in asked(matrix, folder, lists=query == LISTS).items():
                found[name][question] = in_fresh_processes(sql, args.repeat)
        found |= of_files(matrix, Path(temporary))
    columns = ["write", "MB", "gene", "sample", "100 samples"]
    print(f"{'':28}" + "".join(f"{column:>13}" for column in columns))
    for name, figures in found.items():
        cells = [f"{figures[each]:13.3f}" if each in figures else " " * 13 for each in columns]
        print(f"{name:28}" + "".join(cells))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
