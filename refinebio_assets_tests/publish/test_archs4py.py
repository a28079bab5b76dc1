"""Files in the layout of ARCHS4, read by archs4py as it comes from PyPI.

The counts are real: genes and transcripts of nine yeast runs. archs4py is imported by
name only, never changed; some of its traps are held here, so that a version without them
is noticed.
"""

from __future__ import annotations

import multiprocessing
import re
import warnings
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from refinebio_assets.matrix.count_scaling import METHODS, Method, scale_counts
from refinebio_assets.matrix.expression import write_gene_counts as write_expression
from refinebio_assets.matrix.sample_files import SamplesOfFile
from refinebio_assets.publish.archs4 import with_records, write_gene_counts, write_transcript_counts
from refinebio_assets.publish.archs4_samples import SAMPLE_FIELDS, sample_fields
from refinebio_assets.publish.sample_blocks import (
    gene_blocks,
    shared_genes,
    shared_transcripts,
    transcript_blocks,
)
from refinebio_assets.rnaseq.tximport import (
    find_quant_files,
    gene_level,
    read_gene_map,
    read_quant,
)
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.publish.example import sra_sample

archs4py = pytest.importorskip(
    "archs4py", reason="archs4py is not installed: `pip install archs4py` runs these tests"
)
pd = pytest.importorskip("pandas")

CELLS = "SRR10551660"  # the sample that is said to be of single cells
TITLES = ["early biofilm ×1", "early biofilm 2", "thin biofilm (3)"]


@dataclass(frozen=True)
class Exports:
    """The two files, and what they must say."""

    genes: str
    transcripts: str
    samples: list[str]
    gene_ids: list[str]
    gene_counts: Any
    transcript_counts: Any


def records(samples: list[str]) -> pl.DataFrame:
    rows = []
    for number, sample in enumerate(samples):
        record = sra_sample(
            sample,
            ("library_construction_protocol", "TruSeq, poly-A"),
            ("tissue", "velum"),
            ("stage", f"day {number % 3}"),
            title=TITLES[number % 3],
            organism="SACCHAROMYCES_CEREVISIAE",
        )
        made = {"num_processed": 1000 + number, "num_mapped": 900 + number}
        of_cells = 0.9 if sample == CELLS else 0.1
        rows.append(sample_fields(record, "SRP1" if number < 6 else "SRP2", made, of_cells))
    rows.append({**rows[0], "series_id": "SRP2"})  # the first sample is in both series
    return pl.DataFrame(rows, schema=SAMPLE_FIELDS)


@pytest.fixture(autouse=True)
def threads_for_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """archs4py forks sixteen processes to read; forked from a process with threads, they hang."""
    monkeypatch.setattr(multiprocessing, "Pool", ThreadPool)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    folder = tmp_path_factory.mktemp("archs4")
    source = shared_data("salmon/yeast")
    files = find_quant_files(source)
    samples = list(files)
    known = records(samples)
    columns = [samples[0], *samples]

    quantification = gene_level(files, read_gene_map(source / "tx2gene.tsv"))
    write_expression(folder / "SRP1.parquet", [quantification], {})
    file = SamplesOfFile(folder / "SRP1.parquet", samples)
    ids = shared_genes([file])
    symbols = [None if number % 5 == 0 else f"SYM{number // 3}" for number in range(len(ids))]
    genes = pl.DataFrame({"ensembl_gene": ids, "symbol": symbols})
    blocks = gene_blocks([file], ids, lambda left_out: None, most_cells=3 * len(ids))
    write_gene_counts(folder / "genes.h5", genes, with_records(blocks, known), {"version": "1"})

    transcripts = shared_transcripts(files.values())
    of_transcripts = transcript_blocks(files, transcripts, lambda left_out: None)
    write_transcript_counts(
        folder / "transcripts.h5",
        pl.DataFrame({"ensembl_id": transcripts}),
        with_records(of_transcripts, known),
        {"version": "1"},
    )
    names = [symbol or gene for gene, symbol in zip(ids, symbols, strict=True)]
    counts = np.rint(quantification.counts.astype(np.float32)).astype(np.uint32)
    reads = {sample: np.rint(read_quant(path)["NumReads"]) for sample, path in files.items()}
    return Exports(
        str(folder / "genes.h5"),
        str(folder / "transcripts.h5"),
        samples,
        ids.to_list(),
        pd.DataFrame(counts, index=names, columns=samples)[columns],
        pd.DataFrame(reads, index=transcripts.to_list()).astype(np.uint32)[columns],
    )


def test_ls_lists_what_is_there(exports: Exports, capsys: pytest.CaptureFixture[str]) -> None:
    archs4py.ls(exports.genes)
    shown = capsys.readouterr().out
    for line in (
        r"expression +uint32 \| \(\d+, 10\)",
        r"symbol +str +\|",
        r"ensembl_gene +str +\|",
        r"series_id +str +\| \(10,\)",
        r"singlecellprobability +float64 \| \(10,\)",
        r"version +str",
    ):
        assert re.search(line, shown), line


@pytest.mark.parametrize("kind", ["genes", "transcripts"])
def test_index_gives_the_rounded_counts(exports: Exports, kind: str) -> None:
    """Not the zeros that it gives where it cannot read."""
    file = getattr(exports, kind)
    expected = exports.gene_counts if kind == "genes" else exports.transcript_counts
    found = archs4py.data.index(file, [9, 0, 1, 4], silent=True)
    pd.testing.assert_frame_equal(found, expected.iloc[:, [0, 1, 4, 9]])
    assert (found.sum() > 100_000).all()
    some = archs4py.data.index(file, [3], [5, 2], silent=True)
    pd.testing.assert_frame_equal(some, expected.iloc[[2, 5], [3]])


def test_rand_can_leave_out_single_cells(exports: Exports) -> None:
    every = archs4py.data.rand(exports.genes, 10, silent=True)
    pd.testing.assert_frame_equal(every, exports.gene_counts)
    bulk = archs4py.data.rand(exports.genes, 9, remove_sc=True, silent=True)
    pd.testing.assert_frame_equal(bulk, exports.gene_counts.drop(columns=CELLS))
    with pytest.raises(ValueError, match="larger than population"):
        archs4py.data.rand(exports.genes, 10, remove_sc=True, silent=True)


def test_samples_and_series_are_complete(exports: Exports) -> None:
    wanted = [exports.samples[3], "GSM0", exports.samples[2]]
    found = archs4py.data.samples(exports.genes, wanted, silent=True)
    pd.testing.assert_frame_equal(found, exports.gene_counts[exports.samples[2:4]])
    second = archs4py.data.series(exports.genes, "SRP2", silent=True)
    assert second.columns.to_list() == [exports.samples[0], *exports.samples[6:]]
    first = archs4py.data.series(exports.genes, "SRP1", silent=True)
    assert first.columns.to_list() == exports.samples[:6]
    repeated = archs4py.data.samples(exports.genes, exports.samples[:1], silent=True)
    assert repeated.columns.to_list() == exports.samples[:1] * 2
    np.testing.assert_array_equal(repeated.iloc[:, 0], repeated.iloc[:, 1])


def test_meta_searches_all_fields(exports: Exports) -> None:
    for term, field, expected in (
        ("THIN biofilm", "title", exports.samples[2::3]),
        ("stage: day 2", "characteristics_ch1", exports.samples[2::3]),
        ("truseq", "extract_protocol_ch1", [exports.samples[0], *exports.samples]),
        (f"^{CELLS}$", "geo_accession", [CELLS]),
        ("×1", "title", [exports.samples[0], *exports.samples[::3]]),
        ("saccharomyces", "organism_ch1", [exports.samples[0], *exports.samples]),
    ):
        described = archs4py.meta.meta(exports.genes, term, meta_fields=[field], silent=True)
        assert described.index.to_list() == expected, term
    found = archs4py.data.meta(exports.genes, "thin biofilm", silent=True)
    pd.testing.assert_frame_equal(found, exports.gene_counts[exports.samples[2::3]])
    bulk = archs4py.data.meta(exports.genes, "velum", remove_sc=True, silent=True)
    assert bulk.columns.to_list() == exports.gene_counts.columns.drop(CELLS).to_list()
    assert archs4py.data.meta(exports.genes, "absent", silent=True).empty


def test_metadata_of_samples_series_and_fields(exports: Exports) -> None:
    found = archs4py.meta.samples(exports.genes, exports.samples[1:3], silent=True)
    assert found.index.to_list() == exports.samples[1:3]
    assert found["title"].to_list() == TITLES[1:]
    assert found["characteristics_ch1"].to_list() == [
        f"tissue: velum,stage: day {n}" for n in (1, 2)
    ]
    assert found["extract_protocol_ch1"].to_list() == ["TruSeq, poly-A"] * 2
    numbers = archs4py.meta.samples(
        exports.genes, [CELLS], ["singlecellprobability", "readstotal"], silent=True
    )
    assert numbers.loc[CELLS].to_list() == [0.9, 1003]
    of_series = archs4py.meta.series(exports.genes, "SRP2", silent=True)
    assert of_series["series_id"].to_list() == ["SRP2"] * 4
    columns = exports.gene_counts.columns.to_list()
    assert archs4py.meta.field(exports.genes, "geo_accession") == columns
    assert archs4py.meta.field(exports.genes, "symbol") == exports.gene_counts.index.to_list()
    assert sum(archs4py.meta.field(exports.genes, "singlecellprobability")) == pytest.approx(1.8)
    ids = exports.transcript_counts.index.to_list()
    assert archs4py.meta.field(exports.transcripts, "ensembl_id") == ids
    every = archs4py.meta.get_meta(exports.genes)
    assert {len(values) for values in every.values()} == {10}
    assert set(SAMPLE_FIELDS) < set(every)
    assert archs4py.meta.get_meta_gene_field(exports.genes, "ensembl_gene") == exports.gene_ids


@pytest.mark.parametrize("method", METHODS)
def test_normalize_agrees_with_ours(exports: Exports, method: Method) -> None:
    counts = archs4py.data.index(exports.genes, range(1, 10), silent=True)
    theirs = archs4py.normalize(counts, method=method)
    assert theirs.index.equals(counts.index)
    np.testing.assert_allclose(scale_counts(counts.to_numpy(), method), theirs, rtol=1e-6)


def test_genes_of_one_symbol_are_added_up_and_filtered(exports: Exports) -> None:
    """A gene without a symbol stays by itself; archs4py would add up all empty ones."""
    counts = archs4py.data.index(exports.genes, range(1, 10), silent=True)
    added = archs4py.utils.aggregate_duplicate_genes(counts)
    assert added.index.is_unique
    assert added.to_numpy().sum() == counts.to_numpy().sum()
    assert len(added) == exports.gene_counts.index.nunique()
    filtered = archs4py.utils.filter_genes(counts, readThreshold=50, sampleThreshold=0.5)
    enough = (added > 50).sum(axis=1) >= 4.5
    assert 0 < enough.sum() < len(added)
    pd.testing.assert_frame_equal(filtered, added[enough])


# --- traps of archs4py that the layout works around -----------------------------------


def test_other_filters_are_silent_zeros(exports: Exports, tmp_path: Path) -> None:
    """Why `data/expression` has gzip only: a filter that is not there reads as no count."""
    path = tmp_path / "broken.h5"
    path.write_bytes(Path(exports.genes).read_bytes())
    with h5py.File(path, "r+") as file:
        file["data/expression"].id.write_direct_chunk((0, 1), b"not what the filter expects")
    found = archs4py.data.index(str(path), [0, 1], silent=True)
    assert found.iloc[:, 0].sum() > 0
    assert found.iloc[:, 1].sum() == 0


def test_remote_reading_finds_the_symbols_under_another_name(exports: Exports) -> None:
    """By HTTP it looks for `symbol` at a wrong place, but finds `gene_symbol`."""

    class Local:
        def open(self, url: str, mode: str) -> Any:
            return Path(url.removeprefix("s3://")).open(mode)

    assert archs4py.data.get_encoding_remote(Local(), exports.genes) == "meta/genes/gene_symbol"


def test_normalize_has_no_answer_for_few_counts() -> None:
    few = pd.DataFrame({"a": [0, 3, 1], "b": [0, 0, 0]}, dtype=np.uint32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert archs4py.normalize(few, method="tmm").isna().all(axis=None)
        assert archs4py.normalize(few, method="cpm")["b"].isna().all()
    for method in ("tmm", "cpm"):
        ours: NDArray[Any] = scale_counts(few.to_numpy(), method)
        assert np.isfinite(ours).all()
