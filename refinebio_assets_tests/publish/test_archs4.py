"""Counts in the layout of ARCHS4, read with plain h5py; `test_archs4py.py` has the client."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from refinebio_assets.errors import CountTooLarge, InvalidCounts, NothingToDeliver
from refinebio_assets.publish import archs4
from refinebio_assets.publish.archs4 import (
    NEEDED,
    CountBlock,
    whole_counts,
    with_records,
    write_gene_counts,
    write_transcript_counts,
)
from refinebio_assets.publish.sample_blocks import SampleBlock

GENES = pl.DataFrame(
    {
        "ensembl_gene": ["ENSG1", "ENSG2", "ENSG3", "ENSG4"],
        "symbol": ["TP53", "", "Y_RNA", None],
        "biotype": ["protein_coding", None, "misc_RNA", "lncRNA"],
    }
)
INFO = {"version": "2026-11", "creation-date": "2026-11-21", "author": "Zoë"}


def records_of(samples: Sequence[str], **fields: Any) -> pl.DataFrame:
    texts = {field: [f"{field} of {each}" for each in samples] for field in NEEDED}
    return pl.DataFrame(
        {
            **texts,
            "geo_accession": samples,
            "series_id": ["GSE1"] * len(samples),
            "singlecellprobability": [0.25] * len(samples),
            **fields,
        }
    )


def block(counts: Any, samples: Sequence[str] | None = None, **fields: Any) -> CountBlock:
    values = np.asarray(counts)
    names = samples or [f"GSM{number}" for number in range(len(values))]
    return CountBlock(records_of(names, **fields), values)


def text_of(dataset: Any) -> list[str]:
    return [each.decode("UTF-8") for each in np.array(dataset)]


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    counts=arrays.arrays(
        np.uint32,
        st.tuples(st.integers(1, 30), st.integers(1, 50)),
        elements=st.integers(0, 2**32 - 1),
    ),
    sizes=st.lists(st.integers(1, 6)),
    threads=st.integers(1, 3),
)
def test_every_count_reads_back(
    counts: NDArray[np.uint32], sizes: list[int], threads: int, tmp_path: Path
) -> None:
    samples, genes = counts.shape
    names = [f"GSM{number}" for number in range(samples)]
    cuts = [0, *(int(cut) for cut in np.cumsum(sizes) if cut < samples), samples]
    parts = [slice(start, end) for start, end in itertools.pairwise(cuts)]
    ids = [f"ENSG{number}" for number in range(genes)]
    done: list[int] = []
    written = write_gene_counts(
        tmp_path / "a.h5",
        pl.DataFrame({"ensembl_gene": ids, "symbol": ids}),
        (block(counts[part], names[part]) for part in parts),
        INFO,
        done.append,
        threads,
    )
    assert done == cuts[1:]
    with h5py.File(tmp_path / "a.h5") as file:
        expression = file["data/expression"]
        np.testing.assert_array_equal(expression[:], counts.T)
        assert expression.dtype == np.uint32
        assert expression.chunks == (genes, 1)
        assert text_of(file["meta/samples/geo_accession"]) == names
        assert file["meta/samples/library_size"][:].tolist() == counts.sum(axis=1).tolist()
        assert file["meta/info/expression_sha256"][()].decode() == written.sha256
    assert written.sha256 == hashlib.sha256(counts.astype("<u4").tobytes()).hexdigest()
    assert (written.columns, written.samples, written.genes) == (samples, samples, genes)


def test_filters_are_gzip_and_shuffle_only(tmp_path: Path) -> None:
    write_gene_counts(tmp_path / "a.h5", GENES, [block(np.ones((3, 4)))], INFO)
    with h5py.File(tmp_path / "a.h5") as file:
        settings_of = file["data/expression"].id.get_create_plist()
        filters = {settings_of.get_filter(each)[0] for each in range(settings_of.get_nfilters())}
        assert filters == {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE}


def test_fields_are_text_and_numbers(tmp_path: Path) -> None:
    blocks = [
        block(
            np.ones((2, 4)),
            title=["Zoë’s\0 sample", None],
            age=[None, 2.5],
            alignedreads=[2**40, 0],
            paired=[True, False],
        )
    ]
    write_gene_counts(tmp_path / "a.h5", GENES, blocks, INFO)
    with h5py.File(tmp_path / "a.h5") as file:
        samples = file["meta/samples"]
        for field in NEEDED:
            assert h5py.check_string_dtype(samples[field].dtype) == ("utf-8", None)
        assert text_of(samples["title"]) == ["Zoë’s sample", ""]
        np.testing.assert_array_equal(samples["age"], [np.nan, 2.5])
        assert samples["alignedreads"][:].tolist() == [2**40, 0]
        assert samples["paired"][:].tolist() == [1, 0]
        assert samples["singlecellprobability"].dtype == np.float64
        assert text_of(file["meta/genes/symbol"]) == ["TP53", "ENSG2", "Y_RNA", "ENSG4"]
        assert text_of(file["meta/genes/ensembl_gene"]) == GENES["ensembl_gene"].to_list()
        assert text_of(file["meta/genes/biotype"]) == ["protein_coding", "", "misc_RNA", "lncRNA"]
        assert file["meta/info/author"][()].decode() == "Zoë"
        for name, target in (
            ("genes/gene_symbol", "genes/symbol"),
            ("genes/ensembl_gene_id", "genes/ensembl_gene"),
            ("samples/sample", "samples/geo_accession"),
            ("samples/readsaligned", "samples/alignedreads"),
        ):
            assert file[f"meta/{name}"] == file[f"meta/{target}"]  # one dataset, two names


def test_transcripts_have_their_own_place(tmp_path: Path) -> None:
    transcripts = pl.DataFrame({"ensembl_id": ["ENST1", "ENST2"]})
    write_transcript_counts(tmp_path / "a.h5", transcripts, [block([[0.5, 7]])], INFO)
    with h5py.File(tmp_path / "a.h5") as file:
        assert set(file["meta"]) == {"transcripts", "samples", "info"}
        assert text_of(file["meta/transcripts/ensembl_id"]) == ["ENST1", "ENST2"]
        assert file["data/expression"][:].tolist() == [[0], [7]]


def test_many_records_are_written_in_several_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archs4, "_RECORDS_AT_A_TIME", 5)
    names = [f"GSM{number}" for number in range(13)]
    blocks = (block(np.ones((1, 4)), [name]) for name in names)
    write_gene_counts(tmp_path / "a.h5", GENES, blocks, INFO)
    with h5py.File(tmp_path / "a.h5") as file:
        assert text_of(file["meta/samples/title"]) == [f"title of {name}" for name in names]
        assert len(file["meta/samples/library_size"]) == 13


def test_a_sample_of_two_series_has_a_column_in_each(tmp_path: Path) -> None:
    records = records_of(["GSM1", "GSM2", "GSM1", "GSM3"]).with_columns(
        series_id=pl.Series(["GSE1", "GSE1", "GSE2", "GSE9"])
    )
    samples = [
        SampleBlock(["GSM2", "GSM1"], {"counts": np.array([[2] * 4, [1] * 4], np.float32)}),
        SampleBlock(["GSM3"], {"counts": np.array([[3] * 4], np.float32)}),
    ]
    written = write_gene_counts(tmp_path / "a.h5", GENES, with_records(samples, records), INFO)
    assert (written.columns, written.samples) == (4, 3)
    with h5py.File(tmp_path / "a.h5") as file:
        assert text_of(file["meta/samples/geo_accession"]) == ["GSM2", "GSM1", "GSM1", "GSM3"]
        assert text_of(file["meta/samples/series_id"]) == ["GSE1", "GSE1", "GSE2", "GSE9"]
        assert file["data/expression"][0].tolist() == [2, 1, 1, 3]
    with pytest.raises(ValueError, match="without a record: GSM3"):
        list(with_records(samples, records.head(3)))


def test_the_same_blocks_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_gene_counts(tmp_path / name, GENES, [block(np.ones((3, 4)))], INFO)
        time.sleep(1.1)  # HDF5 counts in seconds
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


# --- rounding, and what is refused ----------------------------------------------------


def test_halves_are_rounded_to_the_even_number() -> None:
    counts = np.array([[0.5, 1.5, 2.5, 0.49, 0.51, 7, -0.0, 2**32 - 1.5]])
    found = whole_counts(counts, ["s"], list("abcdefgh"))
    assert found.tolist() == [[0, 2, 2, 0, 1, 7, 0, 2**32 - 2]]
    assert found.dtype == np.uint32


@pytest.mark.parametrize("bad", [np.nan, -1e-9, np.inf])
def test_refuses_what_is_no_count(bad: float) -> None:
    with pytest.raises(InvalidCounts, match=f"Sample t has the count {bad} of b"):
        whole_counts(np.array([[1, 2], [3, bad]]), ["s", "t"], ["a", "b"])


@pytest.mark.parametrize(
    "large", [np.array([[2.0**32 - 0.5]]), np.array([[2**32]]), np.float32([[2**32 - 1]])]
)
def test_refuses_what_32_bits_cannot_hold(large: NDArray[Any]) -> None:
    with pytest.raises(CountTooLarge, match="4294967295 is the largest"):
        whole_counts(large, ["s"], ["a"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"singlecellprobability": [0.5, None]}, "singlecellprobability of sample GSM1"),
        ({"singlecellprobability": [float("nan"), 0]}, "singlecellprobability of sample GSM0"),
        ({"singlecellprobability": [1.1, 0]}, "not between 0 and 1"),
        ({"geo_accession": ["GSM1", "GSM1"]}, "GSM1 of series GSE1 is not named, or occurs twice"),
        ({"series_id": ["GSE1", ""]}, "is not named"),
        ({"alignedreads": [1, None]}, "alignedreads is neither text nor complete numbers"),
        ({"words": [["a"], ["b"]]}, "words is neither text nor complete numbers"),
    ],
)
def test_refuses_records_that_clients_would_misread(
    fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        write_gene_counts(tmp_path / "a.h5", GENES, [block(np.ones((2, 4)), **fields)], INFO)


def test_refuses_blocks_that_do_not_fit_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.h5"
    bare = CountBlock(records_of(["s"]).drop("title"), np.ones((1, 4)))
    with pytest.raises(ValueError, match="lack the fields title"):
        write_gene_counts(path, GENES, [bare], INFO)
    blocks = [block(np.ones((1, 4)), ["s"]), block(np.ones((1, 4)), ["t"], age=[1.0])]
    for at_a_time in (1, 100):
        monkeypatch.setattr(archs4, "_RECORDS_AT_A_TIME", at_a_time)
        with pytest.raises(ValueError, match="different fields"):
            write_gene_counts(path, GENES, blocks, INFO)
    with pytest.raises(ValueError, match="1 records and 4 genes"):
        write_gene_counts(path, GENES, [block(np.ones((1, 3)))], INFO)
    with pytest.raises(ValueError, match="2 records and 4 genes"):
        write_gene_counts(path, GENES, [CountBlock(records_of(["s", "t"]), np.ones((1, 4)))], INFO)
    with pytest.raises(ValueError, match="ensembl_gene is missing or occurs twice"):
        write_gene_counts(path, pl.concat([GENES, GENES]), blocks, INFO)
    with pytest.raises(NothingToDeliver):
        write_gene_counts(path, GENES, [], INFO)
